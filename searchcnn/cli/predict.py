"""`searchcnn predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.options import json_option, open_study

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

    path = _find_model(model)
    start_keras()
    from searchcnn.results import classify, list_images

    predictions = list(classify(path, list_images(images)))
    unreadable = [prediction for prediction in predictions if prediction.problem]
    if as_json:
        click.echo(json.dumps([_describe(prediction, top) for prediction in predictions], indent=2))
    elif len(unreadable) < len(predictions):
        from searchcnn.views.tables import make_console, make_prediction_table

        make_console().print(make_prediction_table(predictions, top))
    for prediction in unreadable:
        click.echo(f"{prediction.file}: {prediction.problem}; skipped", err=True)
    if len(unreadable) == len(predictions):
        sys.exit(1)


def _find_model(name: str) -> Path:
    """Returns the file of a model, given its study or its path."""
    return Path(name) if name.endswith(".keras") else open_study(name).model_path


def _describe(prediction: Prediction, top: int) -> dict[str, Any]:
    if prediction.problem:
        return {"file": str(prediction.file), "problem": prediction.problem}
    classes = [{"class": name, "probability": round(value, 6)} for name, value in prediction.rank(top)]
    return {"file": str(prediction.file), "classes": classes}
