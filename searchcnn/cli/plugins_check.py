"""`searchcnn plugins check`."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.options import classes_option, json_option, plugins_option, size_option, workspace

if TYPE_CHECKING:
    from rich.console import Console

    from searchcnn.spaces import Plugin
    from searchcnn.testing import Result

MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}
"""How the outcome of a check is shown."""


@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N", default=200, show_default=True, help="Random points to build."
)
@click.option(
    "--max-params",
    type=click.IntRange(min=1),
    metavar="N",
    default=50_000_000,
    help="Most weights of a network.  [default: 50 million]",
)
@click.option(
    "--max-macs",
    type=click.IntRange(min=1),
    metavar="N",
    default=5_000_000_000,
    help="Most multiply-accumulates for one image.  [default: 5 billion]",
)
@size_option
@classes_option
@plugins_option
@json_option
def command(
    names: tuple[str, ...],
    samples: int,
    max_params: int,
    max_macs: int,
    size: tuple[int, int, int] | None,
    classes: int,
    plugins: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Check that search spaces do what they have to; without names, all of them.

    Networks are built, not searched; nothing is downloaded. The same checks are a class of tests for pytest:
    searchcnn.testing.SearchSpaceTests. The exit code is 1 if a check fails.
    """
    from searchcnn.study import LimitsConfig

    limits = LimitsConfig(max_params=max_params, max_macs=max_macs)
    settings = {"folders": plugins, "image": size, "classes": classes, "limits": limits}
    reports = [_report(plugin, samples, settings, quiet=as_json) for plugin in _plugins(names, plugins)]
    if as_json:
        click.echo(json.dumps(reports, indent=2))
    else:
        click.echo(_counted(reports))
    if any(map(_fails, reports)):
        sys.exit(1)


def _plugins(names: Sequence[str], folders: Sequence[Path]) -> list[Plugin]:
    from searchcnn.spaces import discover, find

    place = workspace()
    if names:
        return [find(name, place, folders) for name in names]
    return [plugin for plugin in discover(place, folders) if plugin.status != "shadowed"]


def _report(plugin: Plugin, samples: int, settings: dict[str, Any], quiet: bool) -> dict[str, Any]:
    """Checks a search space and prints what comes out."""
    from searchcnn.views.tables import console

    shown = console()
    if not quiet:
        shown.print(f"[bold]{plugin.name}[/]  [dim]{plugin.source}, {plugin.location}[/]", highlight=False)
    results = list(_results(plugin, samples, settings, quiet))
    if not quiet:
        _print(shown, results)
    facts = {"name": plugin.name, "source": plugin.source, "location": plugin.location}
    return {**facts, "checks": [dataclasses.asdict(result) for result in results]}


def _results(plugin: Plugin, samples: int, settings: dict[str, Any], quiet: bool) -> Iterator[Result]:
    """Yields the results; a plugin that cannot be loaded has one, which says why."""
    from searchcnn.backend import start_keras
    from searchcnn.errors import PluginError
    from searchcnn.spaces import load
    from searchcnn.views.tables import busy

    began = time.perf_counter()
    with busy("loading", quiet):
        start_keras()
    from searchcnn.testing.checks import CHECKS
    from searchcnn.testing.conformance import run_check
    from searchcnn.testing.result import Result
    from searchcnn.testing.subject import Subject

    try:
        subject = Subject(load(plugin), samples, **settings)
    except PluginError as error:
        yield Result("loading", "failed", str(error), time.perf_counter() - began)
        return
    for name in CHECKS:
        with busy(name, quiet):
            result = run_check(name, subject)
        yield result


def _print(shown: Console, results: Sequence[Result]) -> None:
    from rich.table import Table
    from rich.text import Text

    from searchcnn.text import duration

    made = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    made.add_column()
    made.add_column(no_wrap=True)
    made.add_column(justify="right", no_wrap=True)
    made.add_column()
    for result in results:
        mark, style = MARKS[result.status]
        text = Text(result.message, style="" if result.status == "failed" else "dim")
        made.add_row(Text(mark, style=style), result.check, duration(result.seconds), text)
    shown.print(made)
    shown.print()


def _fails(report: dict[str, Any]) -> bool:
    return any(check["status"] == "failed" for check in report["checks"])


def _counted(reports: Sequence[dict[str, Any]]) -> str:
    failing = [report["name"] for report in reports if _fails(report)]
    number = f"{len(reports)} search space{'' if len(reports) == 1 else 's'}"
    return f"{number} checked: " + (f"{', '.join(failing)} failed" if failing else "all passed")
