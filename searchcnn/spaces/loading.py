"""Loads search spaces: executes plugins, and blames them by file and line when that fails."""

import contextlib
import functools
import hashlib
import importlib
import inspect
import operator
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from searchcnn import modules
from searchcnn.backend import start_keras
from searchcnn.errors import PluginError, nearest
from searchcnn.spaces.discovery import EXPECTED, find
from searchcnn.spaces.plugin import Plugin
from searchcnn.spaces.source import Source, compute_fingerprint
from searchcnn.study import Workspace

if TYPE_CHECKING:
    from searchcnn.spaces.space import SearchSpace

KINDS = "a subclass of searchcnn.SearchSpace or keras_tuner.HyperModel, an instance of one, or a function build(hp)"
"""What an object named by ``file.py:name`` or ``package.module:name`` may be."""

POLICIES: dict[str, list[Any]] = {}
"""Keras' dtype policy that an installed module has set, by name: it is executed once in a process."""

OWN = ("name", "tunable")
"""Arguments of every Keras Tuner hypermodel, which say nothing about its networks."""


@dataclass(frozen=True)
class LoadedSpace:
    """A search space that is ready to be created for a dataset.

    Attributes:
        name: A Python identifier, the scope of its hyperparameters where several spaces are searched together.
        location: File or module that it was loaded from.
        fingerprint: Identifies its code, whatever the formatting: that of its file, of `searchcnn.blocks` and
            `searchcnn.backbones` if it uses them, and of the files next to it that it imports; not of installed code.
        module: Name of its module.
        target: A subclass of ``keras_tuner.HyperModel``, an instance of one, or a function ``build(hp)``.
        imports: Fingerprints of the files next to it that it imports, by path.
        own_fingerprint: Its fingerprint without them.
        dtype_policy: Keras' dtype policy as the file has set it, such as ``mixed_float16``; None: whichever is set.
    """

    name: str
    location: str
    fingerprint: str
    module: str
    target: Any
    imports: Mapping[str, str] = field(default_factory=dict)
    own_fingerprint: str = ""
    dtype_policy: Any = None

    def create(
        self, input_shape: tuple[int, int, int], num_classes: int, options: Mapping[str, Any] | None = None
    ) -> "SearchSpace":
        """Creates the space for images and classes.

        Args:
            input_shape: Shape of an image: (height, width, channels) in pixels.
            num_classes: Number of classes.
            options: More arguments of its constructor or function.

        Returns:
            A search space, whatever it was loaded as, whose ``build(hp)`` may be called. One that was loaded as an
            instance of `SearchSpace` is that instance each time.

        Raises:
            PluginError: If the space cannot be created, or not for such images or with such options.
        """
        from searchcnn.spaces.adapter import adapt

        with blame(self.location, self.module), _isolate_dtype_policy() as policy:
            hypermodel = _instantiate(self.name, self.target, input_shape, num_classes, options or {})
            hypermodel.input_shape, hypermodel.num_classes = input_shape, num_classes
            space = adapt(hypermodel)
        space.dtype_policy = policy[0] if policy else self.dtype_policy
        _check_capabilities(self.name, space)
        return space

    @property
    def min_size(self) -> tuple[int, int]:
        """Smallest image that it says it can handle, before it is created: (height, width) in pixels."""
        return self._capabilities.min_size

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers of channels that it says it can handle, before it is created; empty: any."""
        return self._capabilities.channels

    @property
    def _capabilities(self) -> "type[SearchSpace]":
        from searchcnn.spaces.space import SearchSpace

        definition = self.target if isinstance(self.target, type) else type(self.target)
        return definition if issubclass(definition, SearchSpace) else SearchSpace

    def baselines(self, space: "SearchSpace") -> dict[str, dict[str, Any]]:
        """Returns the known good points of a created space.

        Raises:
            PluginError: If asking for them fails.
        """
        with blame(self.location, self.module):
            return {name: dict(values) for name, values in space.baselines().items()}


def load_space(spec: str, workspace: Workspace, folders: Sequence[Path] = ()) -> LoadedSpace:
    """Finds and loads a search space.

    Args:
        spec: A plugin's name, ``path/to/file.py``, ``path/to/file.py:name`` or ``package.module:name``.
        workspace: Where relative paths begin and the user's own ``plugins/`` is.
        folders: Further folders of plugins, searched first.

    Raises:
        PluginError: If it cannot be found or loaded.
    """
    return load(find(spec, workspace, folders))


def load_spaces(specs: Iterable[str], workspace: Workspace, folders: Sequence[Path] = ()) -> list[LoadedSpace]:
    """Loads the search spaces of a study; see `load_space`.

    Raises:
        PluginError: If one cannot be found or loaded, or two have the same name.
    """
    spaces: dict[str, LoadedSpace] = {}
    for spec in specs:
        space = load_space(spec, workspace, folders)
        other = spaces.setdefault(space.name, space)
        if other is not space:
            raise PluginError(
                f"two search spaces are named '{space.name}': {other.location} and {space.location}; rename one"
            )
    return list(spaces.values())


def load(plugin: Plugin) -> LoadedSpace:
    """Loads a plugin.

    Raises:
        PluginError: If that fails, for whatever reason.
    """
    if plugin.status == "error":
        raise PluginError(plugin.error)
    start_keras()
    with _isolate_dtype_policy() as policy:
        module = _import_plugin(plugin)
    if not module.__name__.startswith(modules.PREFIX):
        policy = POLICIES.setdefault(module.__name__, policy)
    name = plugin.parts[1]
    with blame(plugin.location, module.__name__):
        target = _get_named(module, name) if name else _get_only(module)
        own_fingerprint, imports = compute_fingerprint(_list_files(module, target)), _fingerprint_imports(module)
    return LoadedSpace(
        name=plugin.name,
        location=plugin.location,
        fingerprint=_join_fingerprints(own_fingerprint, imports.values()),
        module=module.__name__,
        target=target,
        imports=imports,
        own_fingerprint=own_fingerprint,
        dtype_policy=policy[0] if policy else None,
    )


@contextlib.contextmanager
def _isolate_dtype_policy() -> Iterator[list[Any]]:
    """Yields a list that holds Keras' dtype policy afterwards, if the body changes it, and restores the old one."""
    import keras

    before, changed = keras.config.dtype_policy(), list[Any]()
    try:
        yield changed
    finally:
        after = keras.config.dtype_policy()
        keras.config.set_dtype_policy(before)
    if after != before:
        changed.append(after)


