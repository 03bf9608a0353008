"""`searchcnn studies delete`."""

from __future__ import annotations

import click

from searchcnn.cli.options import open_study, storage_option


@click.command("delete")
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@storage_option
def command(study: str, yes: bool, storage: str | None) -> None:
    """Delete a study's trials and models. Its study file stays."""
    opened = open_study(study, storage)
    folder, count = opened.workspace.studies / opened.name, len(opened.summary.trials)
    if not yes:
        click.confirm(f"Delete {count} trials of study '{opened.name}' and {folder}?", abort=True)
    opened.delete()
    click.echo(f"Deleted study '{opened.name}'.")
