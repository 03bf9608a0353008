"""`searchcnn export`."""

from __future__ import annotations

from pathlib import Path

import click

from searchcnn.cli.options import workspace


@click.command("export")
@click.argument("study")
@click.argument("output", type=click.Path(path_type=Path), metavar="OUT.keras")
def command(study: str, output: Path) -> None:
    """Copy a study's best model to a file.

    The copy takes pixels 0..255, gives class probabilities, and loads with plain Keras; that is checked. Its model card
    lies beside it, a JSON file.
    """
    from searchcnn.backend import start_keras

    place = workspace()
    if not place.best_model(study).exists():
        place.find(study)
    start_keras()
    from searchcnn.results import card_path, export_model

    export_model(place.best_model(study), output)
    click.echo(f"{output} and {card_path(output)} (verified in a fresh process with plain Keras)")
