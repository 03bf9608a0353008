"""The documentation: generated pages are current and whole, the site builds, the Python code in it works."""

import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from searchcnn.backend import start_keras
from searchcnn.cli import datasets, plugins, studies
from searchcnn.cli.commands import COMMANDS
from searchcnn.sources import load_dataset
from searchcnn.spaces import load_space
from searchcnn.study import Range, StudyConfig, Workspace, load

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BELOW = [*(f"studies {name}" for name in studies.COMMANDS), *(f"datasets {name}" for name in datasets.COMMANDS)]
"""Commands of the smaller groups."""
PAGES = {str(page.relative_to(DOCS)): page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))}
TITLED = re.compile(r'^```\w+ title="(?P<file>[^"]+)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    variables = os.environ | (environment or {})
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


def write_files(page: str, folder: Path) -> None:
    """Writes the code blocks of a page that are titled with a file's name."""
    for block in TITLED.finditer(PAGES[page]):
        file = folder / block["file"]
        file.parent.mkdir(exist_ok=True)
        file.write_text(block["code"], encoding="utf-8")


def keys(model: type[BaseModel], section: str = "") -> Iterator[tuple[str, str]]:
    """Yields the section and the name of every key of a study file."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, BaseModel) and kind.model_config.get("extra") == "forbid"
        if inner and isinstance(kind, type):
            yield from keys(kind, f"{section}.{name}".lstrip("."))
        else:
            yield section, name


def section(page: str, heading: str) -> str:
    """Returns the text below a heading of the second level."""
    return PAGES[page].split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder)
    done = run(*command, cwd=ROOT, environment={"NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class TestGeneratedPages:
    def test_are_current(self) -> None:
        done = run(sys.executable, DOCS / "generate.py", "--check", cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_a_stale_page_is_named(self, tmp_path: Path) -> None:
        copy = shutil.copytree(DOCS, tmp_path / "docs")
        (copy / "reference" / "cli.md").write_text("old", encoding="utf-8")
        done = run(sys.executable, copy / "generate.py", "--check", cwd=ROOT)
        assert done.returncode == 1
        assert "cli.md: out of date" in done.stdout
        assert "configuration.md" not in done.stdout

    def test_a_stale_page_is_mended(self, tmp_path: Path) -> None:
        copy = shutil.copytree(DOCS, tmp_path / "docs")
        (copy / "reference" / "cli.md").unlink()
        assert run(sys.executable, copy / "generate.py", cwd=ROOT).returncode == 0
        assert (copy / "reference" / "cli.md").read_text(encoding="utf-8") == PAGES["reference/cli.md"]

    def test_are_written_without_keras(self) -> None:
        code = (
            "import runpy, sys; runpy.run_path('docs/generate.py')['make_pages'](); assert 'keras' not in sys.modules"
        )
        done = run(sys.executable, "-c", code, cwd=ROOT)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("command", [*COMMANDS, *(f"plugins {name}" for name in plugins.COMMANDS), *BELOW])
    def test_hold_every_command_and_its_options(self, command: str) -> None:
        done = run(sys.executable, "-m", "searchcnn", *command.split(), "--help", cwd=ROOT)
        options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", done.stdout, re.MULTILINE)) - {"--help"}
        text = section("reference/cli.md", command)
        assert set(re.findall(r"^\| `(--[\w-]+)", text, re.MULTILINE)) == options

    @pytest.mark.parametrize(("title", "key"), list(keys(StudyConfig)))
    def test_hold_every_key_of_a_study_file(self, title: str, key: str) -> None:
        text = section("reference/configuration.md", f"`[{title}]`" if title else "At the top of the file")
        assert re.search(rf"^\| `{key}` \| .+ \| .+ \| .+ \|$", text, re.MULTILINE)

    @pytest.mark.parametrize("key", list(Range.model_fields))
    def test_hold_every_key_of_a_range(self, key: str) -> None:
        assert f"\n| `{key}` | " in section("reference/configuration.md", "Values that are searched")


class TestSite:
    def test_has_every_page(self, site: Path) -> None:
        assert {str(page.relative_to(site).with_suffix(".md")) for page in site.rglob("*.html")} == {*PAGES, "404.md"}

    def test_loads_nothing_from_elsewhere(self, site: Path) -> None:
        text = "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
        assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?(?:https?:)?//[^>]*>', text) == []

    def test_describes_the_python_interface(self, site: Path) -> None:
        text = (site / "reference" / "python.html").read_text(encoding="utf-8")
        for name in ("spaces.space.SearchSpace.build", "study_object.Study.optimize", "errors.StudyFailedError"):
            assert f'id="searchcnn.{name}"' in text


class TestPictures:
    FILES = sorted((DOCS / "pictures").iterdir())

    @pytest.mark.parametrize("picture", FILES, ids=lambda picture: picture.name)
    def test_are_small_and_load_nothing(self, picture: Path) -> None:
        assert picture.stat().st_size < 300_000
        assert not re.search(rb"(?:url|src|href)[(=]\s*.?https?:", picture.read_bytes())

    def test_are_all_shown(self) -> None:
        text = "".join([*PAGES.values(), (ROOT / "README.md").read_text(encoding="utf-8")])
        assert {picture.name for picture in self.FILES} == set(re.findall(r"\]\([\w/.]*pictures/([\w.]+)\)", text))

    @pytest.mark.slow
    def test_can_be_made_anew(self, tmp_path: Path) -> None:
        done = run(sys.executable, DOCS / "pictures.py", tmp_path, "digits", cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert {picture.name for picture in tmp_path.iterdir()} == {picture.name for picture in self.FILES}
        view = (tmp_path / "live.svg").read_text(encoding="utf-8")
        assert "COMPLETE" in view
        assert "PRUNED" in view
        assert "stops" in view


class TestNotebook:
    FILE = DOCS / "tutorial" / "notebook.ipynb"

    def test_holds_no_outputs_that_go_stale(self) -> None:
        import nbformat

        notebook = nbformat.read(self.FILE, as_version=4)
        nbformat.validate(notebook)
        assert [cell.outputs for cell in notebook.cells if cell.cell_type == "code" and cell.outputs] == []

    @pytest.mark.slow
    def test_runs(self, tmp_path: Path) -> None:
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(self.FILE, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()  # raises errors
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        text = "".join(output.get("text", "") for output in outputs)
        accuracy = re.search(r"test accuracy (0\.\d+)", text)
        assert accuracy
        assert float(accuracy[1]) > 0.5
        assert (tmp_path / "digits.keras").exists()
        assert any("image/png" in output.get("data", ()) for output in outputs)


class TestPythonPage:
    @pytest.mark.parametrize(
        "block",
        re.findall(r"^::: .+\n(?:    .*\n)*", PAGES["reference/python.md"], re.MULTILINE),
        ids=lambda block: block.split()[1],
    )
    def test_names_what_exists(self, block: str) -> None:
        target = pkgutil.resolve_name(block.splitlines()[0].removeprefix("::: "))
        members = re.search(r"^ +members: \[(.*)\]$", block, re.MULTILINE)
        for name in re.findall(r"\w+", members[1]) if members else ():
            assert hasattr(target, name), name


class TestCode:
    @pytest.mark.parametrize("name", ["tiny", "tiny_with_baselines"])
    def test_of_the_search_spaces_builds(self, name: str, tmp_path: Path) -> None:
        write_files("how-to/write-a-search-space.md", tmp_path)
        loaded = load_space(name, Workspace(tmp_path))
        space = loaded.create((8, 8, 1), 10)
        start_keras()
        import keras_tuner

        for values in [{}, *loaded.baselines(space).values()]:
            hp = keras_tuner.HyperParameters()
            hp.values = dict(values)
            assert space.build(hp).output_shape == (None, 10)
            assert set(values) <= set(hp.values)

    def test_of_the_search_space_with_limits_says_what_is_infeasible(self, tmp_path: Path) -> None:
        from searchcnn import InfeasibleError

        write_files("how-to/write-a-search-space.md", tmp_path)
        space = load_space("tiny_with_baselines", Workspace(tmp_path)).create((8, 8, 1), 10)
        import keras_tuner

        hp = keras_tuner.HyperParameters()
        hp.values = {"pools": 4}
        with pytest.raises(InfeasibleError, match="image too small"):
            space.build(hp)

    def test_of_keras_tuner_builds(self, tmp_path: Path) -> None:
        write_files("how-to/use-your-own-keras-tuner-code.md", tmp_path)
        space = load_space("nets.py:build_model", Workspace(tmp_path)).create((8, 8, 1), 10)
        import keras_tuner

        model = space.build(keras_tuner.HyperParameters())
        assert model.compiled
        assert model(np.zeros((2, 8, 8, 1), np.float32)).shape == (2, 10)

    def test_of_own_images_makes_a_dataset_and_a_study(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_files("how-to/use-your-own-images.md", tmp_path)
        done = run(sys.executable, "make_pets.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        monkeypatch.chdir(tmp_path)
        name, file = Workspace(tmp_path).find("pets")
        dataset = load_dataset(load(file).data, seed=0)
        assert (name, dataset.num_classes, len(dataset.train), len(dataset.validation)) == ("pets", 2, 48, 12)

    @pytest.mark.slow
    def test_of_the_python_page_search(self, tmp_path: Path) -> None:
        write_files("reference/python.md", tmp_path)
        done = run(sys.executable, "search.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        *_, accuracy = done.stdout.split()
        assert float(accuracy) > 0.3
        assert (tmp_path / "digits.keras").exists()
        done = run(sys.executable, "own_images.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "0 COMPLETE" in done.stdout
