"""`searchcnn evaluate`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from searchcnn.cli.options import get_workspace, json_option, read_stored_study, storage_option

if TYPE_CHECKING:
    from searchcnn.store import StudySummary


def _check(model: Path, summary: StudySummary) -> None:
    """Tells the user if the model is not that of the study's best trial.

    Raises:
        StoreError: If it belongs to another search.
    """
    from searchcnn.errors import StoreError
    from searchcnn.views.summary import OTHER_SEARCH, explain_mismatch

    said = explain_mismatch(model, summary)
    if said == OTHER_SEARCH:
        raise StoreError(f"{model} is{said}; name that database with --storage, or search again with --name")
    if said:
        click.echo(f"This is the model{said}.", err=True)


@click.command("evaluate")
@click.argument("study")
@json_option
@storage_option
def command(study: str, as_json: bool, storage: str | None) -> None:
    """Score a study's best model on the test images.

    No search has seen them. Do this once, at the end: a test score that is used to choose a model is worthless.
    """
    summary, model = read_stored_study(study, storage), get_workspace().best_model(study)
    _check(model, summary)
    from searchcnn.backend import start_keras

    start_keras()
    from searchcnn.results import evaluate_model
    from searchcnn.sources import load_dataset

    dataset = load_dataset(summary.config.data, summary.config.seed)
    scores = evaluate_model(model, dataset)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(scores), "published": summary.config.published}, indent=2))
        return
    from searchcnn.text import format_interval
    from searchcnn.views.comparison import compare_with_published
    from searchcnn.views.tables import make_console, make_table

    made = make_table("class", "precision", "recall", "F1", "images", right=("precision", "recall", "F1", "images"))
    for row in scores.classes:
        made.add_row(row.name, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.images))
    make_console().print(made)
    sure = format_interval(scores.accuracy, scores.images)
    click.echo(f"Test accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f} on {scores.images:,} images; {sure}")
    for line in compare_with_published(scores.accuracy, summary.config.published):
        click.echo(line)
    if scores.times_read > 1:
        click.echo(f"This model has now been scored on the test images {scores.times_read} times.")
