"""`searchcnn optimize`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.commands import INTERRUPTED
from searchcnn.cli.options import (
    Command,
    complete_study,
    data_option,
    get_workspace,
    plugins_option,
    space_option,
    storage_option,
    weights_option,
)

if TYPE_CHECKING:
    from searchcnn.events import Hear
    from searchcnn.job import Job
    from searchcnn.proposal.subject import Subject


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


class SettingsCommand(click.Command):
    """A command that tells how to set a key of a study, where somebody takes the key for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the arguments.

        Raises:
            click.UsageError: If they are not valid.
        """
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from searchcnn.study.file import find_key

            key = find_key(error.option_name.lstrip("-").replace("-", "_"))
            if key and not error.possibilities:
                raise click.UsageError(f"no option {error.option_name}; set it with --set {key}=VALUE", ctx) from None
            raise


@click.command("optimize", cls=SettingsCommand)
@click.argument("word", metavar="[STUDY|IMAGES]", required=False, shell_complete=complete_study)
@click.option(
    "--study",
    "study_name",
    metavar="NAME|PATH",
    shell_complete=complete_study,
    help="A study by name, or its TOML file.",
)
@data_option
@space_option
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
    word: str | None,
    study_name: str | None,
    data: str | None,
    spaces: tuple[str, ...],
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

    STUDY is a name or a TOML file, as with --study; IMAGES are a path, as with --data. Images alone are inspected
    first, and a search is proposed to fit them. With a study as well, its settings are used.
    """
    from searchcnn.study import parse_settings
    from searchcnn.study_object import Study

    subject = _combine(word, study_name, data, storage)
    is_new = subject.data is not None or name is not None
    what = {"name": name, "data": subject.data, "like": subject.study} if is_new else {"name": subject.study}
    values = parse_settings(settings)
    if spaces and "spaces" in values:
        raise click.UsageError("--space and --set spaces both name search spaces; give only one of them")
    values |= {"spaces": list(spaces)} if spaces else {}
    study = Study(**what, settings=values, weights=weights, storage=storage, plugins=plugins)
    search(partial(study.make_job, timeout=timeout, trials=trials, accept_changes=accept_changes), **how)


def _combine(word: str | None, study: str | None, data: str | None, storage: str | None) -> Subject:
    """Returns what is to be searched, by the argument and the options that name it.

    Raises:
        UsageError: If nothing is named, or two studies or two sets of images are.
    """
    from searchcnn.errors import UsageError
    from searchcnn.proposal.subject import Subject

    if word is None and study is None and data is None:
        raise UsageError("name a study (`searchcnn studies` lists them), or the path of your images")
    named = Subject() if word is None else Subject.of(word, get_workspace(), storage)
    if named.study and study:
        raise UsageError(f"two studies: {word} and --study {study}; give one of them")
    if named.data and data:
        raise UsageError(f"two sets of images: {word} and --data {data}; give one of them")
    return Subject(named.study or study, named.data or data)


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
