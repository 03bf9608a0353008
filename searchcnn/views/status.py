"""A study as `searchcnn status` shows it, once or for as long as a search runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.text import Text

from searchcnn.text import format_count, format_point, format_score
from searchcnn.views.comparison import compare_spaces, describe_ties
from searchcnn.views.plan import format_plan
from searchcnn.views.summary import describe_time, explain_mismatch, format_counts
from searchcnn.views.tables import make_trial_table

if TYPE_CHECKING:
    from searchcnn.results import Leaderboard
    from searchcnn.store import TrialSummary
    from searchcnn.study import Workspace

INTERVAL = 2.0
"""Seconds between two readings of the database."""
QUIET = 20.0
"""Seconds without a process at work after which a search that is not finished is given up: one may be starting."""
LEAST_ROWS = 5
"""Number of trials that have a place on any screen; what comes after them may have none."""
AROUND_ROWS = 6
"""Lines of a table besides its rows, and the line that says which trials these are."""


@dataclass(frozen=True)
class Status:
    """A study as it is shown.

    Attributes:
        board: Its trials, compared.
        workspace: Where it is kept.
        sort: The column that its trials are sorted by; None for their numbers.
        top: How many of the best trials are shown; None for all.
    """

    board: Leaderboard
    workspace: Workspace
    sort: str | None = None
    top: int | None = None

    @property
    def rows(self) -> Sequence[TrialSummary]:
        """The trials that are shown, in their order.

        Raises:
            UsageError: If there is no such column.
        """
        summary = self.board.summary
        rows = self.board.sort(self.sort) if self.sort else summary.ranking if self.top else list(summary.trials)
        best = {trial.number for trial in summary.ranking[: self.top]} if self.top else None
        return [trial for trial in rows if best is None or trial.number in best]

    def describe(self) -> Iterator[RenderableType]:
        """Yields all of it."""
        if rows := self.rows:
            yield self._make_table(rows)
        yield from self._describe_study()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draws as much of it as has a place on the screen: of the trials by number, the last that have been begun."""
        lines = self._describe_study()
        rest = Group(*(Text(line) if isinstance(line, str) else line for line in lines))
        height = options.height or console.height
        count = max(LEAST_ROWS, height - len(console.render_lines(rest, options.update(height=None))) - AROUND_ROWS)
        rows = self.rows
        is_ranked = bool(self.sort or self.top)
        begun = [trial for trial in rows if trial.state != "WAITING"] or rows
        which = "the first" if is_ranked else "the last that have been begun"
        shown = rows if len(rows) <= count else rows[:count] if is_ranked else begun[-count:]
        if shown:
            yield self._make_table(shown)
        if len(shown) < len(rows):
            yield Text(f"{len(shown)} of {format_count(len(rows), 'trial')}: {which}", style="dim")
        yield rest

    def _make_table(self, rows: Sequence[TrialSummary]) -> RenderableType:
        summary = self.board.summary
        best, metric = summary.best, summary.config.objective.metric
        return make_trial_table(rows, metric, best.number if best else None, self.board.gaps, self.board.ties)

    def _describe_study(self) -> Iterator[RenderableType]:
        summary = self.board.summary
        yield f"{format_counts(summary)}{'; a search is running' if summary.running else ''}"
        if summary.running and summary.plan:
            yield format_plan(summary.plan, summary.planned_ago)
        yield from describe_time(summary)
        yield from compare_spaces(summary)
        if best := summary.best:
            yield f"Best: trial {best.number}, {summary.config.objective.metric} {format_score(best.value)}"
            yield f"      {format_point(best.hyperparameters)}"
            yield from describe_ties(self.board)
        model: Path = self.workspace.best_model(summary.name)
        if model.exists():
            yield f"Model: {self.workspace.shorten(model)}{explain_mismatch(model, summary)}"


def watch(read: Callable[[], Status], console: Console) -> Status:
    """Shows a study for as long as a search runs, or until Ctrl-C.

    Args:
        read: Reads it anew.
        console: A terminal; what it showed before comes back in the end.

    Returns:
        What was read last.
    """
    status, seen = read(), time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), Live(status, console=console, screen=True) as live:
        while time.monotonic() - seen < QUIET and status.board.summary.state != "finished":
            time.sleep(INTERVAL)
            status = read()
            live.update(status, refresh=True)
            seen = time.monotonic() if status.board.summary.running else seen
    return status
