"""`searchcnn plugins`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from searchcnn.cli.commands import LazyGroup
from searchcnn.cli.options import get_workspace, json_option, plugins_option

COMMANDS = {
    "new": "Write a search space to start from, and its test.",
    "show": "Show a search space: hyperparameters, baselines and a network.",
    "check": "Check that search spaces do what they have to do.",
}
"""Subcommands and their short help."""


@click.group("plugins", cls=LazyGroup, lazy=COMMANDS, module="searchcnn.cli.plugins_", invoke_without_command=True)
@plugins_option
@json_option
@click.pass_context
def command(context: click.Context, plugins: tuple[Path, ...], as_json: bool) -> None:
    """List the search spaces and their state, or show, check and write them.

    For the list, their files are read but not executed.
    """
    if context.invoked_subcommand is not None:
        if plugins or as_json:
            raise click.UsageError(f"options come after the command: plugins {context.invoked_subcommand} ...")
        return
    from searchcnn.spaces import discover

    spaces = discover(get_workspace(), plugins)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(plugin) for plugin in spaces], indent=2))
        return
    from searchcnn.views.tables import make_console, make_plugin_table

    make_console().print(make_plugin_table(spaces))
