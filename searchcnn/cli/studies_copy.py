"""`searchcnn studies copy`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from searchcnn.cli.options import complete_study, open_study

if TYPE_CHECKING:
    from searchcnn.study_object import Study


@click.command("copy")
@click.argument("study", shell_complete=complete_study)
@click.argument("new", metavar="NEW")
def command(study: str, new: str) -> None:
    """Copy a study's database, models and checkpoints under another name, even while a search is running.

    The copy is an independent study: searching one of them does not change the other.
    """
    original = open_study(study)
    original.copy(new)
    arguments = ["searchcnn", "optimize", *_find_source(original), "--name", new]
    click.echo(f"Copied study '{original.name}'. Go on with: {shlex.join(arguments)}")


def _find_source(study: Study) -> list[str]:
    """Returns the option that names what was searched: the study, or its images if it has no file."""
    path = study.summary.config.data.path
    return (
        ["--study", study.name]
        if path is None or study.name in study.workspace.list_study_files()
        else ["--data", path]
    )
