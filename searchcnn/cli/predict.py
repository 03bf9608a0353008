"""`searchcnn predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.options import json_option, workspace

if TYPE_CHECKING:
    from searchcnn.results import Prediction


@click.command("predict")
@click.argument("model", metavar="STUDY|MODEL.keras")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Classes shown for each image.")
@json_option
def command(model: str, images: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Classify image files with a study's best model.

    Or with an exported one, if its model card lies beside it. Images may have any size: they are brought to the one
    that the network was trained on, in the same way. Of a folder, all images in it are classified.
    """
    from searchcnn.backend import start_keras

    path = _model(model)
    start_keras()
    from searchcnn.results import classify, image_files

    predictions = list(classify(path, image_files(images)))
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
    """Returns the file of a model that is named by its study or its path."""
    if name.endswith(".keras"):
        return Path(name)
    place = workspace()
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

    from searchcnn.views.tables import console, table

    made = table("file", "class", "probability", right=("probability",))
    for prediction in predictions:
        for place, (name, value) in enumerate(_best(prediction, top)):
            file = Text("" if place else str(prediction.file), overflow="fold")
            made.add_row(file, Text(name, style="dim" if place else "bold"), f"{value:.4f}")
    console().print(made)


def _best(prediction: Prediction, top: int) -> list[tuple[str, float]]:
    return list(prediction.probabilities.items())[:top]
