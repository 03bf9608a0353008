"""The live view of a search in a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from searchcnn.search.listener import Outcome
from searchcnn.store.summary import TrialSummary, read_summary
from searchcnn.text import format_amount, format_duration, format_point, objective
from searchcnn.views.dataset import format_report
from searchcnn.views.summary import summarize_study
from searchcnn.views.tables import make_trial_table
from searchcnn.views.view import Remaining, View

if TYPE_CHECKING:
    from searchcnn.data import Report
    from searchcnn.run import Study
    from searchcnn.search import TrialProgress
    from searchcnn.store import Epoch

LAST_ROWS = 30
"""Trials that stay on the screen when the search has ended; `searchcnn status` shows all."""

BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass
class _Running:
    """A trial at work as it is shown.

    Attributes:
        trial: What is known of it.
        began: When, by `time.monotonic`.
        epoch: The epoch that is trained, from 1; 0 while features are computed.
        fraction: The part of it that is done.
        features: How long its features will still take.
        curve: The objective of each epoch.
    """

    trial: TrialProgress
    began: float = field(default_factory=time.monotonic)
    epoch: int = 1
    fraction: float = 0.0
    features: Remaining | None = None
    curve: list[float] = field(default_factory=list)


class LiveView(View):
    """Shows the trials, those that run, the best so far and the budget, and keeps showing them."""

    def __init__(self, study: Study, console: Console | None = None) -> None:
        super().__init__(study)
        self._console = console or Console()
        self._began = time.monotonic()
        self._spent_before = 0.0
        self._phase = "starting"
        self._done: float | None = None
        self._trials: dict[int, TrialSummary] = {}
        self._running: dict[int, _Running] = {}
        self._trouble = ""
        self._stopping = False
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = {}
        self._live.stop()
        if self._trials:
            self._console.print(self._table(list(self._trials.values())[-LAST_ROWS:]))

    def phase(self, text: str, done: float | None = None) -> None:
        """Shows what is begun, and how far it is."""
        self._phase, self._done = text, done

    def show_report(self, report: Report) -> None:
        """Shows how large the dataset is and what is wrong with it; that stays on the screen."""
        for line in format_report(report, "warning"):
            self._live.console.print(Text(line) if isinstance(line, str) else line)

    def trial_started(self, trial: TrialProgress) -> None:
        """Shows a new trial; the first time, also those of earlier runs."""
        if not self._trials:
            summary = read_summary(self.study.url, self.study.name)
            self._spent_before = summary.seconds - (time.monotonic() - self._began)
            self._trials = {t.number: t for t in summary.trials if t.state in ("COMPLETE", "PRUNED", "FAIL")}
        self._running[trial.number] = _Running(trial)
        self._phase = ""

    def trial_described(self, trial: TrialProgress) -> None:
        """Shows the network that is trained."""
        self._shown(trial).trial = trial

    def epoch_progressed(self, trial: TrialProgress, epoch: int, fraction: float) -> None:
        """Moves the progress bar."""
        running = self._shown(trial)
        running.epoch, running.fraction = epoch, fraction
        running.features = (running.features or Remaining(fraction)) if epoch == 0 else None

    def epoch_finished(self, trial: TrialProgress, epoch: Epoch) -> None:
        """Moves the progress bar and draws the curve on."""
        running = self._shown(trial)
        running.trial, running.epoch, running.fraction = trial, epoch.number + 1, 0.0
        running.curve = [*running.curve, epoch.metrics[self.study.config.search.objective]]

    def trial_finished(self, trial: TrialProgress, outcome: Outcome, is_best: bool) -> None:
        """Moves it from those that run to the table."""
        running = self._shown(trial)
        running.trial = trial
        self._end(running, outcome)

    def trial_given_up(self, number: int, reason: str, detail: str) -> None:
        """Moves it to the table too; one of an earlier run is there when the first trial starts."""
        super().trial_given_up(number, reason, detail)
        if number in self._running:
            self._end(self._running[number], Outcome("FAIL", reason=reason, facts={"detail": detail}))

    def noted(self, text: str) -> None:
        """Shows what was found; that stays on the screen."""
        self._live.console.print(Text(text))

    def trouble(self, text: str) -> None:
        """Shows what went wrong last."""
        self._trouble = text

    def stopping(self) -> None:
        """Shows that the search will stop."""
        self._stopping = True

    def summarize(self, arguments: Sequence[str], stopped: bool) -> None:
        """Shows the best trial and the next commands."""
        for line in summarize_study(self.study, arguments, stopped):
            self._console.print(Text(line) if isinstance(line, str) else line)

    def _shown(self, trial: TrialProgress) -> _Running:
        """Returns what is shown of a trial; nobody sees what a killed worker still says of one that was given up."""
        return self._running.get(trial.number) or _Running(trial)

    def _end(self, running: _Running, outcome: Outcome) -> None:
        trial = running.trial
        self._running.pop(trial.number, None)
        facts = {**trial.facts, **outcome.facts, "origin": trial.origin, "reason": outcome.reason}
        value = outcome.value if outcome.value is not None else trial.best
        epochs, seconds = len(running.curve), time.monotonic() - running.began
        self._trials[trial.number] = TrialSummary(trial.number, outcome.state, value, epochs, seconds, facts)

    def _render(self) -> RenderableType:
        rows = list(self._trials.values())
        parts: list[RenderableType] = [self._header()]
        if rows:
            parts.append(self._table(rows[-self._room() :]))
        running = list(self._running.values())  # the search's thread may end one meanwhile
        parts += map(self._panel, running)
        if not running:
            parts.append(self._phase_line())
        if self._trouble:
            parts.append(Text(f"  {self._trouble}", style="yellow"))
        parts.append(self._footer())
        return Group(*parts)

    def _phase_line(self) -> RenderableType:
        text = Text(f"  {self._phase} ...", style="dim")
        if self._done is None:
            return text
        line = Table.grid(padding=(0, 1))
        line.add_row(
            text, ProgressBar(total=1.0, completed=self._done, width=40), Text(f"{self._done:.0%}", style="dim")
        )
        return line

    def _room(self) -> int:
        """Rows of the table that fit beside everything else."""
        return max(3, self._console.size.height - 10 - 4 * max(1, len(self._running)))

    def _table(self, rows: Sequence[TrialSummary]) -> Table:
        best = self._best()
        return make_trial_table(rows, self.study.config.search.objective, best.number if best else None)

    def _header(self) -> Text:
        config = self.study.config
        header = Text.assemble(("searchcnn ", "bold"), (self.study.name, "bold cyan"))
        return header.append(
            f"  {config.data.title} · {' + '.join(config.spaces)} · {config.search.sampler.name}", "dim"
        )

    def _panel(self, running: _Running) -> Panel:
        trial, epochs = running.trial, self.study.config.training.epochs
        place = f"epoch {min(running.epoch, epochs)}/{epochs}" if running.epoch else _features(running)
        done = max(0.0, running.epoch - 1 + running.fraction) / epochs if running.epoch else running.fraction
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=1.0, completed=min(1.0, done), width=40),
            Text(place),
            Text(sparkline(running.curve), style="cyan"),
            Text(objective(running.curve[-1]) if running.curve else "", style="bold"),
            Text(format_duration(time.monotonic() - running.began), style="dim"),
        )
        facts = trial.facts
        size = (
            f"{format_amount(facts.get('params'))} parameters, {format_amount(facts.get('macs'))} MACs"
            if facts
            else "building"
        )
        title = f"trial {trial.number}" + (f" · {trial.origin}" if trial.origin else "") + f" · {size}"
        values = Text(format_point(facts.get("hyperparameters", {})), style="dim", overflow="ellipsis", no_wrap=True)
        return Panel(Group(grid, values), title=title, title_align="left", border_style="cyan")

    def _footer(self) -> Text:
        best, budget = self._best(), self.study.config.budget
        used = self._spent_before + time.monotonic() - self._began
        parts = [f"best {objective(best.value)} (trial {best.number})" if best else "no complete trial yet"]
        trials = f"{len(self._trials)}" + (f"/{budget.trials}" if budget.trials else "")
        pruned = sum(trial.state == "PRUNED" for trial in self._trials.values())
        parts.append(f"{trials} trials, {pruned} pruned")
        left = f", {format_duration(max(0.0, budget.timeout - used))} left" if budget.timeout else ""
        parts.append(f"{format_duration(used)} used{left}")
        parts.append("stopping; Ctrl-C again: at once" if self._stopping else "Ctrl-C stops")
        return Text("  " + "  ·  ".join(parts), style="bold yellow" if self._stopping else "")

    def _best(self) -> TrialSummary | None:
        complete = [t for t in self._trials.values() if t.state == "COMPLETE" and t.value is not None]
        choose = max if self.study.config.search.maximize else min
        return choose(complete, key=lambda trial: trial.value or 0.0, default=None)


def _features(running: _Running) -> str:
    """Returns how far the features of a trial are, and how long they will still take."""
    left = running.features.seconds(running.fraction) if running.features else math.inf
    remaining = f", {format_duration(left)} left" if left < math.inf else ""
    return f"features {running.fraction:.0%}{remaining}"


def sparkline(values: Sequence[float]) -> str:
    """Draws numbers as a line of blocks, the lowest to the highest.

    >>> sparkline([0.1, 0.5, 0.9])
    '▁▅█'
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in values)