@contextlib.contextmanager
def blame(location: str, module: str) -> Iterator[None]:
    """Turns whatever a plugin raises, even an exit, into one line that names the file and line.

    Args:
        location: The plugin's file or module.
        module: Name of the module whose innermost line is named.

    Raises:
        PluginError: If the body fails.
    """
    try:
        yield
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        message = "".join(traceback.format_exception_only(error)[-1:]).strip().partition("\n")[0]
        raise PluginError(f"{modules.find_line(error, module) or location}: {modules.strip_prefix(message)}") from error


def _import_plugin(plugin: Plugin) -> ModuleType:
    """Executes a plugin's file, or imports its module."""
    container = plugin.parts[0]
    if plugin.in_file:
        Source.read(Path(container))  # raises what is wrong with it
    with blame(container, container):
        if plugin.in_file:
            return modules.execute(Path(container))
        return (
            importlib.import_module(container) if plugin.source == "entry point" else modules.import_module(container)
        )


def _get_named(module: ModuleType, name: str) -> Any:
    try:
        target = operator.attrgetter(name)(module)
    except AttributeError:
        names = [key for key, item in vars(module).items() if _is_space(item)]
        hint = nearest(name, names)
        raise PluginError(f"{module.__file__}: defines no '{name}'{hint}; expected {KINDS}") from None
    if not _is_space(target):
        raise PluginError(f"{module.__file__}: '{name}' is a {type(target).__name__}; expected {KINDS}")
    return target


def _get_only(module: ModuleType) -> Any:
    spaces = _list_spaces(module)
    if len(spaces) == 1:
        return next(iter(spaces.values()))
    if spaces:
        names = ", ".join(spaces)
        raise PluginError(f"{module.__file__}: defines several search spaces ({names}); name one: file.py:name")
    function = vars(module).get("build")
    if inspect.isfunction(function) and function.__module__ == module.__name__:
        return function
    raise PluginError(f"{module.__file__}: defines no search space; expected {EXPECTED}")


def _list_spaces(module: ModuleType) -> dict[str, Any]:
    """Returns the search spaces that a module defines itself, without its abstract and private classes."""
    return {
        name: item
        for name, item in vars(module).items()
        if isinstance(item, type)
        and _is_space(item)
        and item.__module__ == module.__name__
        and item.__name__ == name  # not a second name of the same class
        and not name.startswith("_")
        and not inspect.isabstract(item)
    }


