"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import searchcnn

ROOT = Path(searchcnn.__file__).parent
PROMPT = ">>>"


def list_modules() -> list[str]:
    """Returns the names of the modules that hold an example."""
    files = [file for file in sorted(ROOT.rglob("*.py")) if PROMPT in file.read_text(encoding="utf-8")]
    paths = [file.relative_to(ROOT.parent).with_suffix("") for file in files]
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


@pytest.mark.parametrize("name", list_modules())
def test_examples(name: str) -> None:
    failures, examples = doctest.testmod(importlib.import_module(name))
    assert examples > 0, "none was run"
    assert failures == 0


def test_modules_with_examples_exist() -> None:
    assert {"searchcnn.errors", "searchcnn.text"} <= {*list_modules()}
