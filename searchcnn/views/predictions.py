"""Lists predictions as they are made: as a table, JSON or CSV."""

from __future__ import annotations

import csv
import itertools
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from searchcnn.results.card import find_card
from searchcnn.text import format_count
from searchcnn.views.tables import make_console, make_table

if TYPE_CHECKING:
    from pathlib import Path

    from searchcnn.results import Prediction, Predictions

PIECE = 64
"""Number of rows of a table that are printed at once."""
LEAST_WIDTH = 20
"""Width in characters that the names of files have at least."""
MARKS: Mapping[str, str] = {"unsure": "yellow", "unlike": "red", "": ""}
"""The style of each mark of an image."""


def mark(prediction: Prediction) -> str:
    """Returns what is worth noting about a prediction: that it is unsure, or the image unlike all that is known."""
    return "unlike" if prediction.unlike else "unsure" if prediction.sure is False else ""


def explain_marks(counts: Mapping[str, int], model: Path) -> Iterator[str]:
    """Yields what the marks of a table mean, if there are any.

    Args:
        counts: How many images have each mark.
        model: The model's file, whose card says what it promises.
    """
    if counts.get("unsure"):
        sure = find_card(model).get("sure") or {}
        yield (
            f"unsure: {format_count(counts['unsure'], 'image')}; of validation images that it is more sure of, "
            f"{sure.get('accuracy', 0):.1%} are right"
        )
    if counts.get("unlike"):
        yield f"unlike: {format_count(counts['unlike'], 'image')}, unlike all that it knows"


def describe_prediction(prediction: Prediction, top: int) -> dict[str, Any]:
    """Returns a prediction as JSON holds it, with its most probable classes."""
    if prediction.problem:
        return {"file": str(prediction.file), "problem": prediction.problem}
    classes = [{"class": name, "probability": round(value, 6)} for name, value in prediction.rank(top)]
    return {
        "file": str(prediction.file),
        "classes": classes,
        "sure": prediction.sure,
        "unlike": prediction.unlike,
    }


def flatten_prediction(prediction: Prediction, top: int) -> dict[str, Any]:
    """Returns a prediction as a row of a table: what follows the most probable class has numbered columns."""
    row: dict[str, Any] = {"file": prediction.file}
    for rank, (name, value) in enumerate(prediction.rank(top), 1):
        number = f"_{rank}" if rank > 1 else ""
        row |= {f"class{number}": name, f"probability{number}": f"{value:.6f}"}
        if rank == 1:
            row |= {"sure": _format_flag(prediction.sure), "unlike": _format_flag(prediction.unlike)}
    return row


def _format_flag(flag: bool | None) -> str:
    return "" if flag is None else str(flag).lower()


def list_rows(predictions: Predictions, part: str, labels: bool) -> Iterator[dict[str, Any]]:
    """Yields what is predicted for each image of a part of a dataset.

    Args:
        predictions: Of its images.
        part: The part.
        labels: Whether to tell the labels.
    """
    names, confidence = predictions.class_names, predictions.confidence
    for index, predicted in enumerate(predictions.predicted):
        label = {"label": names[predictions.labels[index]]} if labels else {}
        yield {
            "file": predictions.names[index],
            "part": part,
            **label,
            "predicted": names[predicted],
            "probability": round(float(confidence[index]), 6),
        }


def write_json(items: Iterable[Mapping[str, Any]]) -> None:
    """Writes a list to standard output as JSON, each item as it comes."""
    lead = "["
    for item in items:
        print(f"{lead}\n{textwrap.indent(json.dumps(item, indent=2), '  ')}", end="")
        lead = ","
    print("\n]" if lead == "," else "[]")


def write_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows to standard output as CSV, each as it comes; the first one names the columns."""
    table = csv.writer(sys.stdout)
    for number, row in enumerate(rows):
        if number == 0:
            table.writerow(row)
        table.writerow(row.values())


def print_predictions(predictions: Iterable[Prediction], top: int, longest: int, console: Console) -> None:
    """Prints a table of the most probable classes of each image, in pieces of the same width.

    Args:
        predictions: Of the images, as they are made.
        top: Number of classes for each image.
        longest: Length of the longest name of a file.
        console: Where to.
    """

    def add_rows(prediction: Prediction) -> Iterator[Sequence[Text | str]]:
        for rank, (name, value) in enumerate(prediction.rank(top)):
            note = Text("" if rank else mark(prediction), style=MARKS[mark(prediction)])
            file = Text("" if rank else str(prediction.file), overflow="fold")
            yield file, Text(name, style="dim" if rank else "bold"), f"{value:.4f}", note

    readable = (prediction for prediction in predictions if not prediction.problem)
    first = next(readable, None)
    if first is None:
        return
    widths = {"file": longest, "class": max(map(len, first.probabilities)), "probability": 11, "note": 6}
    rows = (row for prediction in itertools.chain([first], readable) for row in add_rows(prediction))
    _print_pieces(rows, widths, console)


def print_rows(predictions: Predictions, part: str, labels: bool, console: Console) -> None:
    """Prints a table of what is predicted for each image of a part of a dataset; arguments as of `list_rows`."""
    longest = max(map(len, predictions.names), default=0)
    width = max(map(len, predictions.class_names))
    widths = {"file": longest, "part": len(part), **({"label": width} if labels else {}), "predicted": width}
    rows = (_style(row) for row in list_rows(predictions, part, labels))
    _print_pieces(rows, {**widths, "probability": 11}, console)


def _style(row: Mapping[str, Any]) -> list[Text | str]:
    is_wrong = "label" in row and row["label"] != row["predicted"]
    texts = {**row, "probability": f"{row['probability']:.4f}"}
    texts["predicted"] = Text(row["predicted"], style="red" if is_wrong else "")
    return [text if isinstance(text, Text) else Text(text, overflow="fold") for text in texts.values()]


def _print_pieces(rows: Iterator[Sequence[Text | str]], widths: Mapping[str, int], console: Console) -> None:
    """Prints a table piece by piece; the first column gives way where the console is too narrow."""
    (first, longest), *others = widths.items()
    rest = sum(max(len(name), width) + 3 for name, width in others)
    fitted = {first: max(LEAST_WIDTH, min(longest, console.width - rest)), **dict(others)}
    is_first = True
    while piece := list(itertools.islice(rows, PIECE)):
        table = make_table(*fitted, right=("probability",))
        table.show_edge, table.show_header = False, is_first  # an edge would be between the pieces
        for column, (name, width) in zip(table.columns, fitted.items(), strict=True):
            column.width = max(len(name), width)
        for row in piece:
            table.add_row(*row)
        console.print(table)
        is_first = False


@contextmanager
def show_progress(total: int) -> Iterator[tuple[Console, Callable[[], None]]]:
    """Shows a bar while the body runs, on standard error, if that is a terminal.

    Args:
        total: Number of images.

    Yields:
        What tables are printed on, and what to call after each image.
    """
    console, errors = make_console(), Console(stderr=True)
    columns = (TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=console if console.is_terminal else errors,  # one for both, or a table would be printed into the bar
        transient=True,
        redirect_stdout=console.is_terminal,
        redirect_stderr=errors.is_terminal,
        disable=not errors.is_terminal,
    ) as progress:
        task = progress.add_task("", total=total)
        yield console, lambda: progress.advance(task)
