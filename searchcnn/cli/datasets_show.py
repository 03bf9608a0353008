"""`searchcnn datasets show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from searchcnn.study import DataConfig


@click.command("show")
@click.argument("data", metavar="NAME|PATH")
@click.option(
    "--picture", type=click.Path(path_type=Path), metavar="FILE", help="File for the picture.  [default: NAME.png]"
)
def command(data: str, picture: Path | None) -> None:
    """Show what is in a dataset: counts, problems, and a picture.

    The picture shows images of each class, augmented versions of one image, the number of images of each class, and
    their original sizes.
    """
    from searchcnn.files import guard_writing, replace_file
    from searchcnn.sources import load_dataset
    from searchcnn.views.dataset import Reading, make_class_table
    from searchcnn.views.picture import draw_dataset, save_picture
    from searchcnn.views.tables import print_lines

    config = _make_config(data)
    file = picture or Path(f"{config.title}.png")
    _check_target(file, config)
    with Reading(least="note") as images:
        dataset = load_dataset(config, 0, images.hear)
    print_lines([make_class_table(dataset.inspection)])
    with guard_writing(file), replace_file(file) as new:
        save_picture(draw_dataset(dataset), new)
    click.echo(f"Picture: {file}")


def _make_config(data: str) -> DataConfig:
    """Returns a configuration that reads a dataset by its name, or else images by their path."""
    from searchcnn.sources import BUILTIN_NAMES
    from searchcnn.sources.location import list_own_names
    from searchcnn.study import DataConfig

    is_name = data in (*BUILTIN_NAMES, *list_own_names()) or not (Path(data).exists() or set(data) & set("/.:"))
    return DataConfig(name=data) if is_name else DataConfig(path=data, max_unreadable=1.0)


def _check_target(file: Path, config: DataConfig) -> None:
    """Checks that the picture may be written to a file.

    Raises:
        UsageError: If it is not a PNG file, its folder is missing, or it is not a picture of ours or among the images.
        StoreError: If nothing can be written there.
    """
    from searchcnn.errors import UsageError
    from searchcnn.files import check_writable
    from searchcnn.views.picture import is_signed

    if file.suffix.lower() != ".png":
        raise UsageError(f"{file}: the name of the picture must end in .png, such as {file.stem}.png")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent}: no such folder")
    if file.exists() and not is_signed(file):
        raise UsageError(f"{file} exists, and is not a picture of a dataset; choose another file with --picture FILE")
    if config.path is not None and file.resolve().is_relative_to(Path(config.path).expanduser().resolve()):
        raise UsageError(f"{file} would be among the images; choose another file with --picture FILE")
    check_writable(file.parent)
