"""`searchcnn labels`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from searchcnn.cli.options import complete_study, csv_option, json_option, open_study, plugins_option, storage_option


@click.command("labels")
@click.argument("study", metavar="STUDY", shell_complete=complete_study)
@click.option(
    "--folds",
    type=click.IntRange(2, 20),
    metavar="K",
    help="Look at the training images, too: train the best network K times, each time without one of K folds.",
)
@click.option(
    "--pictures", type=click.Path(path_type=Path), metavar="FOLDER", help="Write these images there, to look at them."
)
@json_option
@csv_option
@plugins_option
@storage_option
def command(
    study: str,
    folds: int | None,
    pictures: Path | None,
    as_json: bool,
    as_csv: bool,
    plugins: tuple[Path, ...],
    storage: str | None,
) -> None:
    """Name the images that are likely filed under the wrong class, the most likely first.

    By what networks predict for images that they were not trained on: by default the best model for the validation
    images. With --folds, the training images are looked at, too; it is kept, so that asking again takes no time. The
    test images are never read.
    """
    from searchcnn.results import find_label_errors
    from searchcnn.results.wrong import make_folder, write_label_errors
    from searchcnn.views.labels import describe_label_errors, write_label_table
    from searchcnn.views.progress import show_reading
    from searchcnn.views.tables import print_lines

    if pictures is not None:
        make_folder(pictures)
    searched = open_study(study, storage, plugins)
    with show_reading(show=not (as_json or as_csv)) as reading:
        predictions = searched.predict_unseen(folds, reading.hear)
    errors = find_label_errors(predictions)
    if pictures is not None:
        write_label_errors(errors, searched.read_labelled_images(), pictures)
        click.echo(f"{pictures}: {len(errors):,} images, and labels.csv", err=True)
    if as_json:
        click.echo(json.dumps([asdict(error) for error in errors], indent=2))
    elif as_csv:
        write_label_table(errors)
    else:
        parts = "validation" if folds is None else "training and validation"
        print_lines(describe_label_errors(errors, f"{len(predictions):,} {parts} images"))
