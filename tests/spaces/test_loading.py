"""Loading spaces of all kinds, and what is said about those that cannot be loaded."""

import sys
from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import PluginError, StudyFileError
from searchcnn.spaces import Plugin, discover, load, load_space, load_spaces
from searchcnn.spaces.creation import create_spaces
from searchcnn.spaces.identity import identify_spaces
from searchcnn.study import Workspace
from searchcnn.study.config import parse_size

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


def build_shape(space: Any) -> tuple[int | None, ...]:
    shape: tuple[int | None, ...] = space.build(keras_tuner.HyperParameters()).output_shape
    return shape


def test_a_plugin_by_name(workspace: Workspace) -> None:
    write(workspace, NETS)
    loaded = load_space("mine", workspace)
    space = loaded.create(SHAPE, 3)
    assert (loaded.name, type(space).__name__) == ("mine", "Tiny")
    assert (space.input_shape, space.num_classes) == (SHAPE, 3)
    assert build_shape(space) == (None, 3)
    assert loaded.baselines(space) == {"small": {"filters": 8}}


@pytest.mark.parametrize("name", ["Tiny", "tiny", "Foreign", "Shaped", "build", "fixed"])
def test_all_kinds_of_objects_by_path(workspace: Workspace, name: str) -> None:
    write(workspace, NETS + FOREIGN)
    loaded = load_space(f"plugins/mine.py:{name}", workspace)
    space = loaded.create(SHAPE, 3)
    assert isinstance(space, keras_tuner.HyperModel)
    assert build_shape(space) == (None, 3)
    assert loaded.name == (name if name != "build" else "mine")
    assert bool(loaded.baselines(space)) == (name.lower() == "tiny")


def test_a_module_level_build_function(workspace: Workspace) -> None:
    write(workspace, "from searchcnn import SearchSpace\ndef build(hp):\n    return hp.Int('x', 1, 2)\n")
    assert load_space("mine", workspace).create(SHAPE, 3).build(keras_tuner.HyperParameters()) == 1


def test_spaces_of_installed_packages(workspace: Workspace) -> None:
    loaded = load_space("keras_tuner.applications:HyperResNet", workspace)
    space = loaded.create((32, 32, 3), 4)
    assert loaded.name == "HyperResNet"
    assert (space.input_shape, space.hypermodel.classes) == ((32, 32, 3), 4)
    assert loaded.baselines(space) == {}
    assert loaded.fingerprint != load_space("keras_tuner.applications:HyperXception", workspace).fingerprint


def test_hyper_resnet_builds_as_class_and_as_instance(workspace: Workspace) -> None:
    write(
        workspace,
        "from keras_tuner.applications import HyperResNet\n"
        "class Net(HyperResNet):\n    pass\n"
        "net = HyperResNet(input_shape=(32, 32, 3), classes=4)\n",
    )
    assert build_shape(load_space("mine", workspace).create((32, 32, 3), 4)) == (None, 4)
    assert build_shape(load_space("plugins/mine.py:net", workspace).create((32, 32, 3), 4)) == (None, 4)


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
    assert build_shape(loaded.create(SHAPE, 3)) == (None, 3)
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


def test_an_error_while_loading_is_not_seen_by_the_listing(workspace: Workspace) -> None:
    write(workspace, "def build(hp): ...\n1 / 0\n", "divides")
    (listed,) = [plugin for plugin in discover(workspace) if plugin.name == "divides"]
    assert listed.status == "ok"
    with pytest.raises(PluginError, match=r"divides.py:2: ZeroDivisionError: division by zero"):
        load(listed)


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


OPTIONS = """
import functools
import keras
import keras_tuner
from searchcnn import SearchSpace


class Base(SearchSpace):
    def __init__(self, depth=2, names=("a", "b")):
        super().__init__()
        self.got = {"depth": depth, "names": names}

    def build(self, hp):
        return {**self.got, "shape": self.input_shape}


class Foreign(keras_tuner.HyperModel):
    def __init__(self, num_classes, width=8, **kwargs):
        super().__init__(**kwargs)
        self.got = {"width": width, "classes": num_classes}

    def build(self, hp):
        return self.got


class Demanding(Base):
    def __init__(self, depth):
        super().__init__(depth)


class Bare(SearchSpace):
    def build(self, hp):
        return {}


def function(hp, input_shape, width=8, depth=2):
    return {"width": width, "depth": depth, "shape": input_shape}


partial = functools.partial(function, width=16)
instance = Base()
"""


