"""Runs `searchcnn` as its users do, in the process of the tests."""

import contextlib
import io
from pathlib import Path

import pytest

from searchcnn.cli import main


def call(folder: Path, *args: str, code: int = 0) -> tuple[str, str]:
    """Runs a command in this process; returns what it printed on standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with contextlib.chdir(folder), redirected[0], redirected[1], pytest.raises(SystemExit) as left:
        main(args)
    assert left.value.code == code, out.getvalue() + err.getvalue()
    return out.getvalue(), err.getvalue()
