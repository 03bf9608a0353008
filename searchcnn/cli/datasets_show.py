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
    "--picture", type=click.Path(path_type=Path), metavar="FILE", help="Where the picture goes.  [default: NAME.png]"
)
def command(data: str, picture: Path | None) -> None:
    """Show what is in a dataset: counts, what is wrong with it, and a picture.

    The picture shows images of each class, what augmentation makes of one, the number of images of each class and the
    sizes they came in.
    """
    from searchcnn.files import guard_writing, replace_file
    from searchcnn.sources import load_dataset
    from searchcnn.views.dataset import Reading, class_table
    from searchcnn.views.picture import draw, signed
    from searchcnn.views.tables import show

    config = _config(data)
    file = picture or Path(f"{config.title}.png")
    _check_target(file, config)
    with Reading(least="note") as images:
        dataset = load_dataset(config, 0, images.watch, images.tell)
    show([class_table(dataset.report)])
    with guard_writing(file), replace_file(file) as new:
        draw(dataset).save(new, format="PNG", optimize=True, pnginfo=signed())
    click.echo(f"Picture: {file}")


def _config(data: str) -> DataConfig:
    """Returns what is to be read: a dataset by its name, or else images by their path."""
    from searchcnn.sources import NAMES
    from searchcnn.sources.locate import own_names
    from searchcnn.study import DataConfig

    is_name = data in (*NAMES, *own_names()) or not (Path(data).exists() or set(data) & set("/.:"))
    return DataConfig(name=data) if is_name else DataConfig(path=data, max_unreadable=1.0)


def _check_target(file: Path, config: DataConfig) -> None:
    """Refuses to write the picture where it cannot lie.

    Raises:
        UsageError: If it is no PNG file, its folder is missing, or it would be one of the images.
    """
    from searchcnn.errors import UsageError
    from searchcnn.views.picture import is_signed

    if file.suffix.lower() != ".png":
        raise UsageError(f"{file}: the name of the picture ends in .png, such as {file.stem}.png")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent}: no such folder")
    if file.exists() and not is_signed(file):
        raise UsageError(f"{file} exists, and is no picture of a dataset; name another place with --picture FILE")
    if config.path is not None and file.resolve().is_relative_to(Path(config.path).expanduser().resolve()):
        raise UsageError(f"{file} would lie among the images; name another place with --picture FILE")
