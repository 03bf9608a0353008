"""`searchcnn plugins`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from searchcnn.cli.main import LazyGroup
from searchcnn.cli.options import json_option, plugins_option, workspace

COMMANDS = {
    "new": "Write a search space to start from, and its test.",
    "show": "Show a search space: hyperparameters, baselines and a network.",
    "check": "Check that search spaces do what they have to.",
}
"""Subcommands and their short help."""


@click.group("plugins", cls=LazyGroup, lazy=COMMANDS, module="searchcnn.cli.plugins_", invoke_without_command=True)
@plugins_option
@json_option
@click.pass_context
def command(context: click.Context, plugins: tuple[Path, ...], as_json: bool) -> None:
    """List the search spaces and their state, or show, check and write some.

    Listed ones are read without being executed.
    """
    if context.invoked_subcommand is not None:
        if plugins or as_json:
            raise click.UsageError(f"options come after the command: plugins {context.invoked_subcommand} ...")
        return
    from searchcnn.spaces import discover

    found = discover(workspace(), plugins)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(plugin) for plugin in found], indent=2))
        return
    from rich.text import Text

    from searchcnn.views.tables import console, table

    made = table("plugin", "source", "status", "description", "location")
    styles = {"ok": "green", "error": "red", "shadowed": "yellow"}
    for plugin in found:
        status = Text(plugin.status, style=styles[plugin.status])
        made.add_row(
            plugin.name, plugin.source, status, Text(plugin.error or plugin.description), Text(plugin.location)
        )
    console().print(made)
