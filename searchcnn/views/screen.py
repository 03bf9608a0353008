"""A terminal's screen: drawn anew when it changes its size; and lines that fit into its width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import ConsoleRenderable, RenderableType
from rich.control import Control
from rich.live import Live

GAP = "  ·  "
"""What is between two parts of a line."""


class Screen(Live):
    """Shows what changes, below lines that stay.

    Where a terminal becomes narrower, it breaks the lines that it shows, and nobody knows where they begin: the screen
    is cleared then, and the lines that stay are shown again.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._size = self.console.size
        self._lines: list[RenderableType] = []

    def print(self, line: RenderableType) -> None:
        """Shows something that stays."""
        self.console.print(line)
        self._lines.append(line)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Returns what is written to the terminal: where it has another size than before, everything."""
        shown = super().process_renderables(renderables)
        size, self._size = self._size, self.console.size
        if size == self._size or not self.console.is_interactive:
            return shown
        cursor, *rest = shown
        return [cursor, Control.clear(), Control.home(), *self._lines, *rest]  # type: ignore[list-item]


def fit_parts(parts: Sequence[Sequence[str]], width: int) -> str:
    """Returns the parts of a line, as long as there is a place for them; the last ones are shortened first.

    Args:
        parts: Each in its forms, the longest first; an empty one leaves it out.
        width: That of the line, in characters.

    >>> fit_parts([["best 0.9"], ["3 of 4 trained", "3/4"], ["Ctrl-C stops", ""]], 30)
    'best 0.9  ·  3 of 4 trained'
    """
    shown, line = [forms[0] for forms in parts], ""
    for index in reversed(range(len(parts))):
        for form in parts[index]:
            shown[index] = form
            line = GAP.join(part for part in shown if part)
            if cell_len(line) <= width:
                return line
    return line
