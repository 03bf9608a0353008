"""`searchcnn plugins`."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from searchcnn.cli.options import json_option, plugins_option, workspace


@click.command("plugins")
@click.option("--check", is_flag=True, help="Load each one and show what goes wrong.")
@plugins_option
@json_option
def command(check: bool, plugins: tuple[Path, ...], as_json: bool) -> None:
    """List the search spaces and their state.

    They are read without being executed, except with --check.
    """
    from searchcnn.spaces import check as load_each
    from searchcnn.spaces import discover

    found = discover(workspace(), plugins)
    if check:
        found = load_each(found)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(plugin) for plugin in found], indent=2))
        return
    from rich.text import Text

    from searchcnn.cli.tables import console, table

    made = table("plugin", "source", "status", "description", "location")
    styles = {"ok": "green", "error": "red", "shadowed": "yellow"}
    for plugin in found:
        status = Text(plugin.status, style=styles[plugin.status])
        made.add_row(
            plugin.name, plugin.source, status, Text(plugin.error or plugin.description), Text(plugin.location)
        )
    console().print(made)
    if check and any(plugin.status == "error" for plugin in found):
        sys.exit(1)
