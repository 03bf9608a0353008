"""Reading study files, and overriding their keys."""

import re
from pathlib import Path
from typing import Any

import pytest

from searchcnn._bundled import locate_bundled
from searchcnn.errors import StudyFileError
from searchcnn.study import Range, load, parse_settings

TEXT = """
spaces = ["net"]
data.name = "digits"

[budget]
trials = 3

[search]
sampler = "RandomSampler"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def get_value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("training.epochs=5", "training.epochs", 5),
        (" training.epochs = 5 ", "training.epochs", 5),
        ("training.optimizer=adamw", "training.optimizer", "adamw"),
        ('training.optimizer="adamw"', "training.optimizer", "adamw"),
        ("training.optimizer=['adam', 'sgd']", "training.optimizer", ["adam", "sgd"]),
        ("training.learning_rate=1e-2", "training.learning_rate", 0.01),
        ("training.learning_rate={min=1e-3, max=1}", "training.learning_rate", Range(min=1e-3, max=1.0)),
        ("budget.timeout=1h30m", "budget.timeout", 5400.0),
        ("data.validation=500", "data.validation", 500),
        ("limits.max_params=1_000_000", "limits.max_params", 1_000_000),
        ("search.baselines=false", "search.baselines", False),
        ("spaces=['a', 'b']", "spaces", ["a", "b"]),
        ("description=a = b, c", "description", "a = b, c"),
        ("search.sampler=grid", "search.sampler.name", "grid"),
        ("search.sampler.n=5", "search.sampler.options", {"n": 5}),
        ("search.sampler.n=5", "search.sampler.name", "RandomSampler"),
    ],
)
def test_overrides(file: Path, override: str, key: str, expected: Any) -> None:
    assert get_value(load(file, parse_settings([override])), key) == expected


def test_later_settings_win(file: Path) -> None:
    config = load(file, parse_settings(["budget.trials=4", "seed=7", "budget.trials=5"]))
    assert (config.budget.trials, config.seed) == (5, 7)


@pytest.mark.parametrize("override", ["training.epochs", "=5", " =5", ""])
def test_what_is_no_setting(override: str) -> None:
    with pytest.raises(StudyFileError, match=r"expected KEY=VALUE, such as training\.epochs=5$"):
        parse_settings([override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=5", "training.epoch: unknown key; did you mean 'epochs'?"),
        ("trianing.epochs=5", "trianing: unknown key; did you mean 'training'?"),
        ("training.epochs=five", "training.epochs: should be a valid integer, not 'five'"),
        ("budget..trials=5", "budget.: unknown key"),
        ("data.name.x=5", "data.name: should be a valid string"),
        ("seed=" + "9" * 5000, "seed: should be a valid integer"),
    ],
)
def test_overrides_are_validated(file: Path, override: str, message: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        load(file, parse_settings([override]))
    assert str(caught.value).startswith(f"settings: {message}")


def test_the_file_is_blamed_for_its_own_mistakes(file: Path) -> None:
    file.write_text(file.read_text() + "\n[traning]\nepochs = 3\n")
    with pytest.raises(StudyFileError, match=r"x.toml: traning: unknown key; did you mean 'training'\?"):
        load(file, {"seed": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"spaces = [", "not valid TOML: "),
        (b"seed = 1\nseed = 2", "not valid TOML: "),
        (b"seed = " + b"9" * 5000, "not valid TOML: "),
        (b"seed = " + b"[" * 5000 + b"]" * 5000, "not valid TOML: "),
        (b"description = '\xff'", "not UTF-8 text: "),
        (
            b'description = "pics\\cats"',
            "not valid TOML: Unescaped '\\' in a string (at line 1, column 22); write a path",
        ),
        (
            b'description = "C:\\Users"',
            "not valid TOML: Invalid hex value (at line 1, column 20); write a path with back",
        ),
        (b"", "spaces: missing; add it to the file or give --set spaces=..."),
    ],
)
def test_unreadable_files(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(StudyFileError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_notepad_and_powershell_write(file: Path, encoding: str, ending: str) -> None:
    file.write_bytes(TEXT.replace("\n", ending).encode(encoding))
    assert load(file).budget.trials == 3


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="cannot be read: No such file"):
        load(tmp_path / "x.toml")
    with pytest.raises(StudyFileError, match="cannot be read: Is a directory"):
        load(tmp_path)


BUILT_IN = sorted(locate_bundled("studies").glob("*.toml"))


@pytest.mark.parametrize("path", BUILT_IN, ids=[path.stem for path in BUILT_IN])
def test_built_in_studies(path: Path) -> None:
    config = load(path)
    assert config.description
    assert config.budget.trials or config.budget.timeout


def test_there_are_built_in_studies() -> None:
    assert "digits" in [path.stem for path in BUILT_IN]


@pytest.mark.parametrize(
    ("text", "spaces"),
    [("transfer", ["transfer"]), ('["a", "b"]', ["a", "b"]), ("[a, nets.py:b]", ["a", "nets.py:b"])],
)
def test_search_spaces_as_people_type_them(file: Path, text: str, spaces: list[str]) -> None:
    assert load(file, parse_settings([f"spaces={text}"])).spaces == spaces


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("epochs=5", "epochs: unknown key; did you mean 'training.epochs'?"),
        ("epoch=5", "epoch: unknown key; did you mean 'training.epochs'?"),
        ("budget.epochs=5", "budget.epochs: unknown key; did you mean 'training.epochs'?"),
        ("training.sampler=grid", "training.sampler: unknown key; did you mean 'search.sampler'?"),
        ("n_trials=5", "n_trials: unknown key; did you mean 'budget.trials'?"),
        ("optimiser=adam", "optimiser: unknown key; did you mean 'training.optimizer'?"),
        ("name=x", "did you mean 'data.name' or 'search.sampler.name' or 'search.pruner.name'?"),
    ],
)
def test_a_key_of_another_section_is_named_whole(file: Path, setting: str, hint: str) -> None:
    with pytest.raises(StudyFileError, match=re.escape(hint)):
        load(file, parse_settings([setting]))
