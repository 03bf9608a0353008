"""`searchcnn report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from searchcnn.cli.options import complete_study, open_study, storage_option


@click.command("report")
@click.argument("study", shell_complete=complete_study)
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: studies/STUDY/report.html]")
@click.option("--open", "is_opened", is_flag=True, help="Show it in the browser.")
@storage_option
def command(study: str, out: Path | None, is_opened: bool, storage: str | None) -> None:
    """Write a study's report: one HTML page with all that was found.

    It shows what the best model gets wrong, which images are likely filed under the wrong class, the network, the
    search, and how to reproduce it. The page needs no other files and no network. A search writes it at its end.
    """
    path = open_study(study, storage).report(out)
    click.echo(path)
    if is_opened and not webbrowser.open(path.absolute().as_uri()):
        click.echo("There is no browser here; open that file in one.", err=True)
