"""`searchcnn datasets`."""

from __future__ import annotations

import dataclasses
import json

import click

from searchcnn.cli.main import LazyGroup
from searchcnn.cli.options import json_option

COMMANDS = {"show": "Show what is in a dataset: counts, what is wrong with it, a picture."}
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

    found = find_datasets()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return
    from rich.text import Text

    from searchcnn.views.tables import console, table

    numbers = ("shape", "train", "test", "classes")
    made = table("dataset", "shape", "train", "test", "classes", "found", right=numbers)
    for one in found:
        shape = "x".join(map(str, one.shape)) if one.shape else "?"
        counts = (f"{n:,}" if n is not None else "?" for n in (one.train, one.test, one.classes))
        made.add_row(one.name, shape, *counts, Text(one.source or "not on this machine: downloaded when needed"))
    console().print(made)
