"""`searchcnn status --watch` in a real terminal, while another process works on the study."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from searchcnn.events import Epoch
from searchcnn.search import make_sampler
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig, StudyConfig, Workspace

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
"""What a terminal is told to show another screen, and the first one again."""
SIZES = ("COLUMNS", "LINES")
"""Variables that would be believed instead of the terminal; pytest's workers have them."""


class Terminal:
    """A process in a terminal of its own.

    Args:
        folder: Where it works.
        args: Its arguments.
        size: Rows and columns.
    """

    def __init__(self, folder: Path, *args: str, size: tuple[int, int] = (24, 80)) -> None:
        self._master, slave = pty.openpty()
        self.resize(*size)
        command = [sys.executable, "-m", "searchcnn", *args]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**{name: value for name, value in os.environ.items() if name not in SIZES}, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it may be ignored
        )
        os.close(slave)
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, pattern: str) -> str:
        """Returns what was printed since the last call, once it has a text that matches."""
        new, deadline = "", time.monotonic() + 40
        while not re.search(pattern, new):
            assert time.monotonic() < deadline, new
            new += self._read()
        self.text += new
        return new

    def end(self) -> int:
        """Returns the exit code, once it has ended."""
        code, deadline = None, time.monotonic() + 40
        while code is None:
            assert time.monotonic() < deadline, self.text
            code = self.process.poll()
            self.text += self._read()
        return code

    def _read(self) -> str:
        try:
            ready = select.select([self._master], [], [], 0.1)[0]
            return os.read(self._master, 65536).decode(errors="replace") if ready else ""
        except OSError:  # the process has ended
            return ""

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def study(tmp_path: Path, study_config: Callable[..., StudyConfig]) -> Iterator[StoredStudy]:
    """Returns a study of at most three trials in the database of its workspace."""
    Workspace(tmp_path).studies.mkdir()
    (tmp_path / "studies" / "x.toml").write_text('spaces = ["a"]\n[data]\nname = "digits"\n[budget]\ntrials = 3\n')
    config = study_config(budget={"trials": 3})
    with closing(open_storage(parse_url(Workspace(tmp_path).database_url("x")))) as storage:
        sampler = make_sampler(ComponentConfig(name="RandomSampler"), 0)
        study = StoredStudy(storage, "x", config.objective, sampler, optuna.pruners.NopPruner())
        study.check_identity(config.model_dump(), {})
        yield study


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[[], Terminal]]:
    opened: list[Terminal] = []

    def open_() -> Terminal:
        opened.append(Terminal(tmp_path, "status", "x", "--watch"))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


def complete_trial(study: StoredStudy, value: float) -> None:
    trial = study.begin_trial()
    study.add_epoch(trial, Epoch(1, {"accuracy": 0.5, "val_accuracy": value}, None, 1.5), value)
    facts = {"space": "a", "params": 1000, "macs": 2000, "hyperparameters": {"units": 8}}
    study.finish(trial, TrialState.COMPLETE, value, facts)


@pytest.mark.slow
def test_it_follows_a_search_to_its_end_in_a_window_of_any_size(
    study: StoredStudy, watch: Callable[[], Terminal]
) -> None:
    with study.run():
        complete_trial(study, 0.8)
        terminal = watch()
        assert ENTER in terminal.wait_for("0.8000")
        complete_trial(study, 0.9)
        assert "★ 1" in terminal.wait_for("0.9000")
        terminal.resize(20, 40)
        assert "not shown in 40 columns" in terminal.wait_for("not shown in 40")
        complete_trial(study, 0.85)
    assert terminal.end() == 0
    after = terminal.text.rpartition(LEAVE)[2]
    assert "0.8500" in after
    assert "3 points in " in after


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_seen(study: StoredStudy, watch: Callable[[], Terminal]) -> None:
    with study.run():
        complete_trial(study, 0.8)
        terminal = watch()
        terminal.wait_for("0.8000")
        os.killpg(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 0
    after = terminal.text.rpartition(LEAVE)[2]
    assert "0.8000" in after
    assert "a search is running" in after
    assert "Traceback" not in terminal.text
