"""`searchcnn predict`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from searchcnn.cli.options import complete_study, csv_option, json_option, open_study
from searchcnn.errors import UsageError
from searchcnn.text import format_count

if TYPE_CHECKING:
    from searchcnn.results import Prediction

PARTS = ("train", "validation", "test")


@click.command("predict")
@click.argument("model", metavar="STUDY|MODEL.keras", shell_complete=complete_study)
@click.argument("images", nargs=-1, type=click.Path(path_type=Path), metavar="[IMAGE...]")
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, help="Number of classes shown for each image."
)
@click.option(
    "--sort-into",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Copy the images into a folder for each predicted class there.",
)
@click.option("--part", type=click.Choice(PARTS), help="List what is predicted for a part of the study's own images.")
@json_option
@csv_option
def command(
    model: str,
    images: tuple[Path, ...],
    top: int,
    sort_into: Path | None,
    part: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Classify image files with a study's best model.

    An exported model works too, if its model card is next to it. Images may have any size: they are resized to the size
    that the network was trained on, in the same way. Given a folder, every image in it is classified.

    An image is marked "unsure" if the model is less sure of it than it has to be to be right as often as its card
    promises, and "unlike" if it is unlike all images that the model knows.
    """
    if part is not None:
        if images or sort_into or top > 1:
            raise UsageError("--part lists the study's own images: give it without IMAGE, --top and --sort-into")
        _list_part(model, part, as_json, as_csv)
    elif not images:
        raise click.MissingParameter(param_hint="'IMAGE...'", param_type="argument")
    else:
        _classify(_find_model(model), images, top, sort_into, as_json, as_csv)


def _list_part(model: str, part: str, as_json: bool, as_csv: bool) -> None:
    from searchcnn.views.predictions import list_rows, print_rows, write_csv, write_json
    from searchcnn.views.tables import make_console

    if model.endswith(".keras"):
        raise UsageError(f"--part lists a study's own images, of which {model} knows nothing; name the study")
    labels = part != "test"
    predictions = open_study(model).read_predictions(part, labels=labels)
    if as_json:
        write_json(list_rows(predictions, part, labels))
    elif as_csv:
        write_csv(list_rows(predictions, part, labels))
    else:
        print_rows(predictions, part, labels, make_console())


def _classify(
    model: Path, images: Iterable[Path], top: int, sort_into: Path | None, as_json: bool, as_csv: bool
) -> None:
    from searchcnn.backend import start_keras

    start_keras()
    from searchcnn.results import classify, list_images
    from searchcnn.results.sorting import Sorter
    from searchcnn.results.wrong import make_folder
    from searchcnn.views import predictions as views

    files, counts = list_images(images), Counter[str]()
    if sort_into is not None:
        make_folder(sort_into)
    copy = Sorter(sort_into).copy if sort_into is not None else None
    with views.show_progress(len(files)) as (console, advance):
        predictions = _follow(classify(model, files), advance, copy, counts)
        if as_json:
            views.write_json(views.describe_prediction(prediction, top) for prediction in predictions)
        elif as_csv:
            readable = (prediction for prediction in predictions if not prediction.problem)
            views.write_csv(views.flatten_prediction(prediction, top) for prediction in readable)
        else:
            views.print_predictions(predictions, top, max(len(str(file)) for file in files), console)
    if not (as_json or as_csv):
        for line in views.explain_marks(counts, model):
            click.echo(line)
    if sort_into is not None:
        click.echo(f"{sort_into}: {format_count(counts['copied'], 'image')} copied", err=True)
    if counts["unreadable"] == len(files):
        sys.exit(1)


def _follow(
    predictions: Iterable[Prediction],
    advance: Callable[[], None],
    copy: Callable[[Prediction], Path] | None,
    counts: Counter[str],
) -> Iterator[Prediction]:
    """Yields predictions as they come, names unreadable files, copies the others, and counts what they are."""
    from searchcnn.views.predictions import mark

    for prediction in predictions:
        if prediction.problem:
            print(f"{prediction.file}: {prediction.problem}; skipped", file=sys.stderr)
            counts["unreadable"] += 1
        elif copy is not None:
            copy(prediction)
            counts["copied"] += 1
        counts[mark(prediction)] += 1
        yield prediction
        advance()


def _find_model(name: str) -> Path:
    """Returns the file of a model, given its study or its path."""
    return Path(name) if name.endswith(".keras") else open_study(name).model_path
