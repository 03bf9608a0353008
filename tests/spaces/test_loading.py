"""Loading spaces of all kinds, and what is said about those that cannot be loaded."""

import sys
from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.spaces import check, discover, load_space, load_spaces
from searchcnn.study import Workspace

start_keras()

import keras_tuner  # noqa: E402

SHAPE = (8, 8, 1)

NETS = """
import keras
import keras_tuner
from searchcnn import SearchSpace


def net(hp, shape, classes):
    x = keras.Input(shape)
    y = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(x, keras.layers.Dense(classes, activation="softmax")(y))


class _Base(SearchSpace):
    def build(self, hp):
        return net(hp, self.input_shape, self.num_classes)


class Abstract(SearchSpace):
    pass


class Tiny(_Base):
    min_size = (4, 6)
    channels = (1, 3)

    def baselines(self):
        return {"small": {"filters": 8}}


Again = Tiny
"""

FOREIGN = """

class Foreign(keras_tuner.HyperModel):
    channels = 5

    def __init__(self, num_classes):
        self.given = num_classes

    def build(self, hp):
        return net(hp, self.input_shape, self.given)


class Shaped(keras_tuner.HyperModel):
    def __init__(self, input_shape, num_classes, name="shaped", **kwargs):
        super().__init__(name=name, **kwargs)
        self.given = input_shape, num_classes

    def build(self, hp):
        return net(hp, *self.given)


class Demanding(SearchSpace):
    def __init__(self, depth):
        super().__init__()

    def build(self, hp):
        raise NotImplementedError


tiny = Tiny()


def build(hp, input_shape, num_classes):
    return net(hp, input_shape, num_classes)


def fixed(hp):
    return net(hp, (8, 8, 1), 3)


number = 3
model = net(None, (8, 8, 1), 3)
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("SEARCHCNN_PLUGINS", raising=False)
    workspace = Workspace(tmp_path)
    workspace.plugins.mkdir()
    return workspace


def write(workspace: Workspace, text: str, name: str = "mine") -> Path:
    path = workspace.plugins / f"{name}.py"
    path.write_text(text)
    return path


def outputs(space: Any) -> tuple[int | None, ...]:
    shape: tuple[int | None, ...] = space.build(keras_tuner.HyperParameters()).output_shape
    return shape


def test_a_plugin_by_name(workspace: Workspace) -> None:
    write(workspace, NETS)
    loaded = load_space("mine", workspace)
    space = loaded.create(SHAPE, 3)
    assert (loaded.name, type(space).__name__) == ("mine", "Tiny")
    assert (space.input_shape, space.num_classes) == (SHAPE, 3)
    assert outputs(space) == (None, 3)
    assert loaded.baselines(space) == {"small": {"filters": 8}}


@pytest.mark.parametrize("name", ["Tiny", "tiny", "Foreign", "Shaped", "build", "fixed"])
def test_all_kinds_of_objects_by_path(workspace: Workspace, name: str) -> None:
    write(workspace, NETS + FOREIGN)
    loaded = load_space(f"plugins/mine.py:{name}", workspace)
    space = loaded.create(SHAPE, 3)
    assert isinstance(space, keras_tuner.HyperModel)
    assert outputs(space) == (None, 3)
    assert loaded.name == (name if name != "build" else "mine")
    assert bool(loaded.baselines(space)) == (name.lower() == "tiny")


def test_a_module_level_build_function(workspace: Workspace) -> None:
    write(workspace, "from searchcnn import SearchSpace\ndef build(hp):\n    return hp.Int('x', 1, 2)\n")
    assert load_space("mine", workspace).create(SHAPE, 3).build(keras_tuner.HyperParameters()) == 1


def test_spaces_of_installed_packages(workspace: Workspace) -> None:
    loaded = load_space("keras_tuner.applications:HyperResNet", workspace)
    space = loaded.create((32, 32, 3), 4)
    assert loaded.name == "HyperResNet"
    assert (space.input_shape, space.classes) == ((32, 32, 3), 4)
    assert loaded.baselines(space) == {}
    assert loaded.fingerprint != load_space("keras_tuner.applications:HyperXception", workspace).fingerprint


def test_hyper_resnet_builds_as_class_and_as_instance(workspace: Workspace) -> None:
    write(
        workspace,
        "from keras_tuner.applications import HyperResNet\n"
        "class Net(HyperResNet):\n    pass\n"
        "net = HyperResNet(input_shape=(32, 32, 3), classes=4)\n",
    )
    assert outputs(load_space("mine", workspace).create((32, 32, 3), 4)) == (None, 4)
    assert outputs(load_space("plugins/mine.py:net", workspace).create((32, 32, 3), 4)) == (None, 4)


@pytest.mark.parametrize("value", ["offered_nets:Tiny", "offered_nets"])
def test_an_entry_point(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    info = tmp_path / "offer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[searchcnn.search_spaces]\noffered = {value}\nlost = nowhere:Net\n")
    (tmp_path / "offered_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "offered_nets", raising=False)
    loaded = load_space("offered", workspace)
    assert loaded.name == "offered"
    assert outputs(loaded.create(SHAPE, 3)) == (None, 3)
    with pytest.raises(PluginError, match="No module named 'nowhere'"):
        load_space("lost", workspace)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import sys\n\nsys.exit(3)\n{0}", r"mine.py:3: SystemExit: 3$"),
        ("\n1 / 0\n{0}", r"mine.py:2: ZeroDivisionError: division by zero$"),
        ("def f():\n    raise ValueError('one\\ntwo')\nf()\n{0}", r"mine.py:2: ValueError: one$"),
        ("import nowhere_at_all\n{0}", r"mine.py:1: ModuleNotFoundError: No module named 'nowhere_at_all'$"),
        ("def f(:\n{0}", r"mine.py:1: SyntaxError: "),
        ("import json\njson.loads('{{')\n{0}", r"mine.py:2: json.decoder.JSONDecodeError: "),
        ("x = 1\n", r"mine.py: defines no search space; expected one subclass of "),
        ("class Net(dict):\n    def build(self, hp): ...\n", r"mine.py: defines no search space; expected "),
        ("from searchcnn import SearchSpace\nclass Net(SearchSpace): ...\n", r"defines no search space; expected "),
        (NETS.replace("{", "{{").replace("}", "}}") + "class Other(_Base): ...\n", r"spaces \(Tiny, Other\); name one"),
    ],
)
def test_a_plugin_that_cannot_be_loaded(workspace: Workspace, text: str, error: str) -> None:
    write(workspace, text.format("def build(hp): ...\n"))
    before = set(sys.modules)
    with pytest.raises(PluginError, match=error) as raised:
        load_space("mine", workspace)
    assert "\n" not in str(raised.value)
    if "search space" not in error and "spaces" not in error:
        assert not [name for name in set(sys.modules) - before if name.startswith("searchcnn_plugin")]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("plugins/none.py", "none.py: cannot be read: No such file"),
        ("plugins/my-net.py", "'my-net' cannot name a search space"),
        ("plugins/mine.py:Tinny", "mine.py: defines no 'Tinny'; did you mean 'Tiny'?"),
        ("plugins/mine.py:number", "'number' is a int; expected a subclass of"),
        ("plugins/mine.py:model", "'model' is a Functional; expected a subclass of"),
        ("nowhere_at_all:Net", "No module named 'nowhere_at_all'"),
        ("json:Net", "defines no 'Net'"),
    ],
)
def test_an_object_that_is_no_space(workspace: Workspace, spec: str, error: str) -> None:
    write(workspace, NETS + FOREIGN)
    with pytest.raises(PluginError) as raised:
        load_space(spec, workspace)
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("name", "shape", "error"),
    [
        ("Tiny", (8, 8, 2), "takes images with 1 or 3 channels, not 2"),
        ("Tiny", (3, 8, 3), "takes images of at least 4x6 pixels, not 3x8"),
        ("Tiny", (4, 5, 3), "takes images of at least 4x6 pixels, not 4x5"),
        ("Demanding", (8, 8, 1), "Demanding: missing a required argument: 'depth'; input_shape and num_classes"),
        ("Abstract", (8, 8, 1), "abstract"),
    ],
)
def test_a_space_that_cannot_be_created(
    workspace: Workspace, name: str, shape: tuple[int, int, int], error: str
) -> None:
    write(workspace, NETS + FOREIGN)
    with pytest.raises(PluginError) as raised:
        load_space(f"plugins/mine.py:{name}", workspace).create(shape, 3)
    assert error in str(raised.value)


def test_an_error_in_constructor_or_baselines_names_its_line(workspace: Workspace) -> None:
    body = "class Net(keras_tuner.HyperModel):\n  def __init__(self): {}\n  def baselines(self): raise KeyError('x')\n"
    write(workspace, "import keras_tuner\n" + body.format("1 / 0"))
    with pytest.raises(PluginError, match=r"mine.py:3: ZeroDivisionError"):
        load_space("mine", workspace).create(SHAPE, 3)
    write(workspace, "import keras_tuner\n" + body.format("pass"))
    loaded = load_space("mine", workspace)
    with pytest.raises(PluginError, match=r"mine.py:4: KeyError: 'x'"):
        loaded.baselines(loaded.create(SHAPE, 3))


def test_ctrl_c_is_not_swallowed(workspace: Workspace) -> None:
    write(workspace, "def build(hp): ...\nraise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_space("mine", workspace)


def test_files_of_one_name_are_different_modules(workspace: Workspace, tmp_path: Path) -> None:
    write(workspace, NETS)
    (tmp_path / "mine.py").write_text(NETS.replace("Tiny", "Other"))
    one, other = (load_space(spec, workspace) for spec in ("plugins/mine.py", "mine.py"))
    assert one.module != other.module
    assert sys.modules[one.module].Tiny is one.target
    assert sys.modules[other.module].Other is other.target


def test_dataclasses_work_in_a_plugin(workspace: Workspace) -> None:
    head = "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int = 1\n"
    write(workspace, head + "def build(hp): return P().x\n")
    assert load_space("mine", workspace).create(SHAPE, 3).build(None) == 1


def test_loading_writes_nothing(workspace: Workspace) -> None:
    write(workspace, NETS)
    load_space("mine", workspace)
    assert [path.name for path in workspace.plugins.iterdir()] == ["mine.py"]


def test_several_spaces_of_a_study(workspace: Workspace) -> None:
    write(workspace, NETS)
    spaces = load_spaces(["mine", "sequential"], workspace)
    assert [space.name for space in spaces] == ["mine", "sequential"]
    with pytest.raises(PluginError, match="two search spaces are named 'mine'"):
        load_spaces(["mine", "plugins/mine.py"], workspace)


def test_check_loads_what_the_listing_only_reads(workspace: Workspace) -> None:
    write(workspace, "def build(hp): ...\n1 / 0\n", "divides")
    listed = discover(workspace)
    checked = check(listed)
    assert [plugin.status for plugin in listed if plugin.name == "divides"] == ["ok"]
    assert [plugin.error for plugin in checked if plugin.name == "divides"] == [
        f"{workspace.plugins / 'divides.py'}:2: ZeroDivisionError: division by zero"
    ]
    assert [plugin.name for plugin in checked] == [plugin.name for plugin in listed]
    assert all(plugin.status == "ok" for plugin in checked if plugin.name != "divides")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('"""Docs."""\n# a comment\ndef build(hp):\n    """More."""\n    return (  hp.Int("x", 1,2) )\n', True),
        ("def build(hp):\n    return hp.Int('x', 1, 3)\n", False),
        ("def build(hp):\n    return hp.Int('y', 1, 2)\n", False),
        ("x = 'not a docstring'\ndef build(hp):\n    return hp.Int('x', 1, 2)\n", False),
    ],
)
def test_the_fingerprint_is_of_the_code(workspace: Workspace, text: str, same: bool) -> None:
    write(workspace, "def build(hp):\n    return hp.Int('x', 1, 2)\n", "a")
    write(workspace, text, "b")
    a, b = (load_space(name, workspace).fingerprint for name in "ab")
    assert (a == b) == same
    assert len(a) == 32


def test_the_fingerprint_stays(workspace: Workspace) -> None:
    write(workspace, '"""A."""\nclass A:\n    """Only a docstring."""\ndef build(hp):\n    return f"{1!r:>{2}}" "b"\n')
    assert load_space("mine", workspace).fingerprint == "39125fd8ba3825563c239a5eb41c9f40"
