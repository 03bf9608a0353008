"""The live view of a search in a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from searchcnn.events import (
    EpochFinished,
    EpochProgressed,
    EpochsRecalled,
    Event,
    Note,
    Outcome,
    Planned,
    Progress,
    StudyOpened,
    TrialDescribed,
    TrialFinished,
    TrialGivenUp,
    TrialStarted,
    Trouble,
)
from searchcnn.store.attributes import LAST, STRETCHES
from searchcnn.store.summary import TrialSummary, read_summary
from searchcnn.text import format_amount, format_count, format_duration, format_point, format_score
from searchcnn.views.dataset import format_inspection
from searchcnn.views.plan import format_plan
from searchcnn.views.summary import summarize_study
from searchcnn.views.tables import FittingTable, make_trial_table
from searchcnn.views.view import Remaining, ShownTrial, View, count_epochs

if TYPE_CHECKING:
    from searchcnn.data import Inspection
    from searchcnn.job import Job

LAST_ROWS = 30
"""Trials that stay on the screen when the search has ended; `searchcnn status` shows all."""

BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass
class _Running(ShownTrial):
    """A trial at work as it is shown.

    Attributes:
        best: Its best score so far; None before the first epoch.
        began: When, by `time.monotonic`.
        epoch: The epoch that is trained, from 1; 0 while features are computed.
        fraction: The part of it that is done.
        curve: The score of each epoch.
        training: How long its training will still take, once a batch was trained.
    """

    best: float | None = None
    began: float = field(default_factory=time.monotonic)
    epoch: int = 1
    fraction: float = 0.0
    curve: list[float] = field(default_factory=list)
    training: Remaining | None = None

    def measure_done(self, epochs: int) -> float:
        """Returns the part that is done of what is at work: the features, or so many epochs of training."""
        return max(0.0, self.epoch - 1 + self.fraction) / epochs if self.epoch else self.fraction


class LiveView(View):
    """Shows the trials, those that run, the best so far and the budget, and keeps showing them."""

    key = "Ctrl-C"
    """What stops the search."""

    def __init__(self, study: Job, console: Console | None = None) -> None:
        super().__init__(study)
        self._console = console or Console()
        self._began = time.monotonic() - study.elapsed
        self._spent_before = 0.0
        self._progress = "starting"
        self._done: float | None = None
        self._trials: dict[int, TrialSummary] = {}
        self._running: dict[int, _Running] = {}
        self._trouble = ""
        self._plan: tuple[Planned, float] | None = None
        self._stopping = False
        self._live = Live(console=self._console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = {}
        self.close()
        if self._trials:
            self.print(self._make_table(list(self._trials.values())[-LAST_ROWS:]))

    def open(self) -> None:
        """Begins to show what changes."""
        self._live.start()

    def close(self) -> None:
        """Shows only what stays."""
        self._live.stop()

    def print(self, line: RenderableType) -> None:
        """Shows something that stays."""
        self._live.console.print(line)

    def hear(self, event: Event) -> None:
        """Shows what happens."""
        super().hear(event)
        match event:
            case StudyOpened(seconds):
                self._spent_before = seconds - (time.monotonic() - self._began)
            case Progress(text, done):
                self._progress, self._done = text, done
            case Note(text):  # stays on the screen
                self.print(Text(text))
            case Trouble(text):
                self._trouble = text
            case Planned():
                self._plan = event, time.monotonic()
            case TrialStarted(number, origin):
                self._show_earlier_trials()
                self._running[number] = _Running(origin)
                self._trials = {n: trial for n, trial in self._trials.items() if n != number or trial.is_ranked}
                self._progress = ""
            case TrialDescribed(number, facts):
                self._get_running(number).facts.update(facts)
            case EpochProgressed(number, epoch, fraction):
                running = self._get_running(number)
                running.epoch, running.fraction = epoch, fraction
                running.features = (running.features or Remaining(fraction)) if epoch == 0 else None
                done = running.measure_done(count_epochs(running.facts, self.study.config))
                running.training = (running.training or Remaining(done)) if epoch else None
            case EpochFinished(number, epoch, best):
                running = self._get_running(number)
                running.epoch, running.fraction, running.best = epoch.number + 1, 0.0, best
                running.curve = [*running.curve, epoch.metrics[self.study.config.objective.metric]]
            case EpochsRecalled(number, epochs, best):
                running = self._get_running(number)
                running.epoch, running.best = epochs[-1].number + 1, best
                running.curve = [epoch.metrics[self.study.config.objective.metric] for epoch in epochs]
            case TrialFinished(number, outcome, best):
                self._end(number, outcome, best)
            case TrialGivenUp(number, reason, detail):
                self._trouble = f"trial {number}: FAIL  {reason}: {detail}"
                if number in self._running:  # one of an earlier run is in the table when the first trial starts
                    outcome = Outcome("FAIL", reason=reason, facts={"detail": detail})
                    self._end(number, outcome, self._running[number].best)

    def show_inspection(self, inspection: Inspection) -> None:
        """Shows how large the dataset is and what is wrong with it; that stays on the screen."""
        for line in format_inspection(inspection, "warning"):
            self.print(Text(line) if isinstance(line, str) else line)

    def stopping(self) -> None:
        """Shows that the search will stop."""
        self._stopping = True

    def summarize(self, arguments: Sequence[str] | None, stopped: bool) -> None:
        """Shows the best trial and the next commands."""
        for line in summarize_study(self.study, arguments, stopped):
            self.print(Text(line) if isinstance(line, str) else line)

    def _show_earlier_trials(self) -> None:
        """Shows the trials of earlier runs, the first time."""
        if not self._trials:
            summary = read_summary(self.study.url, self.study.name)
            self._trials = {t.number: t for t in summary.trials if t.state in ("COMPLETE", "PRUNED", "FAIL")}

    def _get_running(self, number: int) -> _Running:
        """Returns what is shown of a trial; nobody sees what a killed worker still says of one that was given up."""
        return self._running.get(number) or _Running()

    def _end(self, number: int, outcome: Outcome, best: float | None) -> None:
        """Moves a trial from those that run to the table."""
        running = self._get_running(number)
        self._running.pop(number, None)
        facts = {**running.facts, **outcome.facts, "origin": running.origin, "reason": outcome.reason}
        value = outcome.value if outcome.value is not None else best
        epochs, seconds = running.epoch - 1 if running.curve else 0, time.monotonic() - running.began
        is_ranked = outcome.state == "COMPLETE"
        self._trials[number] = TrialSummary(number, outcome.state, value, epochs, seconds, facts, is_ranked)

    def render(self) -> RenderableType:
        """Returns what changes, as it is now."""
        rows = list(self._trials.values())
        parts: list[RenderableType] = [self._make_header()]
        if rows:
            parts.append(self._make_table(rows[-self._count_rows() :]))
        running = dict(self._running)  # the search's thread may end one meanwhile
        parts += [self._make_panel(number, trial) for number, trial in running.items()]
        if not running:
            parts.append(self._make_progress_line())
        if self._plan:
            plan, at = self._plan
            parts.append(Text(f"  {format_plan(plan, time.monotonic() - at)}", style="dim"))
        if self._trouble:
            parts.append(Text(f"  {self._trouble}", style="yellow"))
        parts.append(self._make_footer())
        return Group(*parts)

    def _make_progress_line(self) -> RenderableType:
        text = Text(f"  {self._progress} ...", style="dim")
        if self._done is None:
            return text
        line = Table.grid(padding=(0, 1))
        line.add_row(
            text, ProgressBar(total=1.0, completed=self._done, width=40), Text(f"{self._done:.0%}", style="dim")
        )
        return line

    def _count_rows(self) -> int:
        """Returns how many rows of the table fit on the screen with everything else."""
        return max(3, self._console.size.height - 10 - 4 * max(1, len(self._running)))

    def _make_table(self, rows: Sequence[TrialSummary]) -> FittingTable:
        best = self._find_best()
        return make_trial_table(rows, self.study.config.objective.metric, best.number if best else None)

    def _make_header(self) -> Text:
        config = self.study.config
        header = Text.assemble(("searchcnn ", "bold"), (self.study.name, "bold cyan"))
        return header.append(
            f"  {config.data.title} · {' + '.join(config.spaces)} · {config.search.sampler.name}", "dim"
        )

    def _make_panel(self, number: int, running: _Running) -> Panel:
        epochs = count_epochs(running.facts, self.study.config)
        progress = f"epoch {min(running.epoch, epochs)}/{epochs}" if running.epoch else _describe_features(running)
        done = min(1.0, running.measure_done(epochs))
        left = min(running.training.estimate_seconds(done), self._seconds_left) if running.training else math.inf
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=1.0, completed=done, width=40),
            Text(progress),
            Text(draw_sparkline(running.curve), style="cyan"),
            Text(format_score(running.curve[-1]) if running.curve else "", style="bold"),
            Text(format_duration(time.monotonic() - running.began) + _describe_rest(left), style="dim"),
        )
        facts = running.facts
        size = (
            f"{format_amount(facts.get('params'))} parameters, {format_amount(facts.get('macs'))} MACs"
            if facts
            else "building"
        )
        parts = [f"trial {number}", running.origin, size, _describe_stretch(facts)]
        title = " · ".join(part for part in parts if part)
        values = Text(format_point(facts.get("hyperparameters", {})), style="dim", overflow="ellipsis", no_wrap=True)
        return Panel(Group(grid, values), title=title, title_align="left", border_style="cyan")

    def _make_footer(self) -> Text:
        best, budget = self._find_best(), self.study.config.budget
        parts = [f"best {format_score(best.value)} (trial {best.number})" if best else "no complete trial yet"]
        pruned = sum(trial.state == "PRUNED" for trial in self._trials.values())
        trials = format_count(len(self._trials), "trial")
        parts.append(f"{trials}{f' of {budget.trials}' if budget.trials else ''}, {pruned} pruned")
        parts.append(f"{format_duration(self._seconds_used)} used{_describe_rest(self._seconds_left)}")
        parts.append(f"stopping; {self.key} again stops now" if self._stopping else f"{self.key} stops")
        return Text("  " + "  ·  ".join(parts), style="bold yellow" if self._stopping else "")

    @property
    def _seconds_used(self) -> float:
        return self._spent_before + time.monotonic() - self._began

    @property
    def _seconds_left(self) -> float:
        timeout = self.study.config.budget.timeout
        return math.inf if timeout is None else max(0.0, timeout - self._seconds_used)

    def _find_best(self) -> TrialSummary | None:
        complete = [t for t in self._trials.values() if t.is_ranked and t.value is not None]
        objective = self.study.config.objective
        return min(complete, key=lambda trial: objective.rank(trial.value or 0.0, trial.facts), default=None)


def _describe_stretch(facts: Mapping[str, Any]) -> str:
    """Returns which stretch of a trial's training is at work, if it is not the first."""
    if len(facts.get(STRETCHES, ())) < 2:
        return ""
    return "trained to the end" if facts.get(LAST) else "goes on"


def _describe_features(running: _Running) -> str:
    """Returns how far the features of a trial are, and how long they will still take."""
    left = running.features.estimate_seconds(running.fraction) if running.features else math.inf
    return f"features {running.fraction:.0%}{_describe_rest(left)}"


def _describe_rest(seconds: float) -> str:
    return f", {format_duration(seconds)} left" if seconds < math.inf else ""


def draw_sparkline(values: Sequence[float]) -> str:
    """Draws numbers as a line of blocks, the lowest to the highest.

    >>> draw_sparkline([0.1, 0.5, 0.9])
    '▁▅█'
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in values)
