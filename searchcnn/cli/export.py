"""`searchcnn export`."""

from __future__ import annotations

from pathlib import Path

import click

from searchcnn.cli.options import complete_study, open_study


@click.command("export")
@click.argument("study", shell_complete=complete_study)
@click.argument("output", type=click.Path(path_type=Path), metavar="OUT.keras")
def command(study: str, output: Path) -> None:
    """Copy a study's best model to a file.

    The copy takes pixels 0..255, returns class probabilities, and loads with plain Keras; this is verified. Its model
    card, a JSON file, is written next to it; so is what tells images unlike all that it knows, if that is kept.
    """
    from searchcnn.results.card import get_card_path

    open_study(study).export(output)
    click.echo(f"{output} and {get_card_path(output)} (verified in a fresh process with plain Keras)")
