"""`searchcnn optimize`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.commands import INTERRUPTED
from searchcnn.cli.options import Command, data_option, get_workspace, plugins_option, storage_option, weights_option

if TYPE_CHECKING:
    from searchcnn.run import Study
    from searchcnn.study import StudyConfig
    from searchcnn.views.dataset import Reading
    from searchcnn.views.view import View


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
@click.option("--trials", type=click.IntRange(min=1), help="Total number of trials, earlier runs included.")
@click.option("--timeout", metavar="TIME", help="Total time, earlier runs included: 900, 15m, 1h30m.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set any key, e.g. training.epochs=5.")
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
    overrides: tuple[str, ...],
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
    from searchcnn.run import Study
    from searchcnn.views.dataset import Reading

    limits = {"budget.trials": trials, "budget.timeout": timeout}
    with Reading(how["quiet"]) as images:
        chosen, config = _chosen(study_name, data, name, overrides, limits, weights, storage, images)
    study = Study(chosen, config, get_workspace(), storage, plugins, accept_changes)
    search(study, is_told=images.is_told, **how)


def _chosen(
    study: str | None,
    data: str | None,
    name: str | None,
    overrides: Sequence[str],
    limits: Mapping[str, Any],
    weights: str | None,
    storage: str | None,
    images: Reading,
) -> tuple[str, StudyConfig]:
    """Returns the name and the configuration of the study to search."""
    place = get_workspace()
    if data is not None:
        from searchcnn.proposal.creation import configure_images

        return configure_images(
            place,
            data,
            name=name,
            study=study,
            overrides=overrides,
            extra=limits,
            hear=images.hear,
            weights=weights,
            storage=storage,
        )
    if study is None:
        raise click.UsageError("give your images with --data PATH, or a study with --study NAME (`searchcnn studies`)")
    from searchcnn.study import check_name, load

    if weights is not None:
        raise click.UsageError("--weights goes with --data; for a study file: --set options.transfer.weights=...")
    found, path = place.find(study)
    return check_name(found if name is None else name), load(path, overrides, limits)


def search(
    study: Study, quiet: bool, gpus: str, slots_per_gpu: int, workers: int | None, is_told: bool = False
) -> None:
    """Searches a study, shows its progress, and exits with the exit code of Ctrl-C if it was stopped.

    Args:
        study: The study.
        quiet: Whether to show errors only.
        gpus: See `searchcnn.optimize`.
        slots_per_gpu: See `searchcnn.optimize`.
        workers: See `searchcnn.optimize`.
        is_told: Whether the user already knows what was found in the images.
    """
    from searchcnn.events import ignore
    from searchcnn.run import resume
    from searchcnn.workers import optimize

    view = _view(resume(study, ignore), quiet)
    view.is_told = is_told
    with _stop_on_signals(view) as stop, view:
        optimize(study, view.hear, stop, workers=workers, gpus=gpus, slots_per_gpu=slots_per_gpu)
    view.summarize(click.get_current_context().obj, stopped=stop.is_set())
    if stop.is_set():
        sys.exit(INTERRUPTED)


def _view(study: Study, quiet: bool) -> View:
    from searchcnn.views.live import LiveView
    from searchcnn.views.view import PlainView, QuietView

    if quiet:
        return QuietView(study)
    return LiveView(study) if sys.stdout.isatty() else PlainView(study)


@contextmanager
def _stop_on_signals(view: View) -> Iterator[threading.Event]:
    """Lets the first Ctrl-C or SIGTERM stop the search in good order, and a second one at once."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        view.stopping()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
