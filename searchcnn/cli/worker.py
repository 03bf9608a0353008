"""`searchcnn worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from searchcnn.cli.optimize import search, worker_options
from searchcnn.cli.options import plugins_option, storage_option, stored_study, workspace


@click.command("worker")
@click.option("--study", "name", required=True, metavar="NAME", help="A study that is in its database, by name.")
@worker_options
@plugins_option
@storage_option
def command(name: str, plugins: tuple[Path, ...], storage: str | None, **how: Any) -> None:
    """Join the search of a study, from another shell or another machine.

    What to search is read from the database. The images and the search spaces' files have to be here too, and the same:
    that is checked. It ends when nothing is left to do.
    """
    from searchcnn.run import Study

    search(Study(name, stored_study(name, storage).config, workspace(), storage, plugins), **how)
