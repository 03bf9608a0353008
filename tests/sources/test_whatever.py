"""Whatever a study file says of its data is a clear error in one line, or a dataset that can be searched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from searchcnn.errors import SearchcnnError
from searchcnn.sources import load_dataset
from searchcnn.study import load

SCALARS = st.one_of(
    st.integers(-5, 300),
    st.floats(allow_nan=True, allow_infinity=True),
    st.booleans(),
    st.text(max_size=6),
    st.sampled_from(
        ["auto", "crop", "pad", "stretch", "cat", "dog", "digits", "mnist", "pets", "list.csv", "os:getcwd"]
    ),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(["min", "max", "x"]), SCALARS)
)
KEYS = st.sampled_from(
    ["validation", "test", "classes", "image_size", "resize", "channels", "max_unreadable", "in_memory", "size", "name"]
)
GOOD: dict[str, Any] = {
    "validation": st.one_of(st.floats(0.01, 0.9), st.integers(1, 20)),
    "test": st.one_of(st.floats(0.01, 0.9), st.integers(1, 20)),
    "classes": st.one_of(st.integers(2, 3), st.lists(st.sampled_from(["cat", "cow", "dog"]), max_size=3)),
    "image_size": st.one_of(st.integers(1, 30), st.lists(st.integers(1, 30), min_size=2, max_size=2), st.just("auto")),
    "resize": st.sampled_from(["crop", "pad", "stretch"]),
    "channels": st.sampled_from([1, 3, "auto"]),
    "in_memory": st.sampled_from([0.0, 1.0]),
}
PATHS = st.sampled_from(["pets", "pets", "pets", "list.csv", "pets/cat", "nowhere", "study.toml", ".", "os:getcwd"])
DATA = st.builds(
    lambda path, bad, good: {"path": path, **good, **bad},
    PATHS,
    st.one_of(st.just({}), st.dictionaries(KEYS, VALUES, max_size=2)),
    st.fixed_dictionaries({}, optional=GOOD),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Returns a folder with images, as the current one."""
    folder, random = tmp_path_factory.mktemp("workspace"), np.random.default_rng(0)
    for name in ("cat", "cow", "dog"):
        (folder / "pets" / name).mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(0, 256, (5 + number % 2, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pets" / name / f"{number}.png")
    rows = [f"pets/{name}/{number}.png,{name}" for name in ("cat", "cow") for number in range(8)]
    (folder / "list.csv").write_text("path,label\n" + "\n".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def write_value(value: Any) -> str:
    """Writes a value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(write_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {write_value(item)}" for key, item in value.items()) + "}"
    return repr(value)


def check(workspace: Path, content: str) -> None:
    """Loads the dataset of a study file, or is told in one line what is wrong with it."""
    (workspace / "study.toml").write_text(content, encoding="utf-8")
    try:
        dataset = load_dataset(load(workspace / "study.toml").data, 0)
    except SearchcnnError as error:
        assert len(str(error).splitlines()) == 1
        return
    shapes = {part.images.shape[1:] for part in (dataset.train, dataset.validation, dataset.test)}
    assert shapes == {dataset.preparation.shape}
    assert min(len(part) for part in (dataset.train, dataset.validation, dataset.test)) > 0
    assert set(dataset.train.labels) == set(range(dataset.num_classes))


STUDIES = st.one_of(
    DATA.map(
        lambda data: (
            'spaces = ["sequential"]\nbudget.trials = 1\n[data]\n'
            + "\n".join(f"{key} = {write_value(value)}" for key, value in data.items())
        )
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)


@given(STUDIES)
@settings(suppress_health_check=list(HealthCheck))
def test_whatever_a_study_file_says(workspace: Path, content: str) -> None:
    check(workspace, content)
