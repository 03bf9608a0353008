"""The user's Python files and modules, which find what is next to them wherever and whenever they import it.

A file is executed as `python file.py` would, a module as `python -m package.module`: the file's own folder comes before
what is installed. Nothing is put on `sys.path`, where it would be everybody's: what a file imports belongs to a package
that only this file knows of. So two files in different folders each get their own ``layers.py``, and a ``random.py``
next to one of them is not what Keras imports.
"""

import ast
import builtins
import contextlib
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, Final

PREFIX: Final = "searchcnn_plugin_"
"""Begins the name of each package that is private to a file."""

RESERVED: Final = sys.stdlib_module_names | {
    *("jax", "keras", "keras_tuner", "numpy", "optuna", "PIL", "scipy", "searchcnn", "sklearn", "tensorflow", "torch")
}
"""Modules that a file of the same name does not stand in for: next to a plugin ``random.py``, others mean Python's."""


ADVICE = "put an __init__.py into each folder of its package, or write: from module import name"
"""What to do where a file imports relatively and is in no package."""


def execute(path: Path) -> ModuleType:
    """Executes a file as a module whose name no other file has.

    A file of a package that imports relatively is imported as a part of that package.

    Raises:
        Exception: Whatever the file raises; what it has imported by then is forgotten.
    """
    path = path.resolve()
    root = _find_root(path.parent)
    namespace = Namespace(str(path), path.stem, [path.parent, root])
    inside = path.with_suffix("").relative_to(root).parts
    if len(inside) > 1 and _is_relative(path):
        return namespace.import_module(".".join(inside))
    return namespace.execute(path)


def import_module(name: str) -> ModuleType:
    """Imports a module of the current folder, or else one that is installed.

    Raises:
        Exception: Whatever importing it raises.
    """
    namespace = Namespace(f"{Path.cwd()} {name}", name, [Path.cwd()])
    return importlib.import_module(name) if namespace.resolve(name) is None else namespace.import_module(name)


def find_line(error: BaseException, module: str = "") -> str:
    """Returns the innermost ``file:line`` of the user's code that an error comes from; empty if there is none.

    Args:
        error: What was raised.
        module: A module of the user's that does not belong to a file, such as that of an installed package.
    """
    if isinstance(error, SyntaxError) and (error.filename or "").endswith(".py"):  # a file that is imported
        return f"{error.filename}:{error.lineno or 1}"
    frames = traceback.walk_tb(error.__traceback__)
    own = [(frame.f_code.co_filename, line) for frame, line in frames if _is_own(frame, module)]
    return "{}:{}".format(*own[-1]) if own else ""


def strip_prefix(text: str) -> str:
    """Returns a text that names modules of the user's as the user does."""
    return re.sub(rf"{PREFIX}\w+?_[0-9a-f]{{8}}\.", "", text)


def find_imported_files(module: ModuleType) -> list[Path]:
    """Returns the files next to a module, of its package or the current folder, that it imports: now, later or perhaps.

    A module that is installed has none.
    """
    namespace = NAMESPACES.get(module.__name__.partition(".")[0])
    if namespace is None or module.__file__ is None:
        return []
    own = Path(module.__file__)
    files, waiting = {own: None}, [own]
    while waiting:
        new = [file for file in namespace.find_imports(waiting.pop()) if file not in files]
        files |= dict.fromkeys(new)
        waiting += new
    return [file for file in files if file != own]


def list_loaded(module: ModuleType) -> list[ModuleType]:
    """Returns a module and those next to it that were imported so far."""
    package = module.__name__.partition(".")[0]
    return [module for name, module in list(sys.modules.items()) if name.startswith(f"{package}.")]


