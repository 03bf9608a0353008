"""`searchcnn studies`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from searchcnn.cli.main import LazyGroup
from searchcnn.cli.options import json_option, workspace

COMMANDS = {
    "new": "Write a study file for your images, to edit.",
    "copy": "Copy a study, also while it is searched.",
    "delete": "Delete what a search has found.",
}
"""Subcommands and their short help."""


@click.group("studies", cls=LazyGroup, lazy=COMMANDS, module="searchcnn.cli.studies_", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the studies and their state, or write, copy and delete some.

    Those of ./studies come before the built-in ones of the same name.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"--json is for the list, not for {context.invoked_subcommand}")
        return
    rows = [_row(name, path) for name, path in sorted(_all().items())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.text import Text

    from searchcnn.text import objective
    from searchcnn.views.tables import console, table

    made = table("study", "state", "trials", "best", "description", right=("trials", "best"))
    for row in rows:
        made.add_row(
            row["study"], row["state"], str(row["trials"] or ""), objective(row["best"]), Text(row["description"])
        )
    console().print(made)


def _all() -> dict[str, Path | None]:
    """Study files by name, and databases without one: a search that was given another name."""
    place = workspace()
    databases = {path.stem: None for path in place.studies.glob("*.db")}
    return {**databases, **place.study_files()}


def _row(name: str, file: Path | None) -> dict[str, Any]:
    from searchcnn.errors import SearchcnnError
    from searchcnn.store import parse_url, read_summary
    from searchcnn.study import load

    row: dict[str, Any] = {"study": name, "state": "not begun", "trials": 0, "best": None, "description": ""}
    try:
        if file is not None:
            row["description"] = load(file).description
        if not (workspace().studies / f"{name}.db").exists():
            return row
        summary = read_summary(parse_url(workspace().database_url(name)), name)
    except SearchcnnError as error:
        return {**row, "state": "error", "description": str(error)}
    best = summary.best
    spent = _is_spent(summary.finished_count, summary.seconds, summary.config.budget)
    state = "running" if summary.running else "finished" if spent else "begun"
    row["description"] = row["description"] or summary.config.description
    return {**row, "state": state, "trials": summary.finished_count, "best": best.value if best else None}


def _is_spent(finished: int, seconds: float, budget: Any) -> bool:
    by_trials = budget.trials is not None and finished >= budget.trials
    return by_trials or (budget.timeout is not None and seconds >= budget.timeout)
