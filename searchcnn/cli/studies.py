"""`searchcnn studies`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from searchcnn.cli.commands import LazyGroup
from searchcnn.cli.options import get_workspace, json_option

COMMANDS = {
    "new": "Write a study file for your images, to edit.",
    "copy": "Copy a study, even while a search is running.",
    "delete": "Delete what a search has found.",
}
"""Subcommands and their short help."""


@click.group("studies", cls=LazyGroup, lazy=COMMANDS, module="searchcnn.cli.studies_", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the studies and their state, or write, copy and delete them.

    Studies in ./studies take precedence over built-in ones of the same name.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"--json is for the list, not for {context.invoked_subcommand}")
        return
    rows = [_make_row(name, file) for name, file in sorted(_list_files().items())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from searchcnn.views.tables import make_console, make_study_table

    make_console().print(make_study_table(rows))


def _list_files() -> dict[str, Path | None]:
    """Returns the study files by name, and None for databases without one: searches under another name."""
    workspace = get_workspace()
    databases = {path.stem: None for path in workspace.studies.glob("*.db")}
    return {**databases, **workspace.list_study_files()}


def _make_row(name: str, file: Path | None) -> dict[str, Any]:
    from searchcnn.errors import SearchcnnError
    from searchcnn.store import parse_url, read_summary
    from searchcnn.study import load

    row: dict[str, Any] = {"study": name, "state": "not started", "trials": 0, "best": None, "description": ""}
    try:
        if file is not None:
            row["description"] = load(file).description
        if not (get_workspace().studies / f"{name}.db").exists():
            return row
        summary = read_summary(parse_url(get_workspace().database_url(name)), name)
    except SearchcnnError as error:
        return {**row, "state": "error", "description": str(error)}
    best = summary.best
    row["description"] = row["description"] or summary.config.description
    return {**row, "state": summary.state, "trials": summary.finished_count, "best": best.value if best else None}
