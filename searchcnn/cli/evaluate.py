"""`searchcnn evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from searchcnn.cli.options import complete_study, csv_option, json_option, open_study, storage_option
from searchcnn.errors import UsageError
from searchcnn.events import Event, Note

if TYPE_CHECKING:
    from searchcnn.results import Scores
    from searchcnn.study_object import Study


@click.command("evaluate")
@click.argument("model", metavar="STUDY|MODEL.keras", shell_complete=complete_study)
@click.option("--data", metavar="PATH", help="Other labelled images; or the study's own, if they were moved.")
@click.option(
    "--wrong", type=click.Path(path_type=Path), metavar="FOLDER", help="Write the images that it gets wrong there."
)
@json_option
@csv_option
@storage_option
def command(model: str, data: str | None, wrong: Path | None, as_json: bool, as_csv: bool, storage: str | None) -> None:
    """Score a study's best model, or one in a file, on images that it was not trained on.

    By default these are the study's test images, which no search has seen. Do this once, at the end: a test score that
    is used to choose a model is worthless.

    With --data, it is scored on the test images of another dataset, or on all of its images if it has no such part.
    So is any Keras classifier in a .keras file: without a model card, it is given pixels 0..255, and its outputs are
    taken for the classes of the images, sorted by name.
    """
    from searchcnn.results.wrong import make_folder, write_wrong

    if wrong is not None:
        make_folder(wrong)
    study = None if model.endswith(".keras") else open_study(model, storage)
    scores = _evaluate_file(Path(model), data) if study is None else study.evaluate(data)
    if wrong is not None:
        count = write_wrong(scores.predictions, wrong)
        click.echo(f"{wrong}: {count:,} images that it gets wrong, and wrong.csv", err=True)
    if study is not None:
        _warn_of_mismatch(study)
    if as_json:
        click.echo(json.dumps({**scores.to_dict(), "published": _find_published(study, scores)}, indent=2))
    elif as_csv:
        from searchcnn.views.scores import write_class_scores

        write_class_scores(scores)
    else:
        _print(scores, study, data)


def _evaluate_file(model: Path, data: str | None) -> Scores:
    if data is None:
        raise UsageError(f"{model}: say on which images with --data PATH; a model does not hold its test images")
    from searchcnn.backend import start_keras

    start_keras()
    from searchcnn.results import evaluate_on

    return evaluate_on(model, data, _print_note)


def _print_note(event: Event) -> None:
    if isinstance(event, Note):
        click.echo(event.text, err=True)


def _warn_of_mismatch(study: Study) -> None:
    from searchcnn.views.summary import explain_mismatch

    if mismatch := explain_mismatch(study.model_path, study.summary):
        click.echo(f"This is the model{mismatch}.", err=True)


def _find_published(study: Study | None, scores: Scores) -> dict[str, float]:
    """Returns published scores on the same images."""
    return dict(study.summary.config.published) if study is not None and scores.times_read else {}


def _print(scores: Scores, study: Study | None, data: str | None) -> None:
    from searchcnn.views.comparison import compare_with_published
    from searchcnn.views.scores import describe_scores
    from searchcnn.views.tables import print_lines

    print_lines(describe_scores(scores, "Test accuracy" if scores.times_read else f"Accuracy on {data}"))
    if study is not None and scores.times_read:
        best = study.best
        if best is not None and best.value is not None:
            metric = study.summary.config.objective.metric
            click.echo(f"On validation, which selected it, {metric.removeprefix('val_')} {best.value:.4f}")
        for line in compare_with_published(scores.accuracy, _find_published(study, scores)):
            click.echo(line)
        click.echo(f"Report: {study.workspace.shorten(study.workspace.report(study.name))}")
    if scores.times_read > 1:
        click.echo(f"This model has now been scored on the test images {scores.times_read} times.")
