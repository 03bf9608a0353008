"""`searchcnn status`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from searchcnn.cli.options import get_workspace, json_option, open_study, storage_option

if TYPE_CHECKING:
    from searchcnn.store import StudySummary


@click.command("status")
@click.argument("study")
@click.option("--top", type=click.IntRange(min=1), help="Show only this many of the best trials.")
@click.option("--failures", is_flag=True, help="Show the tracebacks of failed trials.")
@json_option
@storage_option
def command(study: str, top: int | None, failures: bool, as_json: bool, storage: str | None) -> None:
    """Show a study's trials.

    It only reads the database, so it can be used while a search is running.
    """
    summary = open_study(study, storage).summary
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(trial) for trial in summary.trials], indent=2))
    elif failures:
        _print_failures(summary)
    else:
        _print(summary, top)


def _print(summary: StudySummary, top: int | None) -> None:
    from searchcnn.text import format_point, format_score
    from searchcnn.views.comparison import compare_spaces
    from searchcnn.views.plan import format_plan
    from searchcnn.views.summary import describe_time, explain_mismatch, format_counts
    from searchcnn.views.tables import make_console, make_trial_table, print_lines

    best = summary.best
    rows = summary.ranking[:top] if top else summary.trials
    if rows:
        make_console().print(make_trial_table(rows, summary.config.objective.metric, best.number if best else None))
    click.echo(f"{format_counts(summary)}{'; a search is running' if summary.running else ''}")
    if summary.running and summary.plan:
        click.echo(format_plan(summary.plan, summary.planned_ago))
    print_lines([*describe_time(summary), *compare_spaces(summary)])
    if best is not None:
        click.echo(f"Best: trial {best.number}, {summary.config.objective.metric} {format_score(best.value)}")
        click.echo(f"      {format_point(best.facts['hyperparameters'])}")
    model = get_workspace().best_model(summary.name)
    if model.exists():
        click.echo(f"Model: {model.relative_to(get_workspace().root)}{explain_mismatch(model, summary)}")


def _print_failures(summary: StudySummary) -> None:
    failed = [trial for trial in summary.trials if trial.state == "FAIL"]
    for trial in failed:
        click.echo(f"trial {trial.number}: {trial.facts.get('reason', '')}: {trial.facts.get('detail', '')}")
        click.echo(trial.facts.get("traceback", ""))
    if not failed:
        click.echo("no trial has failed")
