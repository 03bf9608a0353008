"""The house is one way: what may import what."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import searchcnn

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "searchcnn").rglob("*.py"))
ROOMS = (
    *("errors", "files", "text", "modules", "settings", "backend", "server", "_bundled", "graph", "pixels", "saved"),
    *("blocks", "weights", "backbones", "augmentation", "study", "data", "sources", "spaces", "store", "search"),
    *("training", "results", "run", "proposal", "workers", "testing", "views", "cli", "__main__"),
)
SINGLE = (
    *("errors", "files", "text", "modules", "settings", "backend", "server", "graph", "pixels", "saved", "blocks"),
    *("backbones", "augmentation", "run", "__main__"),
)
OWN_OF_OPTUNA = {"_trial_id", "_study_id", "_storage", "_cached_frozen_trial", "_directions", "_is_multi_objective"}


def room(file: Path) -> str:
    return file.relative_to(ROOT / "searchcnn").parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Yields what a file imports, inside functions and for type checkers too: ``package.module.name``."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def importers(package: str, folder: str) -> set[str]:
    files = (ROOT / folder).rglob("*.py")
    return {file.name for file in files if any(f"{name}.".startswith(f"{package}.") for name in imports(file))}


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name != "searchcnn"], ids=str)
def test_imports_go_one_way(file: Path) -> None:
    others = {name.split(".")[1] for name in imports(file) if name.startswith("searchcnn.")} - {"__version__"}
    later = {other for other in others if ROOMS.index(other) > ROOMS.index(room(file))}
    assert not later, f"{room(file)} must not know of {later}"


def test_single_files_keep_to_the_order() -> None:
    for file in (ROOT / "searchcnn" / f"{name}.py" for name in SINGLE):
        test_imports_go_one_way(file)
    assert {room(file) for file in FILES} == {*ROOMS, "__init__"}


def test_plugins_use_the_public_contract_only() -> None:
    modules = (searchcnn, importlib.import_module("searchcnn.blocks"), importlib.import_module("searchcnn.backbones"))
    public = {f"{module.__name__}.{name}" for module in modules for name in module.__all__}
    for file in (ROOT / "plugins").glob("*.py"):
        ours = {name for name in imports(file) if name.startswith("searchcnn")}
        assert ours <= public, file.name
    assert not importers("keras_tuner", "plugins") | importers("optuna", "plugins") | importers("tensorflow", "plugins")


def test_private_names_of_optuna_are_in_one_file() -> None:
    for file in [*FILES, *(ROOT / "plugins").glob("*.py")]:
        private = {name for name in imports(file) if name.startswith("optuna.") and "._" in name}
        for node in ast.walk(ast.parse(file.read_text())):
            own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
            if isinstance(node, ast.Attribute) and node.attr in OWN_OF_OPTUNA and not own:
                private.add(f"{node.attr} in line {node.lineno}")
        assert not private or file == ROOT / "searchcnn" / "store" / "optuna_private.py", f"{file}: {private}"


def test_private_names_of_keras_are_in_one_file() -> None:
    ours = {*importers("keras.src", "searchcnn"), *importers("keras.src", "plugins")}
    assert ours == {"keras_private.py"}


def test_who_knows_which_library() -> None:
    assert importers("keras_tuner", "searchcnn/search") == {"hyperparameters.py"}
    for folder in ("study", "data", "sources", "spaces", "_bundled"):
        assert not importers("optuna", f"searchcnn/{folder}"), folder
    for folder in ("study", "data", "store", "search"):
        assert not importers("keras", f"searchcnn/{folder}") | importers("tensorflow", f"searchcnn/{folder}"), folder
    assert importers("keras", "searchcnn/sources") == {"download.py"}
    for folder in ("data", "sources", "spaces"):
        assert not importers("sqlalchemy", f"searchcnn/{folder}"), folder