@pytest.mark.parametrize(
    ("name", "options", "got"),
    [
        ("Base", {}, {"depth": 2, "names": ("a", "b"), "shape": SHAPE}),
        ("Base", {"depth": 3, "names": ["c"]}, {"depth": 3, "names": ["c"], "shape": SHAPE}),
        ("Foreign", {"width": 32}, {"width": 32, "classes": 3}),
        ("Demanding", {"depth": 5}, {"depth": 5, "names": ("a", "b"), "shape": SHAPE}),
        ("Bare", {}, {}),
        ("function", {"depth": 4}, {"width": 8, "depth": 4, "shape": SHAPE}),
        ("partial", {"depth": 4}, {"width": 16, "depth": 4, "shape": SHAPE}),
        ("partial", {"width": 4}, {"width": 4, "depth": 2, "shape": SHAPE}),
        ("instance", {}, {"depth": 2, "names": ("a", "b"), "shape": SHAPE}),
    ],
)
def test_options(workspace: Workspace, name: str, options: dict[str, Any], got: dict[str, Any]) -> None:
    write(workspace, OPTIONS)
    loaded = load_space(f"plugins/mine.py:{name}", workspace)
    for argument in (options, options or None):
        assert loaded.create(SHAPE, 3, argument).build(keras_tuner.HyperParameters()) == got


def test_options_of_spaces_that_come_with_keras_tuner(workspace: Workspace) -> None:
    loaded = load_space("keras_tuner.applications:HyperResNet", workspace)
    assert loaded.create((32, 32, 3), 4, {"include_top": False}).hypermodel.include_top is False


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("Base", {"dept": 3}, "options.Base: 'dept' is not an option of this search space; did you mean 'depth'?"),
        ("Base", {"depth": 3, "x": 1}, "options.Base: 'x' is not an option of this search space (it has depth, names)"),
        (
            "Base",
            {"input_shape": [1, 1, 1]},
            "options.Base: 'input_shape' is not an option of this search space (it has ",
        ),
        ("Base", {"self": 1}, "options.Base: 'self' is not an option of this search space (it has depth, names)"),
        ("Foreign", {"num_classes": 4}, "options.Foreign: 'num_classes' is not an option of this search space"),
        ("Foreign", {"kwargs": {}}, "options.Foreign: 'kwargs' is not an option of this search space"),
        ("Demanding", {}, "Demanding: missing a required argument: 'depth'; input_shape and num_classes"),
        ("Foreign", {"name": "x"}, "options.Foreign: 'name' is not an option of this search space (it has width)"),
        ("Bare", {"depth": 1}, "options.Bare: 'depth' is not an option of this search space; it has none"),
        (
            "function",
            {"with": 1},
            "options.function: 'with' is not an option of this search space; did you mean 'width'?",
        ),
        ("function", {"hp": 1}, "options.function: 'hp' is not an option of this search space (it has width, depth)"),
        ("instance", {"depth": 1}, "options.instance: 'depth' is not an option of this search space; it has none"),
    ],
)
def test_what_is_no_option(workspace: Workspace, name: str, options: dict[str, Any], error: str) -> None:
    write(workspace, OPTIONS)
    loaded = load_space(f"plugins/mine.py:{name}", workspace)
    with pytest.raises(PluginError) as raised:
        loaded.create(SHAPE, 3, options)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_option_of_the_wrong_kind_names_the_line_that_fails(workspace: Workspace) -> None:
    text = "from searchcnn import SearchSpace\nclass Net(SearchSpace):\n  def __init__(self, depth=1):\n    depth + 1\n"
    write(workspace, text + "  def build(self, hp): ...\n")
    with pytest.raises(PluginError, match=r"mine.py:4: TypeError: "):
        load_space("mine", workspace).create(SHAPE, 3, {"depth": "deep"})


def test_the_options_of_a_study(workspace: Workspace, study_config: Any, digits: Dataset) -> None:
    write(workspace, OPTIONS)
    spaces = load_spaces(["plugins/mine.py:Base", "plugins/mine.py:function"], workspace)
    config = study_config(options={"Base": {"depth": 7}})
    created = create_spaces(spaces, config, digits)
    hp = keras_tuner.HyperParameters()
    assert created["Base"].build(hp)["depth"] == 7
    assert created["function"].build(hp)["depth"] == 2
    with pytest.raises(PluginError, match=r"^options.Bas: the study has no search space 'Bas'; did you mean 'Base'\?$"):
        create_spaces(spaces, study_config(options={"Bas": {}}), digits)


@pytest.mark.parametrize(
    ("amount", "size_in_bytes"),
    [
        ("4GB", 4 * 2**30),
        ("500 mb", 500 * 2**20),
        ("1.5k", 1536),
        ("2T", 2 * 2**40),
        (" 7 ", 7),
        ("7B", 7),
        (0, 0),
        ("0", 0),
        (10**9, 10**9),
    ],
)
def test_an_amount_of_disk_space(study_config: Any, amount: Any, size_in_bytes: int) -> None:
    assert parse_size(amount) == size_in_bytes
    assert study_config(limits={"feature_cache": amount}).limits.feature_cache == size_in_bytes


