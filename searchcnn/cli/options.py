"""Options and arguments that several commands share, and what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from searchcnn.study import Workspace
    from searchcnn.study_object import Study

Command = TypeVar("Command", bound=Callable[..., Any])


def storage_option(command: Command) -> Command:
    """Adds ``--storage``."""
    text = "URL of the database, such as postgresql://host/name.  [default: studies/<name>.db]"
    return click.option("--storage", metavar="URL", help=text)(command)


def plugins_option(command: Command) -> Command:
    """Adds ``--plugins-dir``."""
    return click.option(
        "--plugins-dir",
        "plugins",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Folder of search spaces, searched first; may be given several times.",
    )(command)


def data_option(command: Command) -> Command:
    """Adds ``--data``."""
    text = "Your images: a folder, archive, table or .npz file, or a function, package.module:name."
    return click.option("--data", metavar="PATH", help=text)(command)


def weights_option(command: Command) -> Command:
    """Adds ``--weights``."""
    text = "Pretrained weights for photos: a .keras network, a weights file, imagenet or none."
    return click.option("--weights", metavar="PATH|imagenet|none", help=text)(command)


def json_option(command: Command) -> Command:
    """Adds ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def csv_option(command: Command) -> Command:
    """Adds ``--csv``."""
    return click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")(command)


def get_workspace() -> Workspace:
    """Returns the workspace: the current folder."""
    from searchcnn.study import Workspace

    return Workspace(Path.cwd())


def open_study(name: str, storage: str | None = None, plugins: Sequence[Path] = ()) -> Study:
    """Returns a study, given its name or its TOML file.

    Raises:
        StudyFileError: If there is no such study.
    """
    from searchcnn.study_object import Study

    return Study(name, storage=storage, plugins=plugins)


def parse_size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """Parses the shape of an image, such as ``32x32x3``: (height, width, channels) in pixels."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) == 2:
        parts.append("3")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"'{value}' is not an image size; write height x width x channels, such as 32x32x3")
    height, width, channels = map(int, parts)
    return height, width, channels


def size_option(command: Command) -> Command:
    """Adds ``--size``."""
    text = "Height, width and channels of the images.  [default: 32x32x3, or the smallest that the space can handle]"
    return click.option("--size", metavar="HxWxC", callback=parse_size, help=text)(command)


def classes_option(command: Command) -> Command:
    """Adds ``--classes``."""
    kind = click.IntRange(min=2)
    text = "Number of classes."
    return click.option("--classes", type=kind, metavar="N", default=10, show_default=True, help=text)(command)
