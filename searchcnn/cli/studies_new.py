"""`searchcnn studies new`."""

from __future__ import annotations

from pathlib import Path

import click

from searchcnn.cli.options import data_option, get_workspace, weights_option


@click.command("new")
@click.argument("name")
@data_option
@weights_option
@click.option("--timeout", metavar="TIME", help="Duration of the proposed search.  [default: 1h]")
def command(name: str, data: str | None, weights: str | None, timeout: str | None) -> None:
    """Write studies/NAME.toml for your images, to edit.

    The images are inspected, and a search is proposed to fit them; the file says what was found, and what each key
    means.
    """
    from searchcnn.files import guard_writing, replace_file
    from searchcnn.study import check_name

    if data is None:
        raise click.UsageError(f"give your images with --data PATH: searchcnn studies new {name} --data PATH")
    file = get_workspace().studies / f"{check_name(name)}.toml"
    _check_free(file)
    text = _propose(name, data, weights, timeout)
    with guard_writing(file), replace_file(file) as new:
        new.write_text(text, encoding="utf-8")
    click.echo(f"Written: {file.relative_to(Path.cwd())}. Edit it, then: searchcnn optimize --study {name}")


def _propose(name: str, data: str, weights: str | None, timeout: str | None) -> str:
    from searchcnn.proposal.study_file import propose
    from searchcnn.sources import load_dataset
    from searchcnn.study import DataConfig
    from searchcnn.views.dataset import Reading

    with Reading(least="note") as images:
        dataset = load_dataset(DataConfig(path=data, max_unreadable=1.0), 0, images.hear)
    return propose(name, data, dataset.inspection, timeout=timeout, weights=weights).text


def _check_free(file: Path) -> None:
    """Checks that no study file would be overwritten, and that one can be written: before the images are read.

    Raises:
        UsageError: If there is one of that name.
        StoreError: If nothing can be written there.
    """
    from searchcnn.errors import UsageError
    from searchcnn.files import check_writable

    if file.exists():
        raise UsageError(f"{file} exists; choose another name, such as {file.stem}-2, or move it away")
    check_writable(next(folder for folder in file.parents if folder.exists()))
