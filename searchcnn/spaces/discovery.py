"""Finds plugins without executing them; knows no Keras, so that listing them is fast.

A name is looked for in this order, and the first wins:

1. folders given with ``--plugins-dir``,
2. folders in the environment variable ``SEARCHCNN_PLUGINS``, separated like ``PATH``,
3. the workspace's ``plugins/``,
4. the built-in plugins,
5. entry points of installed packages in the group ``searchcnn.search_spaces``.

In a folder each ``*.py`` file is a plugin named by its stem, except for files beginning with ``_``.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from searchcnn._bundled import locate_bundled
from searchcnn.errors import PluginError, nearest
from searchcnn.spaces.plugin import Origin, Plugin, split_location
from searchcnn.spaces.source import Source
from searchcnn.study import Workspace

ENTRY_POINTS = "searchcnn.search_spaces"
"""Group in which an installed package offers search spaces: ``name = "package.module:Class"``."""

VARIABLE: Final = "SEARCHCNN_PLUGINS"
"""Environment variable that names folders of plugins."""

EXPECTED = "one subclass of searchcnn.SearchSpace or keras_tuner.HyperModel with a method build(hp), or such a function"
"""What a plugin file holds."""


def discover(workspace: Workspace, folders: Sequence[Path] = ()) -> list[Plugin]:
    """Lists all plugins, including those that cannot be used; executes none of them.

    Args:
        workspace: Where the user's own ``plugins/`` is.
        folders: Further folders, searched first.

    Raises:
        PluginError: If a folder that the user named does not exist.
    """
    winners: dict[str, Plugin] = {}
    return [_rank(plugin, winners) for plugin in _list_candidates(workspace, folders)]


def find(spec: str, workspace: Workspace, folders: Sequence[Path] = ()) -> Plugin:
    """Finds one search space.

    Args:
        spec: A plugin's name, ``path/to/file.py``, ``path/to/file.py:name`` or ``package.module:name``.
        workspace: Where relative paths begin and the user's own ``plugins/`` is.
        folders: Further folders of plugins, searched first.

    Raises:
        PluginError: If there is none, with the nearest name.
    """
    container, name = split_location(spec)
    if container.endswith(".ipynb"):
        script = container.removesuffix(".ipynb") + ".py"
        raise PluginError(
            f"{container}: is a notebook, and a search space is Python code in a file; write its cell to {script} with "
            f"`%%writefile {script}` as its first line, then name {script}{f':{name}' if name else ''}"
        )
    if container.endswith(".py"):
        path = workspace.root / Path(container).expanduser()
        return _make_direct("path", f"{path}:{name}" if name else str(path), name, path.stem)
    if name:
        return _make_direct("module", spec, name, container.rpartition(".")[2])
    plugins = {plugin.name: plugin for plugin in discover(workspace, folders) if plugin.status != "shadowed"}
    if spec not in plugins:
        hint = nearest(spec, plugins) or f"; known: {', '.join(sorted(plugins))}"
        raise PluginError(
            f"no search space named '{spec}'{hint}; a path/to/file.py:name or package.module:name works as well"
        )
    return plugins[spec]


def _rank(plugin: Plugin, winners: dict[str, Plugin]) -> Plugin:
    winner = winners.setdefault(plugin.name, plugin)
    if winner is plugin:
        return plugin
    return replace(plugin, status="shadowed", error=f"{winner.location} ({winner.source}) comes first")


def _list_candidates(workspace: Workspace, folders: Sequence[Path]) -> Iterator[Plugin]:
    for folder, source in list_folders(workspace, folders).items():
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith("_"):
                yield _inspect(file, source)
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        yield _read_entry_point(point)


def list_folders(workspace: Workspace, folders: Sequence[Path]) -> dict[Path, Origin]:
    """Returns the folders in order, each once: in a checkout the workspace's folder is the one of the built-ins.

    Args:
        workspace: The user's folder.
        folders: Further folders, which come first.

    Raises:
        PluginError: If one of them is not there.
    """
    named: list[tuple[Path, Origin]] = [(folder, "--plugins-dir") for folder in folders]
    named += [(Path(folder), VARIABLE) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    resolved = {_resolve_folder(folder, source): source for folder, source in named}
    return resolved | {workspace.plugins.resolve(): "workspace", locate_bundled("plugins").resolve(): "built-in"}


def _resolve_folder(folder: Path, source: Origin) -> Path:
    path = folder.expanduser().resolve()
    if not path.is_dir():
        raise PluginError(f"{source}: {folder} is not a folder; create it or leave it out")
    return path


def _inspect(file: Path, source: Origin) -> Plugin:
    plugin = _check_name(Plugin(file.stem, source, str(file)))
    try:
        code = Source.read(file)
    except PluginError as error:
        return replace(plugin, status="error", error=str(error))
    plugin = replace(plugin, description=code.description)
    if not code.may_define_space:
        return replace(plugin, status="error", error=f"{file}: defines no search space; expected {EXPECTED}")
    return plugin


def _read_entry_point(point: EntryPoint) -> Plugin:
    summary = point.dist.metadata["Summary"] if point.dist and "Summary" in point.dist.metadata else ""
    location = "".join(point.value.partition("[")[0].split())  # without extras and spaces; not judged before loading
    return _check_name(Plugin(point.name, "entry point", location, description=summary))


def _make_direct(source: Origin, location: str, name: str, container: str) -> Plugin:
    last = name.rpartition(".")[2]
    plugin = _check_name(Plugin(container if last in ("", "build") else last, source, location))
    if plugin.status == "error":
        raise PluginError(plugin.error)
    return plugin


def _check_name(plugin: Plugin) -> Plugin:
    """Refuses names that cannot be the scope of hyperparameters."""
    if plugin.name.isidentifier():
        return plugin
    error = (
        f"{plugin.location}: '{plugin.name}' cannot name a search space; use letters, digits and '_', such as my_net"
    )
    return replace(plugin, status="error", error=error)
