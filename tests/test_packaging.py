"""The wheel: what is in it, and that it works without the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("searchcnn", "plugins", "studies", "pyproject.toml", "LICENSE", "README.md")
LITTER = ("studies/x.db", "studies/x.db-wal", "studies/mine/best.keras", "plugins/x.db", "searchcnn/store/x.db")


def run(*command: str | Path, cwd: Path) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SEARCHCNN_PLUGINS")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a wheel that was built from a copy of the repository in which someone has worked."""
    tree = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, tree)
    for name in LITTER:
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(b"private")
    shutil.copytree(ROOT / "tests" / "plugins", tree / "tests")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tree / "dist", tree, cwd=tree)
    (built,) = (tree / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a Python with the wheel and this environment's packages, but without the repository.

    A folder in a `.pth` file is searched for packages, but its own `.pth` files, one of them the editable install's,
    are not read.
    """
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return python


def test_what_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "searchcnn").rglob("*.py")} | {
        "searchcnn/py.typed"
    }
    for kind, pattern in (("plugins", "*.py"), ("studies", "*.toml")):
        files = {f"searchcnn/_bundled/{kind}/{path.name}" for path in (ROOT / kind).glob(pattern)}
        assert files
        expected |= files
    expected |= {f"searchcnn/report/page.{kind}" for kind in ("html", "css", "js")}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_installed_package_works_elsewhere(python: Path, tmp_path: Path) -> None:
    code = """
import sys, searchcnn
from searchcnn._bundled import locate_bundled
from searchcnn.spaces import discover
from searchcnn.study import Workspace
from pathlib import Path
for kind in ("plugins", "studies"):
    assert locate_bundled(kind).parent.parent == Path(searchcnn.__file__).parent, locate_bundled(kind)
print(searchcnn.__file__, *[plugin.name for plugin in discover(Workspace(Path.cwd())) if plugin.status == "ok"])
assert "keras" not in sys.modules
"""
    file, *plugins = run(python, "-c", code, cwd=tmp_path).split()
    assert not Path(file).is_relative_to(ROOT)
    assert Path(file).is_relative_to(python.parent.parent)
    assert plugins == sorted(path.stem for path in (ROOT / "plugins").glob("*.py"))


def test_the_installed_command(python: Path, tmp_path: Path) -> None:
    command = python.with_name("searchcnn")
    assert "optimize" in run(command, "--help", cwd=tmp_path)
    assert "digits" in run(command, "studies", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
