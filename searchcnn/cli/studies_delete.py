"""`searchcnn studies delete`."""

from __future__ import annotations

import click

from searchcnn.cli.options import complete_study, open_study, storage_option


@click.command("delete")
@click.argument("study", shell_complete=complete_study)
@click.option("--yes", is_flag=True, help="Do not ask.")
@storage_option
def command(study: str, yes: bool, storage: str | None) -> None:
    """Delete a study's trials and models. Its study file stays."""
    from searchcnn.text import format_count

    doomed = open_study(study, storage)
    folder, trials = doomed.workspace.studies / doomed.name, format_count(len(doomed.summary.trials), "trial")
    if not yes:
        click.confirm(f"Delete {trials} of study '{doomed.name}' and {folder}?", abort=True)
    doomed.delete()
    click.echo(f"Deleted study '{doomed.name}'.")
