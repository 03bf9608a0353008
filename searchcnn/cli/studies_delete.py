"""`searchcnn studies delete`."""

from __future__ import annotations

import shutil

import click

from searchcnn.cli.options import database, storage_option, stored_study, workspace


@click.command("delete")
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@storage_option
def command(study: str, yes: bool, storage: str | None) -> None:
    """Delete a study's trials and models. Its study file stays."""
    from searchcnn.store.copies import delete_study

    found = stored_study(study, storage)
    folder = workspace().studies / found.name
    if not yes:
        click.confirm(f"Delete {len(found.trials)} trials of study '{found.name}' and {folder}?", abort=True)
    delete_study(database(found.name, storage), found.name)
    shutil.rmtree(folder, ignore_errors=True)
    click.echo(f"Deleted study '{found.name}'.")
