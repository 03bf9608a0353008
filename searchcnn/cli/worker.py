"""`searchcnn worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from searchcnn.cli.optimize import search, worker_options
from searchcnn.cli.options import open_study, plugins_option, storage_option


@click.command("worker")
@click.option(
    "--study",
    "name",
    required=True,
    metavar="NAME|PATH",
    help="A study that is in its database, by name or by its TOML file.",
)
@worker_options
@plugins_option
@storage_option
def command(name: str, plugins: tuple[Path, ...], storage: str | None, **how: Any) -> None:
    """Join the search of a study from another shell or another machine.

    The study is read from the database. Its images and the files of its search spaces must be here too, and be the
    same, which is checked. The worker ends when there is nothing left to do.
    """
    search(open_study(name, storage, plugins).make_begun_job, **how)
