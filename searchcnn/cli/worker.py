"""`searchcnn worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from searchcnn.cli.optimize import search, worker_options
from searchcnn.cli.options import complete_study, open_study, plugins_option, storage_option


@click.command("worker")
@click.argument("word", metavar="[STUDY]", required=False, shell_complete=complete_study)
@click.option("--study", "name", metavar="NAME|PATH", shell_complete=complete_study, help="The same as STUDY.")
@worker_options
@plugins_option
@storage_option
def command(word: str | None, name: str | None, plugins: tuple[Path, ...], storage: str | None, **how: Any) -> None:
    """Join the search of a study from another shell or another machine.

    STUDY is a name or a TOML file. The study is read from the database. Its images and the files of its search spaces
    must be here too, and be the same, which is checked. The worker ends when there is nothing left to do.
    """
    if (word is None) == (name is None):
        raise click.UsageError("name the study, once: searchcnn worker STUDY")
    search(open_study(word or str(name), storage, plugins).make_begun_job, **how)
