"""Shows how well a model does."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from searchcnn.text import format_interval, join_words
from searchcnn.views.tables import make_score_table, make_table

if TYPE_CHECKING:
    from rich.table import Table

    from searchcnn.results import Predictions, Scores

MAX_CONFUSED = 5
"""Number of confused pairs, and of the worst images, that are named."""
MAX_MATRIX = 12
"""Number of classes of which the confusion matrix is still shown in a terminal."""


def describe_scores(scores: Scores, what: str) -> Iterator[str | Table]:
    """Yields tables and lines that show scores.

    Args:
        scores: The scores.
        what: What the accuracy is called.
    """
    yield make_score_table(scores.classes)
    if len(scores.classes) <= MAX_MATRIX:
        yield make_confusion_table(scores)
    interval = format_interval(scores.accuracy, scores.images)
    yield f"{what} {scores.accuracy:.4f}, loss {scores.loss:.4f} on {scores.images:,} images; {interval}"
    top5 = "" if scores.top5 is None else f", among the five most probable {scores.top5:.4f}"
    yield (
        f"Balanced accuracy {scores.balanced_accuracy:.4f}, kappa {scores.kappa:.4f}, "
        f"calibration error {scores.calibration_error:.4f}{top5}"
    )
    if pairs := scores.list_confusions(MAX_CONFUSED):
        texts = [f"{pair.label} for {pair.predicted} ({pair.images}, {pair.share:.1%})" for pair in pairs]
        yield f"Most confused: takes {join_words(texts)}"
    yield from _list_worst(scores.predictions)
    if scores.left_out:
        yield f"Left out, because the model does not know these classes: {', '.join(scores.left_out)}"


def _list_worst(predictions: Predictions) -> Iterator[str]:
    names, predicted, confidence = predictions.class_names, predictions.predicted, predictions.confidence
    for rank, index in enumerate(map(int, predictions.find_wrong()[:MAX_CONFUSED])):
        label, other = names[predictions.labels[index]], names[predicted[index]]
        lead = "            " if rank else "Most wrong: "
        yield f"{lead}{predictions.names[index]}: {label} taken for {other}, {confidence[index]:.1%} sure"


def make_confusion_table(scores: Scores) -> Table:
    """Returns the confusion matrix as a table: a row for each class, a column for each one that is predicted."""
    columns = [str(number) for number in range(len(scores.classes))]
    table = make_table("", "class", *columns, right=columns)
    for number, (row, line) in enumerate(zip(scores.classes, scores.matrix, strict=True)):
        cells = [Text(str(images) if images else "·") for images in line]
        cells[number].stylize("bold")
        table.add_row(str(number), Text(row.name), *cells)
    return table


def write_class_scores(scores: Scores) -> None:
    """Writes the scores of each class, and its row of the confusion matrix, to standard output as CSV."""
    table = csv.writer(sys.stdout)
    names = [row.name for row in scores.classes]
    table.writerow(["class", "precision", "recall", "f1", "images", *(f"taken for {name}" for name in names)])
    for row, line in zip(scores.classes, scores.matrix, strict=True):
        table.writerow([row.name, row.precision, row.recall, row.f1, row.images, *line])
