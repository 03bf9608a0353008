"""How a search is shown in a notebook: the live view of a terminal, as an output of the cell that is updated."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from searchcnn.events import Event, TrialFinished
from searchcnn.views.dataset import Reading
from searchcnn.views.live import LiveView

if TYPE_CHECKING:
    from searchcnn.job import Job

WIDTH, HEIGHT = 110, 40
"""Columns and rows of a view."""
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
