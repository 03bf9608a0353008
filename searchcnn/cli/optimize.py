"""`searchcnn optimize`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.commands import INTERRUPTED
from searchcnn.cli.options import Command, data_option, plugins_option, storage_option, weights_option

if TYPE_CHECKING:
    from searchcnn.events import Hear
    from searchcnn.job import Job


def worker_options(command: Command) -> Command:
    """Adds ``--gpus``, ``--slots-per-gpu``, ``--workers`` and ``--quiet``."""
    options: list[Callable[[Any], Any]] = [
        click.option("--gpus", metavar="all|none|0,1", default="all", help="GPUs to use, with one worker on each."),
        click.option("--slots-per-gpu", type=click.IntRange(min=1), default=1, help="Number of workers on each GPU."),
        click.option(
            "--workers", type=click.IntRange(min=0), help="Number of worker processes; 0 searches in this process."
        ),
        click.option("--quiet", is_flag=True, help="Print errors only."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("optimize")
@click.option("--study", "study_name", metavar="NAME|PATH", help="A study by name, or its TOML file.")
@data_option
@weights_option
@click.option("--name", metavar="NAME", help="Keep the results under another name, as a new search.")
@click.option("--trials", type=click.IntRange(min=1), help="Total number of trained networks, earlier runs included.")
@click.option("--timeout", metavar="TIME", help="Total time, earlier runs included: 900, 15m, 1h30m.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set any key, e.g. training.epochs=5.")
@click.option("--accept-changes", is_flag=True, help="Continue even if the search space, data or recipe has changed.")
@worker_options
@plugins_option
@storage_option
def command(
    study_name: str | None,
    data: str | None,
    weights: str | None,
    name: str | None,
    trials: int | None,
    timeout: str | None,
    settings: tuple[str, ...],
    accept_changes: bool,
    plugins: tuple[Path, ...],
    storage: str | None,
    **how: Any,
) -> None:
    """Search a study, or your images, until the budget is spent.

    The same command continues a search that was stopped, by Ctrl-C or by anything else; a larger budget extends it. The
    best network so far is always in studies/NAME/best.keras.

    With --data alone, the images are inspected first, and a search is proposed to fit them. With --study as well, the
    settings of that study are used.
    """
    from searchcnn.errors import UsageError
    from searchcnn.study import parse_settings
    from searchcnn.study_object import Study

    if study_name is None and data is None:
        raise UsageError(
            "give your images with --data PATH, or a study with --study NAME (`searchcnn studies` lists them)"
        )
    is_new = data is not None or name is not None
    what = {"name": name, "data": data, "like": study_name} if is_new else {"name": study_name}
    study = Study(**what, settings=parse_settings(settings), weights=weights, storage=storage, plugins=plugins)
    search(partial(study.make_job, timeout=timeout, trials=trials, accept_changes=accept_changes), **how)


def search(make_job: Callable[[Hear], Job], quiet: bool, **how: Any) -> None:
    """Searches, shows how it goes, and exits with the exit code of Ctrl-C if it was stopped.

    Args:
        make_job: Makes the job.
        quiet: Whether to show errors only.
        how: Options of `searchcnn.workers.search`.
    """
    from searchcnn.session import search_job

    if search_job(make_job, show=not quiet, arguments=click.get_current_context().obj, **how):
        sys.exit(INTERRUPTED)
