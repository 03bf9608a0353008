"""The live view of a search in a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from searchcnn.cli.summary import closing_lines
from searchcnn.cli.tables import trial_table
from searchcnn.cli.text import amount, duration, objective, point
from searchcnn.cli.view import View
from searchcnn.store.summary import TrialSummary, read_summary

if TYPE_CHECKING:
    from searchcnn.optimization import Study
    from searchcnn.search import Outcome, Trial
    from searchcnn.store import Epoch

LAST_ROWS = 30
"""Trials that stay on the screen when the search has ended; `searchcnn status` shows all."""

BLOCKS = "▁▂▃▄▅▆▇█"


class LiveView(View):
    """Shows the trials, the one that runs, the best so far and the budget, and keeps showing them."""

    def __init__(self, study: Study, console: Console | None = None) -> None:
        super().__init__(study)
        self._console = console or Console()
        self._began = time.monotonic()
        self._spent_before = 0.0
        self._phase = "starting"
        self._trials: dict[int, TrialSummary] = {}
        self._running: Trial | None = None
        self._started = 0.0
        self._epoch = 1
        self._fraction = 0.0
        self._curve: list[float] = []
        self._stopping = False
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = None
        self._live.stop()
        if self._trials:
            self._console.print(self._table(list(self._trials.values())[-LAST_ROWS:]))

    def phase(self, text: str) -> None:
        """Shows what is begun."""
        self._phase = text

    def trial_started(self, trial: Trial) -> None:
        """Shows a new trial; the first time, also those of earlier runs."""
        if not self._trials:
            summary = read_summary(self.study.url, self.study.name)
            self._spent_before = summary.seconds - (time.monotonic() - self._began)
            self._trials = {t.number: t for t in summary.trials if t.state in ("COMPLETE", "PRUNED", "FAIL")}
        self._running, self._started = trial, time.monotonic()
        self._epoch, self._fraction, self._curve = 1, 0.0, []
        self._phase = ""

    def epoch_progressed(self, trial: Trial, epoch: int, fraction: float) -> None:
        """Moves the progress bar."""
        self._epoch, self._fraction = epoch, fraction

    def epoch_finished(self, trial: Trial, epoch: Epoch) -> None:
        """Moves the progress bar and draws the curve on."""
        self._epoch, self._fraction = epoch.number + 1, 0.0
        self._curve = [*self._curve, epoch.metrics[self.study.config.search.objective]]

    def trial_finished(self, trial: Trial, outcome: Outcome, is_best: bool) -> None:
        """Adds a row to the table."""
        facts = {**trial.facts, **outcome.facts, "origin": trial.origin, "reason": outcome.reason}
        value = outcome.value if outcome.value is not None else trial.best
        seconds = time.monotonic() - self._started
        self._trials[trial.number] = TrialSummary(trial.number, outcome.state, value, len(self._curve), seconds, facts)
        self._running = None

    def stopping(self) -> None:
        """Shows that the search will stop."""
        self._stopping = True

    def summarize(self, arguments: Sequence[str], stopped: bool) -> None:
        """Shows the best trial and the next commands."""
        for line in closing_lines(self.study, arguments, stopped):
            self._console.print(Text(line) if isinstance(line, str) else line)

    def _render(self) -> RenderableType:
        rows = list(self._trials.values())
        parts: list[RenderableType] = [self._header()]
        if rows:
            parts.append(self._table(rows[-self._room() :]))
        running = self._running  # the search's thread may end it meanwhile
        parts.append(self._panel(running) if running else Text(f"  {self._phase} ...", style="dim"))
        parts.append(self._footer())
        return Group(*parts)

    def _room(self) -> int:
        """Rows of the table that fit beside everything else."""
        return max(3, self._console.size.height - 14)

    def _table(self, rows: Sequence[TrialSummary]) -> Table:
        best = self._best()
        return trial_table(rows, self.study.config.search.objective, best.number if best else None)

    def _header(self) -> Text:
        config = self.study.config
        header = Text.assemble(("searchcnn ", "bold"), (self.study.name, "bold cyan"))
        return header.append(
            f"  {config.data.name} · {' + '.join(config.spaces)} · {config.search.sampler.name}", "dim"
        )

    def _panel(self, trial: Trial) -> Panel:
        epochs = self.study.config.training.epochs
        done = min(1.0, max(0.0, self._epoch - 1 + self._fraction) / epochs)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=1.0, completed=done, width=40),
            Text(f"epoch {min(self._epoch, epochs)}/{epochs}" if self._epoch else f"features {self._fraction:.0%}"),
            Text(sparkline(self._curve), style="cyan"),
            Text(objective(self._curve[-1]) if self._curve else "", style="bold"),
            Text(duration(time.monotonic() - self._started), style="dim"),
        )
        facts = trial.facts
        size = f"{amount(facts.get('params'))} parameters, {amount(facts.get('macs'))} MACs" if facts else "building"
        title = f"trial {trial.number}" + (f" · {trial.origin}" if trial.origin else "") + f" · {size}"
        values = Text(point(facts.get("hyperparameters", {})), style="dim", overflow="ellipsis", no_wrap=True)
        return Panel(Group(grid, values), title=title, title_align="left", border_style="cyan")

    def _footer(self) -> Text:
        best, budget = self._best(), self.study.config.budget
        used = self._spent_before + time.monotonic() - self._began
        parts = [f"best {objective(best.value)} (trial {best.number})" if best else "no complete trial yet"]
        trials = f"{len(self._trials)}" + (f"/{budget.trials}" if budget.trials else "")
        pruned = sum(trial.state == "PRUNED" for trial in self._trials.values())
        parts.append(f"{trials} trials, {pruned} pruned")
        left = f", {duration(max(0.0, budget.timeout - used))} left" if budget.timeout else ""
        parts.append(f"{duration(used)} used{left}")
        parts.append("stopping; Ctrl-C again: at once" if self._stopping else "Ctrl-C stops")
        return Text("  " + "  ·  ".join(parts), style="bold yellow" if self._stopping else "")

    def _best(self) -> TrialSummary | None:
        complete = [t for t in self._trials.values() if t.state == "COMPLETE" and t.value is not None]
        choose = max if self.study.config.search.maximize else min
        return choose(complete, key=lambda trial: trial.value or 0.0, default=None)


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
