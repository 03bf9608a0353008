"""`searchcnn studies copy`."""

from __future__ import annotations

import shlex
import shutil

import click

from searchcnn.cli.options import database, workspace


@click.command("copy")
@click.argument("study")
@click.argument("new", metavar="NEW")
def command(study: str, new: str) -> None:
    """Copy a study's database, models and checkpoints under another name, also while it is searched.

    The copy is another study: what is searched in one of them does not change the other.
    """
    from searchcnn.errors import UsageError
    from searchcnn.store.copies import copy_study
    from searchcnn.study import valid_name

    place, new = workspace(), valid_name(new)
    source, target = place.database(study), place.database(new)
    if (place.studies / new).exists():
        raise UsageError(f"{place.studies / new} exists already; choose another name")
    copy_study(source, study, target, new)
    if (place.studies / study).is_dir():
        shutil.copytree(place.studies / study, place.studies / new, ignore=shutil.ignore_patterns(".*"))
    click.echo(
        f"Copied study '{study}'. Go on with: {shlex.join(['searchcnn', 'optimize', *_source(study), '--name', new])}"
    )


def _source(study: str) -> list[str]:
    """Returns the option that names what was searched: the study, or its images where it has no file."""
    from searchcnn.store import read_summary

    path = read_summary(database(study, None), study).config.data.path
    return ["--study", study] if path is None or study in workspace().study_files() else ["--data", path]
