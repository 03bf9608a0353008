"""`searchcnn studies copy`."""

from __future__ import annotations

import shutil

import click

from searchcnn.cli.options import workspace


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
    click.echo(f"Copied study '{study}'. Go on with: searchcnn optimize --study {study} --name {new}")
