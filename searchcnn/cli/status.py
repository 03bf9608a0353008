"""`searchcnn status`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from searchcnn.cli.options import json_option, storage_option, stored_study, workspace

if TYPE_CHECKING:
    from searchcnn.store import StudySummary


@click.command("status")
@click.argument("study")
@click.option("--top", type=click.IntRange(min=1), help="Show the best trials only, this many.")
@click.option("--failures", is_flag=True, help="Show the tracebacks of failed trials.")
@json_option
@storage_option
def command(study: str, top: int | None, failures: bool, as_json: bool, storage: str | None) -> None:
    """Show a study's trials.

    It reads the database only, and may be used while a search runs.
    """
    summary = stored_study(study, storage)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(trial) for trial in summary.trials], indent=2))
    elif failures:
        _print_failures(summary)
    else:
        _print(summary, top)


def _print(summary: StudySummary, top: int | None) -> None:
    from searchcnn.text import format_score, point
    from searchcnn.views.comparison import compared_spaces
    from searchcnn.views.summary import counts, whose
    from searchcnn.views.tables import console, show, trial_table

    best = summary.best
    rows = summary.ranking[:top] if top else summary.trials
    if rows:
        console().print(trial_table(rows, summary.config.objective.metric, best.number if best else None))
    click.echo(f"{counts(summary)}{'; a search is at work' if summary.running else ''}")
    show(compared_spaces(summary))
    if best is not None:
        click.echo(f"Best: trial {best.number}, {summary.config.objective.metric} {format_score(best.value)}")
        click.echo(f"      {point(best.facts['hyperparameters'])}")
    model = workspace().best_model(summary.name)
    if model.exists():
        click.echo(f"Model: {model.relative_to(workspace().root)}{whose(model, summary)}")


def _print_failures(summary: StudySummary) -> None:
    failed = [trial for trial in summary.trials if trial.state == "FAIL"]
    for trial in failed:
        click.echo(f"trial {trial.number}: {trial.facts.get('reason', '')}: {trial.facts.get('detail', '')}")
        click.echo(trial.facts.get("traceback", ""))
    if not failed:
        click.echo("no trial has failed")