def _is_space(item: Any) -> bool:
    import keras_tuner

    if isinstance(item, type):
        return issubclass(item, keras_tuner.HyperModel)
    return isinstance(item, keras_tuner.HyperModel | functools.partial) or inspect.isroutine(item)


def _list_files(module: ModuleType, target: Any) -> list[Path]:
    """Returns the source files of a module and of an object in it, which may come from another module."""
    files = [module.__file__]
    with contextlib.suppress(TypeError):  # no file: built into Python or created by functools.partial
        definition = target if isinstance(target, type) or inspect.isroutine(target) else type(target)
        files.append(inspect.getsourcefile(definition))
    files += [part.__file__ for tool, parts in _list_tools().items() if _uses(module, tool) for part in parts]
    return [Path(file) for file in dict.fromkeys(files) if file and file.endswith(".py")]


def _fingerprint_imports(module: ModuleType) -> dict[str, str]:
    """Returns the fingerprints of the files next to a module that it imports, by path, and of our tools they use."""
    folder = Path(module.__file__ or "").parent
    files = {_make_relative(file, folder): file for file in sorted(modules.find_imported_files(module))}
    for tool, parts in _list_tools().items() if files else ():
        if not _uses(module, tool) and any(_uses(part, tool) for part in modules.list_loaded(module)):
            files |= {part.__name__: Path(part.__file__ or "") for part in parts}
    return {name: compute_fingerprint([file]) for name, file in files.items()}


def _make_relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def _join_fingerprints(own: str, others: Iterable[str]) -> str:
    """Returns one fingerprint for several; that of code without others is unchanged."""
    rest = "".join(others)
    return hashlib.blake2b(f"{own}{rest}".encode(), digest_size=16).hexdigest() if rest else own


def _list_tools() -> Mapping[ModuleType, Sequence[ModuleType]]:
    """Returns what search spaces are made of, with what computes it."""
    from searchcnn import backbones, blocks, graph, pixels, saved
    from searchcnn.weights import efficientnet

    return {backbones: (backbones, efficientnet, saved, pixels, graph), blocks: (blocks,)}


def _uses(module: ModuleType, tool: ModuleType) -> bool:
    return any(item is tool or getattr(item, "__module__", "") == tool.__name__ for item in vars(module).values())


def _instantiate(
    name: str, target: Any, input_shape: tuple[int, int, int], num_classes: int, options: Mapping[str, Any]
) -> Any:
    import keras_tuner

    from searchcnn.spaces.adapter import FunctionSpace, list_parameters, select_arguments

    is_class = isinstance(target, type)
    if isinstance(target, keras_tuner.HyperModel):
        _check_options(name, options, [])
        return target
    arguments = select_arguments(target, input_shape, num_classes)
    reserved = {*arguments, *OWN} if is_class else {*arguments, *list_parameters(target)[:1]}
    _check_options(name, options, [key for key in list_parameters(target) if key not in reserved])
    if not is_class:
        return FunctionSpace(target, options)
    _check_arguments(name, target, {**arguments, **options})
    return target(**arguments, **options)


def _check_options(name: str, options: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in options:
        if key not in allowed:
            hint = nearest(key, allowed) or (f" (it has {', '.join(allowed)})" if allowed else "; it has none")
            raise PluginError(f"options.{name}: '{key}' is not an option of this search space{hint}")


def _check_arguments(name: str, constructor: Callable[..., Any], arguments: dict[str, Any]) -> None:
    try:
        inspect.signature(constructor).bind(**arguments)
    except TypeError as error:
        raise PluginError(
            f"{constructor.__name__}: {error}; input_shape and num_classes (or classes) are given, the study sets "
            f"others in [options.{name}]: set them there, or a default here, or name an instance as file.py:name"
        ) from None


def _check_capabilities(name: str, space: "SearchSpace") -> None:
    height, width, channels = space.input_shape
    if space.channels and channels not in space.channels:
        numbers = " or ".join(map(str, space.channels))
        raise PluginError(
            f"search space '{name}' takes images with {numbers} channels, not {channels}; choose another, or set "
            "data.channels"
        )
    if height < space.min_size[0] or width < space.min_size[1]:
        smallest = f"{space.min_size[0]}x{space.min_size[1]}"
        raise PluginError(
            f"search space '{name}' takes images of at least {smallest} pixels, not {height}x{width}; choose another, "
            f"or enlarge them: data.image_size = {max(space.min_size)}"
        )
