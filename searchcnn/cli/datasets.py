"""`searchcnn datasets`."""

from __future__ import annotations

import dataclasses
import json

import click

from searchcnn.cli.options import json_option


@click.command("datasets")
@json_option
def command(as_json: bool) -> None:
    """List the datasets and where they are.

    Nothing is downloaded; a search downloads what it needs.
    """
    from searchcnn.data import find_datasets

    found = find_datasets()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return
    from rich.text import Text

    from searchcnn.cli.tables import console, table

    numbers = ("shape", "train", "test", "classes")
    made = table("dataset", "shape", "train", "test", "classes", "found", right=numbers)
    for one in found:
        shape = "x".join(map(str, one.shape)) if one.shape else "?"
        counts = (f"{n:,}" if n is not None else "?" for n in (one.train, one.test, one.classes))
        made.add_row(one.name, shape, *counts, Text(one.source or "not on this machine: downloaded when needed"))
    console().print(made)
