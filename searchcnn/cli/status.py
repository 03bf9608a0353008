"""`searchcnn status`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.options import complete_study, csv_option, get_workspace, json_option, open_study, storage_option

if TYPE_CHECKING:
    from searchcnn.store import StudySummary
    from searchcnn.study_object import Study
    from searchcnn.views.status import Status


@click.command("status")
@click.argument("name", metavar="STUDY", shell_complete=complete_study)
@click.argument("number", metavar="[TRIAL]", type=click.IntRange(min=0), required=False)
@click.option("--top", type=click.IntRange(min=1), help="Show only this many of the best trials.")
@click.option(
    "--sort",
    metavar="KEY",
    help="Sort by a column or a hyperparameter: the best or the smallest first.  [default: trial]",
)
@click.option("--watch", is_flag=True, help="Keep showing it until the search ends, or Ctrl-C.")
@click.option("--failures", is_flag=True, help="Show the tracebacks of failed trials.")
@json_option
@csv_option
@storage_option
def command(name: str, number: int | None, storage: str | None, as_json: bool, as_csv: bool, **view: Any) -> None:
    """Show a study's trials, or one of them: its hyperparameters, its learning curve, why it ended.

    It only reads the database, so it can be used while a search is running.

    By default, trials come in the order in which they were begun; with --top, the best come first. `gap` is how much
    better the objective is in training than in validation. Trials marked with ≈ are as good as the best one, as far as
    the validation images can tell. What a narrow terminal leaves out is in --csv and --json.
    """
    _check_options(number, as_json=as_json, as_csv=as_csv, **view)
    study = open_study(name, storage)
    if number is not None:
        _show_trial(study, number, as_json, as_csv)
    elif view["failures"]:
        _print_failures(study.summary)
    elif view["watch"]:
        _watch(study, view["sort"], view["top"])
    else:
        _show_trials(_read(study, view["sort"], view["top"]), as_json, as_csv)


def _check_options(number: int | None, **given: Any) -> None:
    """Checks that options are not contradictory.

    Raises:
        click.UsageError: If they are.
    """
    names = [f"--{name.removeprefix('as_')}" for name, value in given.items() if value]
    forms = [name for name in names if name in ("--json", "--csv", "--watch", "--failures")]
    if len(forms) > 1:
        raise click.UsageError(f"{' and '.join(forms)} exclude each other; give one of them")
    if number is not None and (wrong := [name for name in names if name not in ("--json", "--csv")]):
        raise click.UsageError(f"{' and '.join(wrong)}: is about all trials; leave it out, or leave out TRIAL")


def _read(study: Study, sort: str | None, top: int | None) -> Status:
    from searchcnn.views.status import Status

    return Status(study.compare_trials(), get_workspace(), sort, top)


def _show_trials(status: Status, as_json: bool, as_csv: bool) -> None:
    from searchcnn.results.records import format_csv
    from searchcnn.views.tables import print_lines

    board, rows = status.board, status.rows
    if as_json:
        records = [{**dataclasses.asdict(trial), "gap": board.gaps.get(trial.number)} for trial in rows]
        click.echo(json.dumps(records, indent=2))
    elif as_csv:
        click.echo(format_csv([board.records[trial.number] for trial in rows]), nl=False)
    else:
        print_lines(status.describe())


def _watch(study: Study, sort: str | None, top: int | None) -> None:
    from searchcnn.views.status import watch
    from searchcnn.views.tables import make_console, print_lines

    console = make_console()
    if not console.is_terminal or console.is_dumb_terminal:
        raise click.UsageError("--watch needs a terminal; leave it out to print the trials once")
    print_lines(watch(lambda: _read(study, sort, top), console).describe())


def _show_trial(study: Study, number: int, as_json: bool, as_csv: bool) -> None:
    from searchcnn.results.leaderboard import find_trial
    from searchcnn.results.records import format_csv, list_epochs
    from searchcnn.views.tables import make_console, print_lines
    from searchcnn.views.trial import TrialView

    board = study.compare_trials()
    trial = find_trial(board.summary, number)
    curves = study.read_curves(number)
    if as_csv:
        click.echo(format_csv(list_epochs(curves)), nl=False)
    elif as_json:
        facts = {**dataclasses.asdict(trial), "gap": board.gaps.get(number), "curve": list_epochs(curves)}
        click.echo(json.dumps(facts, indent=2))
    else:
        shown = TrialView(trial, curves.get(number, []), board, get_workspace(), study.storage)
        print_lines(shown.describe(make_console()))


def _print_failures(summary: StudySummary) -> None:
    failed = [trial for trial in summary.trials if trial.state == "FAIL"]
    for trial in failed:
        click.echo(f"trial {trial.number}: {trial.facts.get('reason', '')}: {trial.facts.get('detail', '')}")
        click.echo(trial.facts.get("traceback", ""))
    if not failed:
        click.echo("no trial has failed")
