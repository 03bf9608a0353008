"""`searchcnn evaluate`."""

from __future__ import annotations

import dataclasses
import json

import click

from searchcnn.cli.options import json_option, open_study, storage_option


@click.command("evaluate")
@click.argument("study", metavar="STUDY")
@json_option
@storage_option
def command(study: str, as_json: bool, storage: str | None) -> None:
    """Score a study's best model on the test images.

    No search has seen them. Do this once, at the end: a test score that is used to choose a model is worthless.
    """
    from searchcnn.views.summary import explain_mismatch

    searched = open_study(study, storage)
    scores, summary = searched.evaluate(), searched.summary
    published = summary.config.published
    if mismatch := explain_mismatch(searched.model_path, summary):
        click.echo(f"This is the model{mismatch}.", err=True)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(scores), "published": published}, indent=2))
        return
    from searchcnn.text import format_interval
    from searchcnn.views.comparison import compare_with_published
    from searchcnn.views.tables import make_console, make_score_table

    make_console().print(make_score_table(scores.classes))
    interval = format_interval(scores.accuracy, scores.images)
    click.echo(f"Test accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f} on {scores.images:,} images; {interval}")
    for line in compare_with_published(scores.accuracy, published):
        click.echo(line)
    if scores.times_read > 1:
        click.echo(f"This model has now been scored on the test images {scores.times_read} times.")
