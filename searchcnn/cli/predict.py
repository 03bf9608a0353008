"""`searchcnn predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.options import get_workspace, json_option

if TYPE_CHECKING:
    from searchcnn.results import Prediction


@click.command("predict")
@click.argument("model", metavar="STUDY|MODEL.keras")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, help="Number of classes shown for each image."
)
@json_option
def command(model: str, images: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Classify image files with a study's best model.

    An exported model works too, if its model card is next to it. Images may have any size: they are resized to the size
    that the network was trained on, in the same way. Given a folder, every image in it is classified.
    """
    from searchcnn.backend import start_keras

    path = _model(model)
    start_keras()
    from searchcnn.results import classify, list_images

    predictions = list(classify(path, list_images(images)))
    unreadable = [one for one in predictions if one.problem]
    if as_json:
        click.echo(json.dumps([_facts(one, top) for one in predictions], indent=2))
    elif len(unreadable) < len(predictions):
        _print(predictions, top)
    for one in unreadable:
        click.echo(f"{one.file}: {one.problem}; skipped", err=True)
    if len(unreadable) == len(predictions):
        sys.exit(1)


def _model(name: str) -> Path:
    """Returns the file of a model, given its study or its path."""
    if name.endswith(".keras"):
        return Path(name)
    place = get_workspace()
    if not place.best_model(name).exists():
        place.find(name)
    return place.best_model(name)


def _facts(prediction: Prediction, top: int) -> dict[str, Any]:
    if prediction.problem:
        return {"file": str(prediction.file), "problem": prediction.problem}
    classes = [{"class": name, "probability": round(value, 6)} for name, value in _best(prediction, top)]
    return {"file": str(prediction.file), "classes": classes}


def _print(predictions: Iterable[Prediction], top: int) -> None:
    from rich.text import Text

    from searchcnn.views.tables import make_console, make_table

    made = make_table("file", "class", "probability", right=("probability",))
    for prediction in predictions:
        for place, (name, value) in enumerate(_best(prediction, top)):
            file = Text("" if place else str(prediction.file), overflow="fold")
            made.add_row(file, Text(name, style="dim" if place else "bold"), f"{value:.4f}")
    make_console().print(made)


def _best(prediction: Prediction, top: int) -> list[tuple[str, float]]:
    return list(prediction.probabilities.items())[:top]
