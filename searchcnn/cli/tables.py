"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from searchcnn.cli.text import STYLES, amount, duration, note, objective

if TYPE_CHECKING:
    from searchcnn.store import TrialSummary

PIPED_WIDTH = 160
"""Columns of a table that is not shown in a terminal."""


def console() -> Console:
    """Returns where tables are printed: as wide as the terminal, wide enough for grep where there is none."""
    shown = Console()
    return shown if shown.is_terminal else Console(width=PIPED_WIDTH)


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Returns an empty table.

    Args:
        columns: Headings.
        right: Those of columns of numbers.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return made


def trial_table(trials: Sequence[TrialSummary], metric: str, best: int | None) -> Table:
    """Returns trials as a table, the best one marked."""
    numbers = ("trial", metric, "epochs", "params", "MACs", "time")
    made = table("trial", "state", metric, "epochs", "params", "MACs", "time", "space", "note", right=numbers)
    for trial in trials:
        facts = trial.facts
        made.add_row(
            f"{'★ ' if trial.number == best else ''}{trial.number}",
            Text(trial.state, style=STYLES.get(trial.state, "")),
            objective(trial.value),
            str(trial.epochs or ""),
            amount(facts.get("params")),
            amount(facts.get("macs")),
            duration(trial.seconds) if trial.seconds else "",
            facts.get("space", ""),
            Text(note(facts), overflow="ellipsis", no_wrap=True),
            style="bold" if trial.number == best else "",
        )
    return made
