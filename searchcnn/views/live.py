"""The live view of a search in a terminal."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from searchcnn.errors import StoreError
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
from searchcnn.store.summary import TrialSummary, read_if_begun
from searchcnn.study.rules import RULES
from searchcnn.text import format_amount, format_duration, format_point, format_score
from searchcnn.views.dataset import format_inspection
from searchcnn.views.plan import format_plan
from searchcnn.views.screen import Screen, fit_parts
from searchcnn.views.summary import summarize_study
from searchcnn.views.tables import FittingTable, make_trial_table
from searchcnn.views.view import Remaining, ShownTrial, View, count_epochs

if TYPE_CHECKING:
    from searchcnn.data import Inspection
    from searchcnn.job import Job

LAST_ROWS = 30
"""Trials that stay on the screen when the search has ended; `searchcnn status` shows all."""

TABLE_LINES = 7
"""Lines on the screen besides the rows of the table and what is below it: its heading and borders, what it leaves out,
the header."""
LEAST_ROWS = 2
"""Trials that have a place on any screen."""
BAR, LEAST_BAR = 40, 8
"""Width in characters of a bar, and the least one."""
PANEL_EDGES = 9
"""Width in characters of the borders of a panel, and of what is between its parts."""

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
        seconds: For how long it was trained before.
        training: How long its training will still take, once a batch was trained.
    """

    best: float | None = None
    began: float = field(default_factory=time.monotonic)
    epoch: int = 1
    fraction: float = 0.0
    curve: list[float] = field(default_factory=list)
    seconds: float = 0.0
    training: Remaining | None = None

    @property
    def elapsed(self) -> float:
        """Seconds for which it is trained, what was before included."""
        return self.seconds + time.monotonic() - self.began

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
        self._rules = RULES
        self._stopping = False
        self._is_opened = False
        self._screen = Screen(console=self._console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        with contextlib.suppress(StoreError):  # the search says what is wrong with it
            self._show_earlier()
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
        self._screen.start()

    def close(self) -> None:
        """Shows only what stays."""
        self._screen.stop()

    def print(self, line: RenderableType) -> None:
        """Shows something that stays."""
        self._screen.print(line)

    def hear(self, event: Event) -> None:
        """Shows what happens."""
        super().hear(event)
        match event:
            case StudyOpened(seconds):
                self._open_study(seconds)
            case Progress(text, done):
                self._progress, self._done = text, done
            case Note(text):  # stays on the screen
                self.print(Text(text))
            case Trouble(text):
                self._trouble = text
            case Planned():
                self._plan = event, time.monotonic()
            case TrialStarted(number, origin):
                self._start_trial(number, origin)
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
                running.seconds = max(running.seconds, sum(epoch.seconds for epoch in epochs))
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

    def _open_study(self, seconds: float) -> None:
        """Shows what earlier runs have done, and takes note of the time that was spent; it never goes back."""
        self._spent_before = max(self._spent_before, seconds - (time.monotonic() - self._began))
        if not self._is_opened:
            self._show_earlier()
        self._is_opened = True

    def _show_earlier(self) -> None:
        """Shows the trials and the time of earlier runs."""
        if summary := read_if_begun(self.study.url, self.study.name):
            self._trials = {t.number: t for t in summary.trials if t.state in ("COMPLETE", "PRUNED", "FAIL")}
            self._spent_before, self._rules = max(self._spent_before, summary.seconds), summary.rules

    def _start_trial(self, number: int, origin: str) -> None:
        """Shows a trial among those that run; one that goes on keeps its time, and its place if it was COMPLETE."""
        earlier = self._trials.get(number)
        self._running[number] = _Running(origin, seconds=earlier.seconds if earlier else 0.0)
        if earlier and not earlier.is_ranked:
            self._trials = {n: trial for n, trial in self._trials.items() if n != number}
        self._progress = ""

    def _get_running(self, number: int) -> _Running:
        """Returns what is shown of a trial; nobody sees what a killed worker still says of one that was given up."""
        return self._running.get(number) or _Running()

    def _end(self, number: int, outcome: Outcome, best: float | None) -> None:
        """Moves a trial from those that run to the table."""
        running = self._get_running(number)
        self._running.pop(number, None)
        facts = {**running.facts, **outcome.facts, "origin": running.origin, "reason": outcome.reason}
        value = outcome.value if outcome.value is not None else best
        epochs = running.epoch - 1 if running.curve else 0
        is_ranked = outcome.state == "COMPLETE"
        self._trials[number] = TrialSummary(number, outcome.state, value, epochs, running.elapsed, facts, is_ranked)

    def render(self) -> RenderableType:
        """Returns what changes, as it is now."""
        above, below = self._make_header(), Group(*self._make_lower_parts())
        rows = list(self._trials.values())[-self._count_rows(below) :]
        return Group(above, self._make_table(rows), below) if rows else Group(above, below)

    def _make_lower_parts(self) -> Iterator[RenderableType]:
        """Yields what comes below the table."""
        running = dict(self._running)  # the search's thread may end one meanwhile
        for number, trial in running.items():
            yield self._make_panel(number, trial)
        if not running:
            yield from self._make_progress_lines()
        if self._plan:
            plan, at = self._plan
            yield Text(f"  {format_plan(plan, time.monotonic() - at)}", style="dim")
        if self._trouble:
            yield Text(f"  {self._trouble}", style="yellow")
        yield self._make_footer()

    def _make_progress_lines(self) -> Iterator[RenderableType]:
        yield Text(f"  {self._progress} ...", style="dim", no_wrap=True, overflow="ellipsis")
        if self._done is not None:
            bar = Table.grid(padding=(0, 1))
            bar.add_row(" ", ProgressBar(total=1.0, completed=self._done, width=BAR), Text(f"{self._done:.0%}"))
            yield bar

    def _count_rows(self, below: RenderableType) -> int:
        """Returns how many rows of the table fit on the screen, given what comes below it."""
        options = self._console.options.update(height=None)
        others = len(self._console.render_lines(below, options)) + TABLE_LINES
        return max(LEAST_ROWS, self._console.size.height - others)

    def _make_table(self, rows: Sequence[TrialSummary]) -> FittingTable:
        best = self._find_best()
        return make_trial_table(rows, self.study.config.objective.metric, best.number if best else None)

    def _make_header(self) -> Text:
        config = self.study.config
        title = "" if config.data.title == self.study.name else f"{config.data.title} · "
        header = Text.assemble(
            ("searchcnn ", "bold"), (self.study.name, "bold cyan"), no_wrap=True, overflow="ellipsis"
        )
        return header.append(f"  {title}{' + '.join(config.spaces)} · {config.search.sampler.name}", "dim")

    def _make_panel(self, number: int, running: _Running) -> Panel:
        epochs = count_epochs(running.facts, self.study.config)
        progress = f"epoch {min(running.epoch, epochs)}/{epochs}" if running.epoch else _describe_features(running)
        done = min(1.0, running.measure_done(epochs))
        left = min(running.training.estimate_seconds(done), self._seconds_left) if running.training else math.inf
        score = format_score(running.curve[-1]) if running.curve else ""
        elapsed = format_duration(running.elapsed) + _describe_rest(left)
        room = self._console.width - sum(map(len, (progress, score, elapsed))) - PANEL_EDGES
        bar = min(BAR, max(LEAST_BAR, room // 2))
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=1.0, completed=done, width=bar),
            Text(progress, no_wrap=True),
            Text(draw_sparkline(running.curve[-max(1, room - bar) :]), style="cyan", no_wrap=True),
            Text(score, style="bold", no_wrap=True),
            Text(elapsed, style="dim", no_wrap=True, overflow="ellipsis"),
        )
        facts = running.facts
        values = Text(format_point(facts.get("hyperparameters", {})), style="dim", overflow="ellipsis", no_wrap=True)
        title = Text(_describe_running(number, running), no_wrap=True, overflow="ellipsis")
        return Panel(Group(grid, values), title=title, title_align="left", border_style="cyan")

    def _make_footer(self) -> Text:
        best, budget = self._find_best(), self.study.config.budget
        unusable = sum(trial.is_unusable for trial in self._trials.values())
        counted = len(self._trials) - (unusable if self._rules.only_trained_count else 0)
        trained = f"{counted} of {budget.trials} trained" if budget.trials else f"{counted} trained"
        used, left = f"{format_duration(self._seconds_used)} used", _describe_rest(self._seconds_left)
        stopping = [f"stopping; {self.key} again stops now"]
        parts = [
            [f"best {format_score(best.value)} (trial {best.number})" if best else "no complete trial yet"],
            [trained + (f", {unusable} unusable" if unusable else ""), trained],
            [used + left, left.removeprefix(", ") or used],
            stopping if self._stopping else [f"{self.key} stops", ""],
        ]
        line = fit_parts(parts, self._console.width - 2)
        return Text(f"  {line}", style="bold yellow" if self._stopping else "")

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


def _describe_running(number: int, running: _Running) -> str:
    """Returns what is known of a trial at work, in one line."""
    facts = running.facts
    size = f"{format_amount(facts.get('params'))} parameters, {format_amount(facts.get('macs'))} MACs"
    parts = f"trial {number}", running.origin, size if facts else "building", _describe_stretch(facts)
    return " · ".join(part for part in parts if part)


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
