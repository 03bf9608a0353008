"""How a search is shown in a notebook: the live view of a terminal, as an output of the cell that is updated."""

from __future__ import annotations

import html
import io
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from searchcnn.events import Event, TrialFinished
from searchcnn.text import format_amount, format_count, format_duration, format_score
from searchcnn.views.comparison import describe_ties
from searchcnn.views.dataset import Reading
from searchcnn.views.live import LiveView
from searchcnn.views.summary import format_counts

if TYPE_CHECKING:
    from searchcnn.job import Job
    from searchcnn.results import Leaderboard
    from searchcnn.store import TrialSummary

WIDTH, HEIGHT = 110, 40
"""Columns and rows of a view."""
BEST_ROWS = 10
"""Number of trials in the table of a study."""
INTERVAL = 0.5
"""Seconds between two updates."""
PAGE = '<pre style="white-space:pre;overflow-x:auto;line-height:1.25;font-family:monospace">{code}</pre>'
"""How text with colours stands in a cell's output."""


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    import sys

    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def format_study(board: Leaderboard) -> str:
    """Returns a study as HTML: how far it is, and its best trials.

    Args:
        board: Its trials, compared.
    """
    summary, metric = board.summary, board.summary.config.objective.metric
    trials = board.sort()[:BEST_ROWS]
    head = ("trial", "state", metric, "gap", "epochs", "params", "MACs", "time", "space")
    rows = "".join(_format_row("td", _list_cells(board, trial), trial == summary.best) for trial in trials)
    left = len(summary.trials) - len(trials)
    lines = [f"<b>{html.escape(summary.name)}</b>: {summary.state}, {format_counts(summary)}", *describe_ties(board)]
    table = f"<table><thead>{_format_row('th', head)}</thead><tbody>{rows}</tbody></table>" if trials else ""
    rest = f"<p>and {format_count(left, 'more trial')}: <code>study.leaderboard()</code></p>" if left else ""
    return "".join(f"<p>{line}</p>" for line in lines) + table + rest


def _list_cells(board: Leaderboard, trial: TrialSummary) -> list[str]:
    facts, gap = trial.facts, board.gaps.get(trial.number)
    return [
        str(trial.number),
        trial.state,
        format_score(trial.value),
        "" if gap is None else f"{gap:+.4f}",
        str(trial.epochs or ""),
        format_amount(facts.get("params")),
        format_amount(facts.get("macs")),
        format_duration(trial.seconds) if trial.seconds else "",
        trial.space,
    ]


def _format_row(tag: str, cells: Iterable[str], is_best: bool = False) -> str:
    style = ' style="font-weight:bold"' if is_best else ""
    return f"<tr{style}>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


class Cell:
    """An output of a notebook's cell that is shown once and then updated."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle: Any = display(HTML(""), display_id=True)

    def show(self, content: RenderableType) -> None:
        """Shows something instead of what was shown before."""
        console = Console(file=io.StringIO(), width=WIDTH, record=True, force_jupyter=False, color_system="truecolor")
        console.print(content)
        self._handle.update(self._html(console.export_html(inline_styles=True, code_format=PAGE)))


class NotebookReading(Reading):
    """Shows how many images are read, and then what was found in them."""

    def __init__(self) -> None:
        super().__init__()
        self._cell = Cell()
        self._lines: list[RenderableType] = []
        self._updated = 0.0

    def _move(self, text: str, done: float | None) -> None:
        if time.monotonic() - self._updated > INTERVAL:
            self._updated = time.monotonic()
            self._cell.show(Group(*self._lines, f"{text} ..." if done is None else f"{text} {done:.0%}"))

    def _print(self, lines: Iterable[str | Table]) -> None:
        self._lines += [Text(line) if isinstance(line, str) else line for line in lines]
        self._cell.show(Group(*self._lines))


class NotebookView(LiveView):
    """Shows the trials, those that run, the best so far and the budget in a cell's output."""

    key = "interrupting the cell"

    def __init__(self, study: Job) -> None:
        super().__init__(study, Console(file=io.StringIO(), width=WIDTH, height=HEIGHT))
        self._cell = Cell()
        self._lines: list[RenderableType] = []
        self._updated = 0.0

    def open(self) -> None:
        """Begins to show what changes."""
        self._cell.show(self.render())

    def close(self) -> None:
        """Shows only what stays."""
        self._cell.show(Group(*self._lines))

    def hear(self, event: Event) -> None:
        """Shows what happens."""
        super().hear(event)
        if isinstance(event, TrialFinished) or time.monotonic() - self._updated > INTERVAL:
            self._updated = time.monotonic()
            self._cell.show(Group(*self._lines, self.render()))

    def print(self, line: RenderableType) -> None:
        """Shows something that stays."""
        self._lines.append(line)
        self._cell.show(Group(*self._lines))
