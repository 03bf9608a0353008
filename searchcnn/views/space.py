"""A search space on a page: text, tables, and a network drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from searchcnn.text import TIMES, amount, short
from searchcnn.views.tables import console, table

if TYPE_CHECKING:
    from searchcnn.views.outline import Line
    from searchcnn.views.portrait import Baseline, Hyperparameter, Portrait

BAR = 10
"""Width of a full bar in characters."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def print_portrait(portrait: Portrait) -> None:
    """Prints a search space."""
    shown = console()
    size = TIMES.join(map(str, portrait.image))
    shown.print(Text(portrait.name, style="bold"), Text(portrait.location, style="dim"))
    for text in (portrait.description, f"Reference: {portrait.reference}" if portrait.reference else ""):
        if text:
            shown.print(Padding(Text(text), (0, 0, 0, 2)), width=min(shown.width, 100))
    shown.print(hyperparameter_table(portrait.hyperparameters))
    shown.print(baseline_table(portrait.baselines, portrait.image))
    price = f"{amount(portrait.sample.cost.params)} parameters, {amount(portrait.sample.cost.macs)} MACs"
    shown.print(Text(f"{portrait.title[0].upper()}{portrait.title[1:]}", style="bold"), end="")
    shown.print(Text(f": images {size}, {portrait.classes} classes; {price}"))
    shown.print(network_table(portrait.network))


def hyperparameter_table(rows: Sequence[Hyperparameter]) -> Table:
    """Returns hyperparameters as a table."""
    made = table("hyperparameter", "kind", "values", "default", "asked for if")
    for row in rows:
        made.add_row(row.name, Text(row.kind, style="dim"), row.range, short(row.default), row.condition)
    return made


def baseline_table(rows: Sequence[Baseline], image: Sequence[int]) -> Table:
    """Returns baselines as a table, with a note where there is something to say."""
    made = table("baseline", "parameters", "MACs", "", right=("parameters", "MACs"))
    for row in rows:
        if row.error:
            made.add_row(row.name, "", "", Text(row.error, style="yellow"))
            continue
        notes = []
        if row.whole != row.cost:
            notes.append(f"in training, with its heads: {amount(row.whole.params)}, {amount(row.whole.macs)} MACs")
        if tuple(row.image) != tuple(image):
            notes.append(f"for images {TIMES.join(map(str, row.image))}")
        made.add_row(row.name, amount(row.cost.params), amount(row.cost.macs), Text("; ".join(notes), style="dim"))
    return made


def network_table(lines: Sequence[Line]) -> Table:
    """Returns a network as a table, with bars that show where its weights and its work are."""
    made = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    made.add_column("layer", ratio=1)
    made.add_column("output", no_wrap=True)
    for heading in ("params", "MACs"):
        made.add_column(heading, justify="right", no_wrap=True)
        made.add_column("", width=BAR, no_wrap=True)
    params, macs = max(line.params for line in lines), max(line.macs for line in lines)
    for line in lines:
        made.add_row(*_cells(line), *_measure(line.params, params, "cyan"), *_measure(line.macs, macs, "magenta"))
    return made


def _cells(line: Line) -> tuple[Text, Text]:
    text = Text(line.rule, style="dim").append(Text(line.text, style="" if line.shape else "italic dim"))
    text.no_wrap, text.overflow = True, "ellipsis"
    return text, Text(TIMES.join(map(str, line.shape)), style="dim")


def _measure(value: int, largest: int, style: str) -> tuple[str, Text]:
    return (amount(value) if value else ""), Text(bar(value / largest if largest else 0.0), style=style)


def bar(part: float) -> str:
    """Returns a bar of up to `BAR` characters; all that is more than nothing can be seen.

    Args:
        part: Of the full bar, 0..1.

    >>> bar(0.0), bar(0.5), bar(0.001)
    ('', '█████', '▏')
    """
    eighths = max(round(part * 8 * BAR), int(part > 0))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
