"""Searches that are stopped and killed from outside, and what the same command makes of it."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from searchcnn.cli.commands import INTERRUPTED
from searchcnn.job import Job
from searchcnn.store import read_summary
from searchcnn.store.tables import EpochRow

pytestmark = pytest.mark.slow

EPOCHS = 3000
"""Epochs of a trial: more than there is time for."""


@contextmanager
def search(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "searchcnn", "optimize", "--study", "study.toml"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=folder, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            kill(family(process))


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Returns a process and its workers; none when it has ended."""
    try:
        return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()


def wait_for(stream: IO[str] | None, pattern: str) -> None:
    assert stream
    printed = []
    for line in stream:
        printed.append(line)
        if re.search(pattern, line):
            return
    pytest.fail(f"ended without {pattern}: {printed}")


def states(study: Job) -> list[str]:
    return [trial.state for trial in read_summary(study.url, study.name).trials]


def seconds(study: Job) -> list[float]:
    """Returns how long each epoch took, which an epoch that is trained again would not share with its first time."""
    engine = create_engine(study.url)
    with Session(engine) as session:
        rows = session.scalars(select(EpochRow).order_by(EpochRow.epoch)).all()
    engine.dispose()
    assert [row.epoch for row in rows] == list(range(1, len(rows) + 1))
    return [row.seconds for row in rows]


def check_same(before: list[float], after: list[float]) -> None:
    """Checks that no epoch was trained again but the last one."""
    assert len(after) > len(before)
    assert after[: len(before) - 1] == before[:-1]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_same_command_goes_on(make_study: Callable[..., Job], tmp_path: Path, ending: signal.Signals) -> None:
    study = make_study(trials=1, epochs=EPOCHS)
    with search(tmp_path) as process:
        wait_for(process.stdout, f"trial 0: epoch 5/{EPOCHS}")
        processes = family(process)
        if ending == signal.SIGKILL:
            kill(processes)
        else:
            process.send_signal(ending)
        assert process.wait(30) == (-9 if ending == signal.SIGKILL else INTERRUPTED)
        assert not psutil.wait_procs(processes, timeout=5)[1]
    before = seconds(study)
    assert len(before) >= 5
    with search(tmp_path) as process:
        wait_for(process.stdout, f"trial 0: epoch {len(before) + 1}/{EPOCHS}")
    check_same(before, seconds(study))
    assert states(study) == ["RUNNING"]


def test_a_second_ctrl_c_ends_it_at_once_and_nothing_is_lost(make_study: Callable[..., Job], tmp_path: Path) -> None:
    study = make_study(trials=2, epochs=2, points=("hang",))
    with search(tmp_path) as process:
        wait_for(process.stdout, "trial 1: net, baseline hang")
        processes = family(process)
        process.send_signal(signal.SIGINT)
        wait_for(process.stdout, "Stopping")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0]
        assert "Traceback" not in rest
        assert process.returncode == INTERRUPTED
        assert not psutil.wait_procs(processes, timeout=5)[1]
    assert states(study) == ["COMPLETE", "RUNNING"]
    assert (tmp_path / "studies" / "study" / "best.keras").exists()
