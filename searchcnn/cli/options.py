"""Options and arguments that several commands share, and what they refer to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from searchcnn.store import StudySummary
    from searchcnn.study import Workspace

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


def get_workspace() -> Workspace:
    """Returns the workspace: the current folder."""
    from searchcnn.study import Workspace

    return Workspace(Path.cwd())


def get_database_url(name: str, storage: str | None) -> URL:
    """Returns the URL of a study's database."""
    from searchcnn.store import parse_url

    return parse_url(storage or get_workspace().database_url(name))


def read_stored_study(name: str, storage: str | None) -> StudySummary:
    """Reads a study from its database.

    Raises:
        StudyFileError: If there is no study of that name.
        StoreError: If it has no database yet, or the database cannot be read.
    """
    from searchcnn.errors import StoreError
    from searchcnn.store import find_sqlite_file, read_summary

    workspace = get_workspace()
    if name.endswith(".toml"):
        name, _ = workspace.find(name)
    url = get_database_url(name, storage)
    file = find_sqlite_file(url)
    if file is not None and not file.exists():
        workspace.find(name)
        raise StoreError(f"study '{name}' has not been started here; start it with: searchcnn optimize --study {name}")
    return read_summary(url, name)


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
