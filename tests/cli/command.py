"""Runs `searchcnn` as its users do, in the process of the tests."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import pytest

from searchcnn.cli import main


def call(folder: Path, *args: str, code: int = 0) -> tuple[str, str]:
    """Runs a command in this process; returns what it printed on standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    assert run(folder, args, out, err) == code, out.getvalue() + err.getvalue()
    return out.getvalue(), err.getvalue()


def call_encoded(folder: Path, encoding: str, *args: str, code: int = 0) -> tuple[bytes, bytes]:
    """Runs a command where standard output and error have an encoding; returns what it wrote to them."""
    files = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(file, encoding=encoding, write_through=True) for file in files)
    assert run(folder, args, out, err) == code, (files[0].getvalue(), files[1].getvalue())
    return files[0].getvalue(), files[1].getvalue()


def run(folder: Path, args: Sequence[str], out: TextIO, err: TextIO) -> object:
    """Runs a command in this process; returns its exit code."""
    redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with contextlib.chdir(folder), redirected[0], redirected[1], pytest.raises(SystemExit) as left:
        main(args)
    return left.value.code
