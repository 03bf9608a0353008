"""The user's files find what lies beside them: always, in every folder, and without standing in for anybody else's."""

import pickle
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from searchcnn import modules


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one, and nothing is left on the path."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    """Writes Python files, by path without the ending."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


IMPORTS = {
    "import": "import layers\ndef f(): return layers.SIZE",
    "import as": "import blocks.conv as conv\ndef f(): return conv.SIZE",
    "import dotted": "import blocks.conv\ndef f(): return blocks.conv.SIZE",
    "from": "from layers import SIZE\ndef f(): return SIZE",
    "from folder": "from blocks import conv\ndef f(): return conv.SIZE",
    "star": "from layers import *\ndef f(): return SIZE",
    "relative": "from .layers import SIZE\ndef f(): return SIZE",
    "relative folder": "from .blocks.conv import SIZE\ndef f(): return SIZE",
    "later": "def f():\n    from layers import SIZE\n    return SIZE",
    "in a file that is imported": "import chain\ndef f(): return chain.SIZE",
    "later in a file that is imported": "import chain\ndef f(): return chain.later()",
    "importlib": "import importlib\ndef f(): return importlib.import_module('layers').SIZE",
    "from importlib": "from importlib import import_module, util\ndef f(): return import_module('blocks.conv').SIZE",
    "__import__": "def f(): return __import__('layers').SIZE",
    "in a lambda": "f = lambda: __import__('layers').SIZE",
    "itself": "SIZE = 0\nimport chain\ndef f(): return chain.back()",
}


@pytest.mark.parametrize("text", IMPORTS.values(), ids=IMPORTS)
def test_two_files_each_find_their_own(folder: Path, text: str) -> None:
    found = []
    for size in (1, 2):
        chain = "from layers import SIZE\ndef later():\n    import layers\n    return layers.SIZE\n"
        back = "def back():\n    import net\n    return SIZE + net.SIZE\n"
        beside = {"layers": f"SIZE = {size}", "blocks/conv": f"from layers import SIZE\nassert SIZE == {size}"}
        write(folder / str(size), {"net": text, "chain": chain + back, **beside})
        found.append(modules.execute(folder / str(size) / "net.py"))
    assert [module.f() for module in found] == [1, 2]
    assert [module.f() for module in reversed(found)] == [2, 1]
    assert not {"layers", "blocks", "chain"} & set(sys.modules)
    assert not [entry for entry in sys.path if str(folder) in entry]


@pytest.mark.parametrize("name", ["random", "types", "numpy", "keras"])
def test_a_file_does_not_stand_in_for_python_or_keras(folder: Path, name: str) -> None:
    write(folder, {"net": f"import {name}\ndef f():\n    import {name}\n    return {name}", name: "1 / 0"})
    module = modules.execute(folder / "net.py")
    assert module.f() is sys.modules[name] is getattr(module, name)
    assert sys.modules["random"] is random


def test_a_reserved_name_gives_what_only_the_file_beside_has(folder: Path) -> None:
    text = "from code.deep import DEEP\nfrom calendar import SIZE, day_name"
    write(folder, {"net": "from code.deep import DEEP\nfrom calendar import SIZE", "code/deep": "DEEP = 1"})
    write(folder, {"calendar": "SIZE = 2", "other": text})
    module = modules.execute(folder / "net.py")
    assert (module.DEEP, module.SIZE) == (1, 2)
    with pytest.raises(ImportError, match=r"cannot import name 'day_name' from 'calendar' \(.*/calendar.py\)"):
        modules.execute(folder / "other.py")


def test_a_file_comes_before_an_installed_module_of_its_name(folder: Path) -> None:
    write(folder, {"net": "import pytest, _pytest.config as config", "pytest": "SIZE = 1"})
    module = modules.execute(folder / "net.py")
    assert module.pytest.SIZE == 1
    assert module.config is sys.modules["_pytest.config"]


def test_a_file_of_the_name_of_what_it_imports(folder: Path) -> None:
    write(folder, {"pytest": "import pytest\nf = pytest.mark"})
    assert modules.execute(folder / "pytest.py").f is pytest.mark


def test_a_file_of_a_package(folder: Path) -> None:
    text = "from .layers import SIZE\nfrom ..common import A\nfrom package.common import A as B\nfrom . import C\n"
    write(
        folder,
        {"package/__init__": "", "package/sub/__init__": "C = 3\nfrom .net import SIZE", "package/common": "A = 2"},
    )
    write(folder, {"package/sub/net": text, "package/sub/layers": "SIZE = 1"})
    module = modules.execute(folder / "package" / "sub" / "net.py")
    assert (module.SIZE, module.A, module.B, module.C) == (1, 2, 2, 3)


def test_a_package_is_not_executed_for_a_file_that_does_not_ask_for_it(folder: Path) -> None:
    write(folder, {"package/__init__": "1 / 0", "package/net": "from layers import SIZE", "package/layers": "SIZE = 1"})
    assert modules.execute(folder / "package" / "net.py").SIZE == 1


