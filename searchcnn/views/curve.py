"""Learning curves, drawn in a terminal."""

import math
from collections.abc import Sequence

from rich.text import Text

from searchcnn.events import Epoch

TRAINING, VALIDATION = ("dot", "blue+", "bright_blue", "•••"), ("braille", "green+", "bright_green", "⠒⠒⠒")
"""What a metric in training and in validation is drawn with: Plotext's marker and colour, Rich's colour, and how that
looks. They can be told apart without colours."""
LARGEST = 1e100
"""Values beyond it are not drawn: Plotext computes with their differences."""
TICKS = 6
"""Number of epochs that are named on the axis, about."""


def draw_curve(curve: Sequence[Epoch], metric: str, width: int, height: int) -> Text:
    """Draws how a metric went in training and in validation; nothing where there are no two epochs to connect.

    Args:
        curve: The epochs.
        metric: The metric, as it is called in training or in validation.
        width: Columns of the drawing.
        height: Its rows.
    """
    import plotext

    name, legend = metric.removeprefix("val_"), Text()
    plotext.clear_figure()  # it has one for all
    plotext.plot_size(width, height - 1)
    plotext.theme("clear")  # the terminal's own background
    for key, (marker, colour, rich_colour, look) in ((name, TRAINING), (f"val_{name}", VALIDATION)):
        points = _list_points(curve, key)
        if len(points) > 1:
            plotext.plot(*map(list, zip(*points, strict=True)), marker=marker, color=colour)
            legend.append(f"  {look} ", rich_colour).append(key)
    if not legend:
        return legend
    ticks = choose_ticks(curve[0].number, curve[-1].number)
    plotext.xticks(ticks, list(map(str, ticks)))
    plotext.xlabel("epoch")
    return Text.assemble(legend, "\n", Text.from_ansi(plotext.build().rstrip()), no_wrap=True)


def _list_points(curve: Sequence[Epoch], key: str) -> list[tuple[int, float]]:
    """Returns epochs and values of a metric, as far as they can be drawn."""
    points = ((epoch.number, epoch.metrics.get(key, math.nan)) for epoch in curve)
    return [(number, value) for number, value in points if abs(value) < LARGEST]


def choose_ticks(first: int, last: int) -> list[int]:
    """Returns the epochs that are named on the axis.

    >>> choose_ticks(1, 4), choose_ticks(1, 54)
    ([1, 2, 3, 4], [1, 10, 20, 30, 40, 54])
    """
    sizes = (size * 10**power for power in range(12) for size in (1, 2, 5))
    step = next(size for size in sizes if (last - first) / size <= TICKS)
    between = range(step * (first // step + 1), last, step)
    return [first, *(epoch for epoch in between if min(epoch - first, last - epoch) > step / 2 or step == 1), last]
