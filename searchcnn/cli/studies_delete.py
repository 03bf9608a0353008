"""`searchcnn studies delete`."""

from __future__ import annotations

import shutil

import click

from searchcnn.cli.options import get_database_url, get_workspace, read_stored_study, storage_option


@click.command("delete")
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@storage_option
def command(study: str, yes: bool, storage: str | None) -> None:
    """Delete a study's trials and models. Its study file stays."""
    from searchcnn.store.copies import delete_study

    summary = read_stored_study(study, storage)
    folder = get_workspace().studies / summary.name
    if not yes:
        click.confirm(f"Delete {len(summary.trials)} trials of study '{summary.name}' and {folder}?", abort=True)
    delete_study(get_database_url(summary.name, storage), summary.name)
    shutil.rmtree(folder, ignore_errors=True)
    click.echo(f"Deleted study '{summary.name}'.")
