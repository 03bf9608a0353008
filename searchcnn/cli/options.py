"""Options and arguments that several commands share, and what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from searchcnn.streams import write_utf8

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


def complete_study(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a study, or the path of a file."""
    workspace = get_workspace()
    names = {*workspace.list_study_files(), *(path.stem for path in workspace.studies.glob("*.db"))}
    matching = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
    return matching or [CompletionItem(incomplete, type="file")]


def space_option(command: Command) -> Command:
    """Adds ``--space``."""
    text = "A search space: a plugin's name, or NAME in a Python file; several are searched together."
    return click.option("--space", "spaces", multiple=True, metavar="NAME|FILE.py:NAME", help=text)(command)


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
    return click.option("--csv", "as_csv", is_flag=True, callback=_write_utf8, help="Print CSV.")(command)


def _write_utf8(_context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    if value:
        write_utf8()
    return value


def get_workspace() -> Workspace:
    """Returns the workspace: the current folder."""
    from searchcnn.study import Workspace

    return Workspace(Path.cwd())


def open_study(name: str, storage: str | None = None, plugins: Sequence[Path] = ()) -> Study:
    """Returns a study, given its name, its TOML file or its images.

    Raises:
        StudyFileError: If there is no such study.
    """
    from searchcnn.errors import StudyFileError
    from searchcnn.study_object import Study

    try:
        return Study(name, storage=storage, plugins=plugins)
    except StudyFileError:
        if name.endswith(".toml") or not Path(name).expanduser().exists():
            raise
        return Study(data=name, storage=storage, plugins=plugins)


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
