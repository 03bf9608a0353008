"""`searchcnn plugins check`."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.options import classes_option, get_workspace, json_option, plugins_option, size_option
from searchcnn.text import format_count

if TYPE_CHECKING:
    from searchcnn.spaces import Plugin
    from searchcnn.testing import Result


@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    default=200,
    show_default=True,
    help="Number of random points to build.",
)
@click.option(
    "--max-params",
    type=click.IntRange(min=1),
    metavar="N",
    default=50_000_000,
    help="Maximum number of weights of a network.  [default: 50 million]",
)
@click.option(
    "--max-macs",
    type=click.IntRange(min=1),
    metavar="N",
    default=5_000_000_000,
    help="Maximum number of multiply-accumulates for one image.  [default: 5 billion]",
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
    """Check that search spaces do what they have to do; without names, all of them.

    Networks are built, but no search is run, and nothing is downloaded. The same checks are available as a pytest
    class, searchcnn.testing.SearchSpaceTests. The exit code is 1 if a check fails.
    """
    from searchcnn.study import LimitsConfig

    limits = LimitsConfig(max_params=max_params, max_macs=max_macs)
    settings = {"samples": samples, "folders": plugins, "image": size, "classes": classes, "limits": limits}
    reports = [_check_plugin(plugin, settings, quiet=as_json) for plugin in _find_plugins(names, plugins)]
    if as_json:
        click.echo(json.dumps(reports, indent=2))
    else:
        click.echo(_summarize(reports))
    if any(map(_fails, reports)):
        sys.exit(1)


def _find_plugins(names: Sequence[str], folders: Sequence[Path]) -> list[Plugin]:
    from searchcnn.spaces import discover, find

    workspace = get_workspace()
    if names:
        return [find(name, workspace, folders) for name in names]
    return [plugin for plugin in discover(workspace, folders) if plugin.status != "shadowed"]


def _check_plugin(plugin: Plugin, settings: Mapping[str, Any], quiet: bool) -> dict[str, Any]:
    """Checks a search space and prints the results."""
    from searchcnn.views.tables import make_check_table, make_console

    console = make_console()
    if not quiet:
        console.print(f"[bold]{plugin.name}[/]  [dim]{plugin.source}, {plugin.location}[/]", highlight=False)
    results = list(_run_checks(plugin, settings, quiet))
    if not quiet:
        console.print(make_check_table(results))
        console.print()
    facts = {"name": plugin.name, "source": plugin.source, "location": plugin.location}
    return {**facts, "checks": [dataclasses.asdict(result) for result in results]}


def _run_checks(plugin: Plugin, settings: Mapping[str, Any], quiet: bool) -> Iterator[Result]:
    """Yields the results; for a plugin that cannot be loaded, a single one that says why."""
    from searchcnn.backend import start_keras
    from searchcnn.errors import PluginError
    from searchcnn.spaces import load
    from searchcnn.views.tables import show_status

    start = time.perf_counter()
    with show_status("loading", quiet):
        start_keras()
    from searchcnn.testing.conformance import run_checks
    from searchcnn.testing.result import Result
    from searchcnn.testing.subject import Subject

    try:
        subject = Subject(load(plugin), **settings)
    except PluginError as error:
        yield Result("loading", "failed", str(error), time.perf_counter() - start)
        return
    yield from run_checks(subject, lambda name: show_status(name, quiet))


def _fails(report: dict[str, Any]) -> bool:
    return any(check["status"] == "failed" for check in report["checks"])


def _summarize(reports: Sequence[dict[str, Any]]) -> str:
    failing = [report["name"] for report in reports if _fails(report)]
    outcome = f"{', '.join(failing)} failed" if failing else "all passed"
    return f"{format_count(len(reports), 'search space')} checked: {outcome}"
