"""The house is one way: what may import what."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import searchcnn

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "searchcnn").rglob("*.py"))
ROOMS = (
    *(
        "errors",
        "events",
        "lazy",
        "files",
        "text",
        "streams",
        "modules",
        "keras_private",
        "tensorflow_private",
        "settings",
    ),
    *("backend", "server", "_bundled", "graph", "pixels", "saved", "blocks", "weights", "backbones", "augmentation"),
    *("study", "data", "sources", "spaces", "store", "job", "search", "training", "results", "run"),
    *("proposal", "workers", "testing", "views", "report", "session", "best_model", "study_object", "cli", "__main__"),
)
"""Packages and single files of ``searchcnn``, in the order in which they may import each other."""


@dataclass(frozen=True)
class Fence:
    """The one file that touches the private names of a library.

    Attributes:
        library: The library.
        file: The file.
        modules: Beginnings of the names of the library's private modules.
        names: Private names of its classes and objects, those in use and those that tempt.
    """

    library: str
    file: Path
    modules: tuple[str, ...]
    names: frozenset[str]


PACKAGE = ROOT / "searchcnn"
FENCES = (
    Fence(
        "keras",
        PACKAGE / "keras_private.py",
        ("keras.src.",),
        frozenset(
            {
                *("_nodes_by_depth", "_flatten_layers", "_keras_history", "_inbound_nodes"),
                *("_fn_kwargs", "_get_variable_index", "_learning_rate", "_symbolic_build"),
            }
        ),
    ),
    Fence(
        "keras_tuner",
        PACKAGE / "search" / "keras_tuner_private.py",
        ("keras_tuner.src.",),
        frozenset({"_register", "_retrieve", "_hps"}),
    ),
    Fence(
        "tensorflow",
        PACKAGE / "tensorflow_private.py",
        ("tensorflow.python.",),
        frozenset({"_registry"}),
    ),
    Fence(
        "optuna",
        PACKAGE / "store" / "optuna_private.py",
        ("optuna._", "optuna.storages._", "optuna.trial._", "optuna.study._", "optuna.samplers._", "optuna.pruners._"),
        frozenset(
            {
                "_trial_id",
                "_study_id",
                "_storage",
                "_backend",
                "_cached_frozen_trial",
                "_directions",
                "_is_multi_objective",
                "_set_trial_param",
                "_get_prepared_new_trial",
                "_set_trial_attr_without_commit",
            }
        ),
    ),
)
DIRECTIONS = {"maximize", "minimize"}
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
"""Names with an underscore that are public."""


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
    for file in (file for file in FILES if file.parent.name == "searchcnn" and file.name != "__init__.py"):
        test_imports_go_one_way(file)
    assert {room(file) for file in FILES} == {*ROOMS, "__init__"}


def test_contributing_lists_the_rooms_in_this_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| room |") : text.index("`searchcnn --help`")].splitlines()[2:]
    listed = [name for row in table if row for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert listed == [room for room in ROOMS if room != "__main__"]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_function_has_the_name_of_its_module(file: Path) -> None:
    functions = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert file.stem not in functions


def test_events_know_nothing() -> None:
    assert not [name for name in imports(ROOT / "searchcnn" / "events.py") if name.startswith("searchcnn")]


def test_plugins_use_the_public_contract_only() -> None:
    modules = (searchcnn, importlib.import_module("searchcnn.blocks"), importlib.import_module("searchcnn.backbones"))
    public = {f"{module.__name__}.{name}" for module in modules for name in module.__all__}
    for file in (ROOT / "plugins").glob("*.py"):
        ours = {name for name in imports(file) if name.startswith("searchcnn")}
        assert ours <= public, file.name
    assert not importers("keras_tuner", "plugins") | importers("optuna", "plugins") | importers("tensorflow", "plugins")


def own_names(tree: ast.AST) -> set[str]:
    """Returns what a file defines itself: its functions, classes, variables and attributes."""
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            own.add(node.attr)
    return own


def is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def touched(file: Path, fence: Fence) -> set[str]:
    """Returns the private names of a library that a file imports, reads, overrides or has as a text."""
    tree = ast.parse(file.read_text())
    own, names = own_names(tree), {name for name in imports(file) if f"{name}.".startswith(fence.modules)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in fence.names:
            names |= {node.attr} - (own if is_self(node.value) else set())
        elif isinstance(node, ast.FunctionDef) and node.name in fence.names:
            names.add(node.name)
        elif isinstance(node, ast.Constant) and node.value in fence.names:
            names.add(str(node.value))
    return names


@pytest.mark.parametrize("fence", FENCES, ids=lambda fence: fence.library)
def test_private_names_of_a_library_are_in_one_file(fence: Fence) -> None:
    assert touched(fence.file, fence), "the fence is empty"
    for file in [*FILES, *(ROOT / "plugins").glob("*.py")]:
        names = set() if file == fence.file else touched(file, fence)
        assert not names, f"{file}: only {fence.file.name} may touch {names} of {fence.library}"


def test_what_is_better_is_decided_in_one_file() -> None:
    """Others ask an `Objective`; nobody else compares scores by a direction."""
    for file in FILES:
        words: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            word = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "value", None)
            words |= {word} if isinstance(word, str) else set()
        allowed = {"objective.py": DIRECTIONS, "config.py": DIRECTIONS} if room(file) == "study" else {}
        assert words & DIRECTIONS <= allowed.get(file.name, set()), file


def test_other_private_names_are_our_own() -> None:
    """Fails for a private name of a library that no fence knows of yet."""
    fences = {fence.file for fence in FENCES}
    for file in {*FILES, *(ROOT / "plugins").glob("*.py")} - fences:
        tree = ast.parse(file.read_text())
        own = own_names(tree) | OF_NAMED_TUPLES
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} - own
        private = {name for name in names if name.startswith("_") and not name.startswith("__")}
        assert not private, f"{file}: {private} is private elsewhere"


def gone(library: str, name: str) -> str:
    """Returns what a test says when a release has taken a private name away."""
    file = next(fence.file for fence in FENCES if fence.library == library)
    return f"this release of {library} has no {name}, or another one: {file.name} must do without it"


def test_keras_has_its_private_names() -> None:
    """`get_file`, which is replaced, is tested in `tests/weights/test_downloads.py`."""
    import keras

    from searchcnn.keras_private import (
        build_compiled,
        find_index,
        find_operation,
        find_schedule,
        flatten_layers,
        is_functional,
        read_loss_options,
        read_nodes,
    )

    class Custom(keras.Model):
        """A model without a graph."""

    images = keras.Input((4, 4, 3), name="images")
    maps = keras.layers.Conv2D(2, 3, name="conv")(images)
    assert hasattr(maps, "_keras_history"), gone("keras", "KerasTensor._keras_history")
    assert find_operation(maps).name == "conv", gone("keras", "KerasTensor._keras_history.operation")
    tail = keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Flatten(name="flat")], name="tail")
    model = keras.Model(images, tail(maps), name="whole")
    assert is_functional(model), gone("keras", "Functional._nodes_by_depth")
    assert not is_functional(Custom()), gone("keras", "Functional._nodes_by_depth")
    nodes = read_nodes(model)
    calls = [call for depth in sorted(nodes, reverse=True) for call in nodes[depth]]
    assert [call.operation.name for call in calls] == ["images", "conv", "tail"], gone("keras", "_nodes_by_depth")
    assert calls[1].input_tensors[0] is images, gone("keras", "Node.input_tensors")
    assert calls[1].output_tensors[0] is maps, gone("keras", "Node.output_tensors")
    assert hasattr(model, "_flatten_layers"), gone("keras", "Layer._flatten_layers")
    names = {layer.name for layer in flatten_layers(model)}
    assert names >= {"whole", "conv", "tail", "flat"}, gone("keras", "Layer._flatten_layers")
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    assert read_loss_options(smoothed)["label_smoothing"] == 0.1, gone("keras", "LossFunctionWrapper._fn_kwargs")
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert find_schedule(keras.optimizers.Adam(schedule)) is schedule, gone("keras", "Optimizer._learning_rate")
    variables = [keras.Variable(np.zeros(2)) for _ in range(3)]
    plain = keras.optimizers.SGD()
    plain.build(variables)
    assert find_index(plain, variables[2]) == 2, gone("keras", "Optimizer._get_variable_index")
    tail.compile("adam", "mse")
    build_compiled(tail, (np.zeros((1, 2, 2, 2), "f4"), np.zeros((1, 8), "f4")))
    assert tail.optimizer.built and tail.metrics_variables, gone("keras", "Trainer._symbolic_build")


def test_keras_tuner_has_its_private_names() -> None:
    import keras_tuner

    from searchcnn.search.keras_tuner_private import HookedHyperParameters

    class Hooked(HookedHyperParameters):
        def answer(self, hp: Any) -> Any:
            asked.append(hp.name)
            return 7

        def check_redeclared(self, earlier: Any, hp: Any) -> None:
            again.append((earlier.max_value, hp.max_value))

    asked: list[str] = []
    again: list[tuple[int, int]] = []
    for name in ("_register", "_retrieve"):
        assert hasattr(keras_tuner.HyperParameters, name), gone("keras_tuner", f"HyperParameters.{name}")
    assert hasattr(keras_tuner.HyperParameters(), "_hps"), gone("keras_tuner", "HyperParameters._hps")
    hp = Hooked()
    assert hp.Int("units", 1, 9) == 7, gone("keras_tuner", "HyperParameters._register")
    with hp.conditional_scope("units", [7]), hp.name_scope("block"):
        assert hp.Int("units", 1, 9) == 7
    assert hp.Int("units", 1, 8) == 7
    assert asked == ["units", "block/units"], gone("keras_tuner", "HyperParameters._register")
    assert again == [(9, 8)], gone("keras_tuner", "HyperParameters._retrieve or _hps")


def test_tensorflow_has_its_private_names() -> None:
    import tensorflow as tf

    from searchcnn.tensorflow_private import read_gradients

    @tf.custom_gradient
    def double(x: Any) -> tuple[Any, Any]:
        return 2 * x, lambda upstream: 2 * upstream

    before = set(read_gradients())
    assert tf.function(double)(tf.constant(1.0)) == 2
    new = set(read_gradients()) - before
    assert any(name.startswith("CustomGradient-") for name in new), gone("tensorflow", "gradient_registry._registry")


def test_optuna_has_its_private_names() -> None:
    from searchcnn.store.optuna_private import Cache, HookedStorage, get_study_id, get_trial_id

    class Hooked(HookedStorage):
        def store_param(self, trial_id: int, name: str, value: float, *distributions: Any) -> None:
            params.append((name, value))
            super().store_param(trial_id, name, value, *distributions)

        def prepare_trial(self, *arguments: Any) -> Any:
            trials.append(arguments[0])
            return super().prepare_trial(*arguments)

        def make_trial(self, row: Any) -> Any:
            read.append(row.trial_id)
            return super().make_trial(row)

    params: list[tuple[str, float]] = []
    trials: list[int] = []
    read: list[int] = []
    private = {"_set_trial_param", "_get_prepared_new_trial", "_build_frozen_trial_from_trial_model"}
    for name in private:
        assert hasattr(optuna.storages.RDBStorage, name), gone("optuna", f"RDBStorage.{name}")
    storage = Hooked("sqlite://")
    study = optuna.create_study(storage=Cache(storage))
    trial = study.ask()
    assert hasattr(study, "_study_id"), gone("optuna", "Study._study_id")
    assert hasattr(trial, "_trial_id"), gone("optuna", "Trial._trial_id")
    assert trials == [get_study_id(study)], gone("optuna", "RDBStorage._get_prepared_new_trial")
    trial.suggest_float("rate", 0.5, 0.5)
    trial.suggest_int("units", 3, 3)
    assert params == [("rate", 0.5), ("units", 3)], gone("optuna", "RDBStorage._set_trial_param")
    read.clear()
    stored = storage.get_trial(get_trial_id(trial))
    (listed,) = study.get_trials()
    assert listed.params == stored.params
    assert read == 2 * [get_trial_id(trial)], gone("optuna", "RDBStorage._build_frozen_trial_from_trial_model")
    assert stored.params == {"rate": 0.5, "units": 3}
    storage.remove_session()
    storage.engine.dispose()


def test_who_knows_which_library() -> None:
    assert importers("keras_tuner", "searchcnn/search") == {"hyperparameters.py", "keras_tuner_private.py"}
    for folder in ("study", "data", "sources", "spaces", "_bundled"):
        assert not importers("optuna", f"searchcnn/{folder}"), folder
    for folder in ("study", "data", "store", "search"):
        assert not importers("keras", f"searchcnn/{folder}") | importers("tensorflow", f"searchcnn/{folder}"), folder
    assert importers("keras", "searchcnn/sources") == {"downloads.py"}
    for folder in ("data", "sources", "spaces"):
        assert not importers("sqlalchemy", f"searchcnn/{folder}"), folder


def test_a_search_space_is_of_one_kind() -> None:
    """Hypermodels and functions are adapted once; nobody asks again what a search space is."""
    asking = {
        file.name
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass", "hasattr", "getattr")
        if {"SearchSpace", "HyperModel", "HyperModelSpace", "FunctionSpace"} & {*names(node)}
    }
    assert asking == {"adapter.py", "loading.py"}


def names(tree: ast.AST) -> Iterator[str]:
    """Yields all names and attributes in a piece of code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node.id if isinstance(node, ast.Name) else node.attr