@pytest.mark.parametrize("amount", [-1, True, 1.5, None, "", "GB", "4 XB", "-4GB", "4GBs", "1e3", "infGB", [4]])
def test_what_is_no_amount_of_disk_space(study_config: Any, amount: Any) -> None:
    with pytest.raises(StudyFileError, match=r"limits.feature_cache.* is not an amount of bytes; write a number"):
        study_config(limits={"feature_cache": amount})


@pytest.mark.parametrize(
    ("imported", "is_covered"), [("from searchcnn.blocks import pool", True), ("import json", False)]
)
def test_the_fingerprint_covers_the_blocks_that_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: str, is_covered: bool
) -> None:
    from searchcnn import blocks

    file = tmp_path / "net.py"
    file.write_text(f"{imported}\ndef build(hp): ...\n")
    before = load_space("net.py", Workspace(tmp_path)).fingerprint
    other = tmp_path / "blocks.py"
    other.write_text(Path(blocks.__file__).read_text() + "\nMORE = 1\n")
    monkeypatch.setattr(blocks, "__file__", str(other))
    assert (load_space("net.py", Workspace(tmp_path)).fingerprint != before) == is_covered


BESIDE = """
import keras
from layers import dense


def build(hp, input_shape, num_classes):
    from late import units
    net = keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), dense(units(hp))])
    net.add(keras.layers.Dense(num_classes, activation="softmax"))
    return net
"""


def write_beside(folder: Path, name: str, most: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(BESIDE)
    (folder / "layers.py").write_text(f"import keras\ndef dense(u): return keras.layers.Dense({most} + u)\n")
    (folder / "late.py").write_text(f"def units(hp): return hp.Int('units', 1, {most})\n")


def test_spaces_of_two_folders_each_have_their_own_files_beside_them(workspace: Workspace, tmp_path: Path) -> None:
    write_beside(tmp_path / "a", "small", 10)
    write_beside(tmp_path / "b", "large", 20)
    loaded = load_spaces(["a/small.py", "b/large.py"], workspace)
    spaces = [space.create(SHAPE, 3) for space in loaded]
    for _ in range(2):
        hps = [keras_tuner.HyperParameters() for _ in spaces]
        nets = [space.build(hp) for space, hp in zip(spaces, hps, strict=True)]
        assert [net.layers[1].units for net in nets] == [11, 21]
        assert [hp.space[0].max_value for hp in hps] == [10, 20]


def test_the_fingerprint_covers_the_files_beside_it(
    workspace: Workspace, tmp_path: Path, study_config: Any, digits: Dataset
) -> None:
    write_beside(tmp_path, "net", 10)
    before = load_space("net.py", workspace)
    assert list(before.imports) == ["late.py", "layers.py"]
    (tmp_path / "late.py").write_text((tmp_path / "late.py").read_text() + "# the same\n")
    assert load_space("net.py", workspace).fingerprint == before.fingerprint
    (tmp_path / "late.py").write_text("def units(hp): return hp.Int('units', 1, 11)\n")
    after = load_space("net.py", workspace)
    assert after.fingerprint != before.fingerprint
    identities = [identify_spaces([space], {}) for space in (before, after)]
    changed = {key for key in identities[0] if identities[0][key] != identities[1][key]}
    assert changed == {"search space net, late.py"}


def test_a_file_beside_it_that_uses_our_blocks(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import layers\ndef build(hp): ...\n")
    (tmp_path / "layers.py").write_text("from searchcnn.blocks import pool\n")
    assert list(load_space("net.py", Workspace(tmp_path)).imports) == ["layers.py", "searchcnn.blocks"]


def test_a_broken_file_beside_it_is_blamed(workspace: Workspace, tmp_path: Path) -> None:
    write_beside(tmp_path, "net", 10)
    for name, text, line in (("layers", "\n1 / 0\n", 2), ("late", "x = 1\n\ndef f(:\n", 3)):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(PluginError, match=rf"/{name}.py:{line}: (ZeroDivision|Syntax)Error: "):
            load_space("net.py", workspace)
        write_beside(tmp_path, "net", 10)


def test_an_entry_point_is_not_looked_for_in_the_current_folder(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "offered.py").write_text("def build(hp): ...\n")
    assert load_space("offered:build", workspace).name == "offered"
    with pytest.raises(PluginError, match="No module named 'offered'"):
        load(Plugin("offered", "entry point", "offered:build"))
