"""`searchcnn datasets`."""

from __future__ import annotations

import dataclasses
import json

import click

from searchcnn.cli.commands import LazyGroup
from searchcnn.cli.options import json_option

COMMANDS = {"show": "Show what is in a dataset: counts, problems, a picture."}
"""Subcommands and their short help."""


@click.group("datasets", cls=LazyGroup, lazy=COMMANDS, module="searchcnn.cli.datasets_", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the datasets and where they are, or show one.

    Nothing is downloaded for the list; a search downloads what it needs.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"--json is for the list, not for {context.invoked_subcommand}")
        return
    from searchcnn.sources import find_datasets

    datasets = find_datasets()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(dataset) for dataset in datasets], indent=2))
        return
    from searchcnn.views.tables import make_console, make_dataset_table

    make_console().print(make_dataset_table(datasets))
