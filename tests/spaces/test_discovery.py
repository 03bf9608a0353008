"""Where plugins are looked for, in which order, and what is told about the broken ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from searchcnn._bundled import locate_bundled
from searchcnn.errors import PluginError
from searchcnn.spaces import Plugin, discover, find
from searchcnn.study import Workspace

SPACE = '"""{0}."""\n\n\ndef build(hp):\n    raise NotImplementedError\n'


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("SEARCHCNN_PLUGINS", raising=False)
    return Workspace(tmp_path / "work")


def write(file: Path, text: str | bytes = SPACE.format("A space")) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def offer(folder: Path, value: str, name: str = "offered") -> None:
    info = folder / "offer-1.0.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: offer\nVersion: 1.0\nSummary: Offered nets\n")
    write(info / "entry_points.txt", f"[searchcnn.search_spaces]\n{name} = {value}\n")


def find_row(plugins: list[Plugin], name: str) -> Plugin:
    return next(plugin for plugin in plugins if plugin.name == name)


def test_the_order_of_sources(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in ("first", "second", "third", "fourth")]
    for folder in [*folders, workspace.plugins]:
        write(folder / "sequential.py", SPACE.format(folder.name))
    monkeypatch.setenv("SEARCHCNN_PLUGINS", os.pathsep.join(map(str, folders[2:])) + os.pathsep)
    offer(tmp_path / "site", "offer.nets:Net", "sequential")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    rows = [plugin for plugin in discover(workspace, folders[:2]) if plugin.name == "sequential"]
    assert [plugin.source for plugin in rows] == [
        *["--plugins-dir"] * 2,
        *["SEARCHCNN_PLUGINS"] * 2,
        "workspace",
        "built-in",
        "entry point",
    ]
    assert [plugin.status for plugin in rows] == ["ok", *["shadowed"] * 6]
    assert all(str(folders[0] / "sequential.py") in plugin.error for plugin in rows[1:])
    assert rows[0].description == "first."


def test_a_folder_that_is_named_twice_shadows_nothing(workspace: Workspace) -> None:
    rows = discover(Workspace(locate_bundled("plugins").parent), [locate_bundled("plugins")])
    assert {plugin.status for plugin in rows} == {"ok"}
    assert find_row(rows, "sequential").source == "built-in"


def test_files_that_are_no_plugins(workspace: Workspace) -> None:
    for name in ("_shared.py", "__init__.py", "notes.txt"):
        write(workspace.plugins / name)
    assert {plugin.source for plugin in discover(workspace)} == {"built-in"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def build(hp:\n", "broken.py:1: SyntaxError"),
        ("x = 1\nreturn x\n", "broken.py:2: SyntaxError: 'return' outside function"),
        ("x = 1\n", "defines no search space; expected"),
        (b"x = '\xff'\n", "broken.py"),
        (b"\x00", "broken.py"),
    ],
)
def test_a_broken_plugin_is_a_row(workspace: Workspace, text: str | bytes, error: str) -> None:
    write(workspace.plugins / "broken.py", text)
    broken = find_row(discover(workspace), "broken")
    assert broken.status == "error"
    assert error in broken.error
    assert "\n" not in broken.error
    assert find_row(discover(workspace), "sequential").status == "ok"


def test_an_unreadable_plugin_is_a_row(workspace: Workspace) -> None:
    (workspace.plugins / "folder.py").mkdir(parents=True)
    assert "cannot be read" in find_row(discover(workspace), "folder").error


def test_a_name_that_is_no_identifier_is_a_row(workspace: Workspace) -> None:
    write(workspace.plugins / "my-net.py")
    assert "such as my_net" in find_row(discover(workspace), "my-net").error


def test_a_warning_in_a_plugin_does_not_disturb_the_listing(workspace: Workspace) -> None:
    write(workspace.plugins / "warns.py", SPACE.format("W") + "x = '\\d' is 1\n")
    assert find_row(discover(workspace), "warns").status == "ok"


def test_entry_points_are_listed_unseen(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path / "site", "offer.nets : Net [fast]")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert find_row(discover(workspace), "offered") == Plugin(
        "offered", "entry point", "offer.nets:Net", description="Offered nets"
    )


@pytest.mark.parametrize("source", ["--plugins-dir", "SEARCHCNN_PLUGINS"])
def test_a_missing_folder_that_was_asked_for(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    missing = tmp_path / "missing"
    if source == "SEARCHCNN_PLUGINS":
        monkeypatch.setenv(source, str(missing))
    with pytest.raises(PluginError, match=f"^{source}: .*missing is not a folder"):
        discover(workspace, [missing] if source == "--plugins-dir" else [])


def test_find_by_name(workspace: Workspace) -> None:
    assert find("sequential", workspace).source == "built-in"
    with pytest.raises(PluginError, match=r"named 'sequental'; did you mean 'sequential'\?"):
        find("sequental", workspace)
    with pytest.raises(PluginError, match=r"known: .*sequential"):
        find("zzz", workspace)


@pytest.mark.parametrize(
    ("spec", "name", "source"),
    [
        ("nets/tiny.py", "tiny", "path"),
        ("nets/tiny.py:build", "tiny", "path"),
        ("nets/tiny.py:Net", "Net", "path"),
        ("package.nets:Net", "Net", "module"),
        ("package.nets:build", "nets", "module"),
        ("package.nets:Outer.Inner", "Inner", "module"),
    ],
)
def test_find_by_place(workspace: Workspace, spec: str, name: str, source: str) -> None:
    plugin = find(spec, workspace)
    assert (plugin.name, plugin.source) == (name, source)
    assert plugin.location == (str(workspace.root / spec) if source == "path" else spec)


def test_listing_imports_no_keras(workspace: Workspace) -> None:
    write(workspace.plugins / "mine.py", "import keras\n" + SPACE.format("Mine"))
    code = (
        "import sys, pathlib, searchcnn.spaces as spaces; from searchcnn.study import Workspace\n"
        f"print(*[plugin.name for plugin in spaces.discover(Workspace(pathlib.Path({str(workspace.root)!r})))])\n"
        "sys.exit(bool({'keras', 'keras_tuner', 'tensorflow', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"mine", "sequential"} <= set(done.stdout.split())
