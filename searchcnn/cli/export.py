"""`searchcnn export`."""

from __future__ import annotations

from pathlib import Path

import click

from searchcnn.cli.options import get_workspace


@click.command("export")
@click.argument("study")
@click.argument("output", type=click.Path(path_type=Path), metavar="OUT.keras")
def command(study: str, output: Path) -> None:
    """Copy a study's best model to a file.

    The copy takes pixels 0..255, returns class probabilities, and loads with plain Keras; this is verified. Its model
    card, a JSON file, is written next to it.
    """
    from searchcnn.backend import start_keras

    place = get_workspace()
    if not place.best_model(study).exists():
        place.find(study)
    start_keras()
    from searchcnn.results import export_model, get_card_path

    export_model(place.best_model(study), output)
    click.echo(f"{output} and {get_card_path(output)} (verified in a fresh process with plain Keras)")