def test_modules_of_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"nets": "from layers import SIZE", "layers": "SIZE = 1", "deep/nets": "from .layers import SIZE"})
    write(folder, {"deep/layers": "SIZE = 2", "code/nets": "import layers, code.layers\nSIZE = code.layers.SIZE"})
    write(folder, {"code/layers": "SIZE = 3"})
    monkeypatch.chdir(folder)
    assert [modules.import_module(name).SIZE for name in ("nets", "deep.nets", "code.nets")] == [1, 2, 3]
    assert modules.import_module("json.decoder") is sys.modules["json.decoder"]
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nowhere'$"):
        modules.import_module("nowhere")


def test_the_current_folder_is_not_looked_in(folder: Path) -> None:
    """A network does not depend on where a command is run."""
    write(folder, {"net": "from layers import SIZE\nimport common", "layers": "SIZE = 1"})
    write(folder / "elsewhere", {"layers": "SIZE = 0", "common": "A = 2"})
    with pytest.raises(ModuleNotFoundError, match="No module named 'common'"):
        modules.execute(folder / "net.py")


def test_changed_files_are_read_again_and_no_bytecode_is_written(folder: Path) -> None:
    for size in (1, 2, 3):
        write(folder, {"net": "from layers import SIZE", "layers": f"SIZE = {size}"})
        module = modules.execute(folder / "net.py")
        assert size == module.SIZE
    assert not list(folder.rglob("__pycache__"))


def test_classes_of_files_are_complete(folder: Path) -> None:
    text = "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int = 1\n"
    write(folder, {"net": "from layers import P", "layers": text})
    module = modules.execute(folder / "net.py")
    assert pickle.loads(pickle.dumps(module.P(2))) == module.P(2)


ERRORS = {
    "from layers import SIZ\n": (ImportError, "cannot import name 'SIZ' from 'layers' (", "net.py:1"),
    "\nimport nowhere\n": (ModuleNotFoundError, "No module named 'nowhere'", "net.py:2"),
    "import layers.deep\n": (
        ModuleNotFoundError,
        "named 'layers.deep'; 'layers' is not a package",
        "net.py:1",
    ),
    "from .nowhere import x\n": (ModuleNotFoundError, "No module named 'nowhere'", "net.py:1"),
    "from ..layers import SIZE\n": (ImportError, "put an __init__.py into each folder of its package", "net.py:1"),
    "import broken\n": (SyntaxError, "", "broken.py:2"),
    "import failing\n": (ZeroDivisionError, "", "failing.py:1"),
    "import layers\nlayers.fail()\n": (KeyError, "", "layers.py:2"),
}


@pytest.mark.parametrize("text", ERRORS, ids=lambda text: text.strip())
def test_errors_name_modules_as_the_user_does_and_the_innermost_line(folder: Path, text: str) -> None:
    kind, message, line = ERRORS[text]
    write(
        folder,
        {
            "net": text,
            "layers": "SIZE = 1\ndef fail(): raise KeyError\n",
            "broken": "x = 1\ndef f(:\n",
            "failing": "1 / 0",
        },
    )
    before = set(sys.modules)
    with pytest.raises(kind) as raised:
        modules.execute(folder / "net.py")
    assert message in str(raised.value)
    assert modules.PREFIX not in str(raised.value)
    assert modules.find_line(raised.value).endswith(f"/{line}")
    assert not [name for name in set(sys.modules) - before if name.startswith(modules.PREFIX)]


def test_an_error_in_a_module_keeps_its_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"deep/nets": "\nimport layers", "deep/layers": ""})
    monkeypatch.chdir(folder)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'layers'$") as raised:  # as with python -m
        modules.import_module("deep.nets")
    assert modules.find_line(raised.value).endswith("/deep/nets.py:2")


def names(module: ModuleType, folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in modules.find_imported_files(module))


def test_what_a_file_imports(folder: Path) -> None:
    text = "import json, layers, random\ndef f():\n    from blocks.conv import SIZE\n    from . import lazy\n"
    write(
        folder,
        {
            "net": text,
            "layers": "import deeper\nimport net",
            "deeper": "",
            "unused": "",
            "random": "",
            "lazy": "import pytest",
        },
    )
    write(folder, {"blocks/__init__": "", "blocks/conv": "from .inner import SIZE", "blocks/inner": "SIZE = 1"})
    expected = ["blocks/__init__.py", "blocks/conv.py", "blocks/inner.py", "deeper.py", "layers.py", "lazy.py"]
    assert names(modules.execute(folder / "net.py"), folder) == expected
    write(folder, {"alone": "import json, numpy\ndef f():\n    import nowhere\n"})
    assert names(modules.execute(folder / "alone.py"), folder) == []
    assert names(modules.import_module("json"), folder) == []
