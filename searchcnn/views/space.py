"""Prints a search space: text, tables, and a drawing of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from searchcnn.text import TIMES, format_amount, format_value
from searchcnn.views.tables import make_console, make_table

if TYPE_CHECKING:
    from searchcnn.results.outline import Line
    from searchcnn.views.portrait import Baseline, Hyperparameter, Portrait

BAR = 10
"""Width of a full bar in characters."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def print_portrait(portrait: Portrait) -> None:
    """Prints the description of a search space."""
    console = make_console()
    shape = TIMES.join(map(str, portrait.image))
    console.print(Text(portrait.name, style="bold"), Text(portrait.location, style="dim"))
    for text in (portrait.description, f"Reference: {portrait.reference}" if portrait.reference else ""):
        if text:
            console.print(Padding(Text(text), (0, 0, 0, 2)), width=min(console.width, 100))
    console.print(make_hyperparameter_table(portrait.hyperparameters))
    console.print(make_baseline_table(portrait.baselines, portrait.image))
    size = f"{format_amount(portrait.sample.cost.params)} parameters, {format_amount(portrait.sample.cost.macs)} MACs"
    console.print(Text(f"{portrait.title[0].upper()}{portrait.title[1:]}", style="bold"), end="")
    console.print(Text(f": images {shape}, {portrait.classes} classes; {size}"))
    console.print(make_network_table(portrait.network))


def make_hyperparameter_table(rows: Sequence[Hyperparameter]) -> Table:
    """Returns a table of hyperparameters."""
    table = make_table("hyperparameter", "kind", "values", "default", "asked for if")
    for row in rows:
        table.add_row(row.name, Text(row.kind, style="dim"), row.range, format_value(row.default), row.condition)
    return table


def make_baseline_table(rows: Sequence[Baseline], image: Sequence[int]) -> Table:
    """Returns a table of baselines, with notes where needed."""
    table = make_table("baseline", "parameters", "MACs", "", right=("parameters", "MACs"))
    for row in rows:
        if row.error:
            table.add_row(row.name, "", "", Text(row.error, style="yellow"))
            continue
        notes = []
        if row.whole != row.cost:
            notes.append(
                f"in training, with its heads: {format_amount(row.whole.params)}, {format_amount(row.whole.macs)} MACs"
            )
        if tuple(row.image) != tuple(image):
            notes.append(f"for images {TIMES.join(map(str, row.image))}")
        table.add_row(
            row.name, format_amount(row.cost.params), format_amount(row.cost.macs), Text("; ".join(notes), style="dim")
        )
    return table


def make_network_table(lines: Sequence[Line]) -> Table:
    """Returns a table of a network's layers, with bars that show where its weights and its computations are."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("layer", ratio=1)
    table.add_column("output", no_wrap=True)
    for heading in ("params", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("", width=BAR, no_wrap=True)
    params, macs = max(line.params for line in lines), max(line.macs for line in lines)
    for line in lines:
        table.add_row(
            *_make_cells(line), *_make_measure(line.params, params, "cyan"), *_make_measure(line.macs, macs, "magenta")
        )
    return table


def _make_cells(line: Line) -> tuple[Text, Text]:
    text = Text(line.rule, style="dim").append(Text(line.text, style="" if line.shape else "italic dim"))
    text.no_wrap, text.overflow = True, "ellipsis"
    return text, Text(TIMES.join(map(str, line.shape)), style="dim")


def _make_measure(value: int, largest: int, style: str) -> tuple[str, Text]:
    return (format_amount(value) if value else ""), Text(draw_bar(value / largest if largest else 0.0), style=style)


def draw_bar(part: float) -> str:
    """Draws a bar of up to `BAR` characters; anything above zero is visible.

    Args:
        part: Fraction of the full bar, 0..1.

    >>> draw_bar(0.0), draw_bar(0.5), draw_bar(0.001)
    ('', '█████', '▏')
    """
    eighths = max(round(part * 8 * BAR), int(part > 0))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
