"""`searchcnn worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from searchcnn.cli.optimize import search, worker_options
from searchcnn.cli.options import get_workspace, plugins_option, read_stored_study, storage_option


@click.command("worker")
@click.option("--study", "name", required=True, metavar="NAME", help="Name of a study that is in the database.")
@worker_options
@plugins_option
@storage_option
def command(name: str, plugins: tuple[Path, ...], storage: str | None, **how: Any) -> None:
    """Join the search of a study from another shell or another machine.

    The study is read from the database. Its images and the files of its search spaces must be here too, and be the
    same, which is checked. The worker ends when there is nothing left to do.
    """
    from searchcnn.run import Study

    search(Study(name, read_stored_study(name, storage).config, get_workspace(), storage, plugins), **how)
