"""Tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from searchcnn.text import amount, duration, format_score, note

if TYPE_CHECKING:
    from searchcnn.store import SpaceSummary, TrialSummary

STYLES: Mapping[str, str] = {
    "COMPLETE": "green",
    "PRUNED": "yellow",
    "FAIL": "red",
    "RUNNING": "cyan",
    "WAITING": "dim",
}
"""Colour of each trial state."""
PIPED_WIDTH = 160
"""Columns of a table that is not shown in a terminal."""


def console() -> Console:
    """Returns where tables are printed: as wide as the terminal, wide enough for grep where there is none."""
    shown = Console()
    return shown if shown.is_terminal else Console(width=PIPED_WIDTH)


def show(lines: Iterable[str | Table]) -> None:
    """Prints lines and tables."""
    for line in lines:
        if isinstance(line, str):
            click.echo(line)
        else:
            console().print(line)


def busy(text: str, quiet: bool) -> AbstractContextManager[Any]:
    """Shows what is going on while the body runs: in a terminal, unless it is to be quiet."""
    shown = console()
    return shown.status(text) if shown.is_terminal and not quiet else nullcontext()


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
            format_score(trial.value),
            str(trial.epochs or ""),
            amount(facts.get("params")),
            amount(facts.get("macs")),
            duration(trial.seconds) if trial.seconds else "",
            facts.get("space", ""),
            Text(note(facts), overflow="ellipsis", no_wrap=True),
            style="bold" if trial.number == best else "",
        )
    return made


def space_table(spaces: Sequence[SpaceSummary], metric: str) -> Table:
    """Returns search spaces as a table, the first one marked if it has a complete trial."""
    best = f"best {metric}"
    numbers = ("trials", "complete", "pruned", "time", best, "params", "MACs", "epochs")
    made = table("search space", *numbers, right=numbers)
    for place, space in enumerate(spaces):
        won = place == 0 and space.best is not None
        counts = (str(number) for number in (space.trials, space.complete, space.pruned))
        time = duration(space.seconds) if space.seconds else ""
        made.add_row(
            f"{'★ ' if won else ''}{space.name}", *counts, time, *_network(space.best), style="bold" if won else ""
        )
    return made


def _network(trial: TrialSummary | None) -> tuple[str, ...]:
    if trial is None:
        return ("",) * 4
    facts = trial.facts
    return format_score(trial.value), amount(facts["params"]), amount(facts["macs"]), str(trial.epochs)
