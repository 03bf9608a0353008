"""`searchcnn studies copy`."""

from __future__ import annotations

import shlex
import shutil

import click

from searchcnn.cli.options import get_database_url, get_workspace


@click.command("copy")
@click.argument("study")
@click.argument("new", metavar="NEW")
def command(study: str, new: str) -> None:
    """Copy a study's database, models and checkpoints under another name, even while a search is running.

    The copy is an independent study: searching one of them does not change the other.
    """
    from searchcnn.errors import UsageError
    from searchcnn.store.copies import copy_study
    from searchcnn.study import check_name

    workspace, new = get_workspace(), check_name(new)
    source, target = workspace.database(study), workspace.database(new)
    if (workspace.studies / new).exists():
        raise UsageError(f"{workspace.studies / new} already exists; choose another name")
    copy_study(source, study, target, new)
    if (workspace.studies / study).is_dir():
        shutil.copytree(workspace.studies / study, workspace.studies / new, ignore=shutil.ignore_patterns(".*"))
    arguments = ["searchcnn", "optimize", *_find_source(study), "--name", new]
    click.echo(f"Copied study '{study}'. Go on with: {shlex.join(arguments)}")


def _find_source(study: str) -> list[str]:
    """Returns the option that names what was searched: the study, or its images if it has no file."""
    from searchcnn.store import read_summary

    path = read_summary(get_database_url(study, None), study).config.data.path
    return ["--study", study] if path is None or study in get_workspace().list_study_files() else ["--data", path]