class Namespace:
    """A package of what a file of the user's imports from the folders that are its own.

    Args:
        key: Identifies the file.
        title: What the package's name says of it.
        folders: Where its modules are looked for, in this order, before those that are installed.

    Attributes:
        name: Of the package.
        builtins: What its modules have for built-in functions, their own ``__import__`` among them.
    """

    def __init__(self, key: str, title: str, folders: Sequence[Path]) -> None:
        digest = hashlib.blake2b(key.encode(), digest_size=4).hexdigest()
        self.name = f"{PREFIX}{re.sub(r'[^A-Za-z0-9]', '_', title)}_{digest}"
        self.builtins: Mapping[str, Any] = {**vars(builtins), "__import__": self.import_}
        self._folders = list(dict.fromkeys(map(str, folders)))
        self._importlib = _Importlib(self)
        importlib.invalidate_caches()  # of what is in the folders

    def execute(self, path: Path) -> ModuleType:
        """Executes a file as a module of the package."""
        name = f"{self.name}.{path.stem.replace('.', '_')}"
        spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
        assert spec and spec.loader
        with self._begin():
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return module

    def import_module(self, name: str) -> ModuleType:
        """Imports a module of the package."""
        with self._begin(), self._name_plainly():
            return importlib.import_module(f"{self.name}.{name}")

    def resolve(self, name: str) -> str | None:
        """Returns a module's name in the package; None if no folder has it."""
        spec = PathFinder.find_spec(name.partition(".")[0], self._folders)
        is_bare = spec is not None and spec.origin is None  # a folder without __init__.py is Python's last choice
        return None if spec is None or (is_bare and _is_installed(name)) else f"{self.name}.{name}"

    def find_imports(self, file: Path) -> Iterator[Path]:
        """Yields the files of the package that a file names in its imports."""
        for name, level in _read_imports(file):
            own = level > 0 or name.partition(".")[0] not in RESERVED or f"{self.name}.{name}" in sys.modules
            folders: Any = [str(file.parents[level - 1])] if level else self._folders
            for part in name.split(".") if own else ():
                spec = PathFinder.find_spec(part, folders) if folders else None
                if spec is None:
                    break
                if spec.origin is not None and spec.origin.endswith(".py"):
                    yield Path(spec.origin)
                folders = spec.submodule_search_locations

    def import_(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Does what an ``import`` statement in one of the modules says; the arguments are those of ``__import__``."""
        own = None if level else self.resolve(name)
        is_itself = own is not None and (globals or {}).get("__name__") == own
        if own is None or is_itself or name.partition(".")[0] in RESERVED:
            try:
                with self._name_plainly():
                    module = builtins.__import__(name, globals, locals, fromlist or (), level)
                if own is None or is_itself or not _find_missing(module, fromlist):
                    return self._importlib if module is importlib else module
            except ImportError:
                if own is None or is_itself:
                    raise
        with self._name_plainly():
            module = builtins.__import__(own, globals, locals, fromlist or (), 0)
        if not fromlist:  # `import a.b` means a
            return sys.modules[f"{self.name}.{name.partition('.')[0]}"]
        if missing := _find_missing(module, fromlist):
            raise ImportError(f"cannot import name '{missing[0]}' from '{name}' ({module.__file__})", name=name)
        return module

    @contextlib.contextmanager
    def _begin(self) -> Iterator[None]:
        """Forgets what the package had imported, and again what it imports in the body if that fails."""
        self._forget()
        package = ModuleType(self.name)
        package.__path__ = self._folders
        sys.modules[self.name] = package
        NAMESPACES[self.name] = self
        try:
            yield
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{self.name}.")]:
            del sys.modules[name]

    @contextlib.contextmanager
    def _name_plainly(self) -> Iterator[None]:
        """Makes errors of the body name modules as the user does."""
        try:
            yield
        except ImportError as error:
            advice = f"; {ADVICE}" if "relative import" in str(error) and ADVICE not in str(error) else ""
            error.msg = strip_prefix(str(error)) + advice
            raise


NAMESPACES: dict[str, Namespace] = {}
"""All packages of this kind, by name."""


class _Importlib(ModuleType):
    """What a file of the user's gets for ``importlib``, whose `import_module` does not say who asks."""

    def __init__(self, namespace: Namespace) -> None:
        super().__init__("importlib", importlib.__doc__)
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib, name)

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        if name.startswith("."):
            return importlib.import_module(name, package)
        module = self._namespace.import_(name)
        for part in name.split(".")[1:]:
            module = getattr(module, part)
        return module


class _Loader(SourceFileLoader):
    """Executes a file with the built-in functions of its package; reads and writes no bytecode next to it."""

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = NAMESPACES[module.__name__.partition(".")[0]].builtins
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.source_to_code(self.get_data(self.path), self.path)


class _Finder:
    """Finds the modules of namespaces, among Python's own finders."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Returns how a module is loaded; None if it belongs to no namespace."""
        if not name.startswith(PREFIX):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Finder)


def _is_own(frame: FrameType, module: str) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.startswith(PREFIX) or (module != "" and name.partition(".")[0] == module.partition(".")[0])


def _find_root(folder: Path) -> Path:
    """Returns the folder that the outermost package of a folder is in; the folder itself if it is not a package."""
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        folder = folder.parent
    return folder


def _is_relative(file: Path) -> bool:
    return any(level for _, level in _read_imports(file))


def _read_imports(file: Path) -> Iterator[tuple[str, int]]:
    """Yields what a file imports, inside functions too: names, with the number of dots before them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(file.read_bytes(), str(file))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module or ''}.{alias.name}".lstrip("."), node.level) for alias in node.names)


def _is_installed(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return name in sys.modules
    return spec is not None and spec.origin is not None


def _find_missing(module: ModuleType, names: Sequence[str] | None) -> list[str]:
    """Returns those of the names that a module does not have."""
    return [
        name
        for name in names or ()
        if name != "*" and not hasattr(module, name) and f"{module.__name__}.{name}" not in sys.modules
    ]
