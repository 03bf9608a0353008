"""Where workers run."""

import os
from pathlib import Path

import pytest

from searchcnn.errors import UsageError
from searchcnn.workers.slots import make_slots

SMI = """#!/bin/sh
echo 0
echo 1
"""


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a program in the place of nvidia-smi that knows two GPUs."""
    command = tmp_path / "nvidia-smi"
    command.write_text(SMI)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes nvidia-smi away."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def names(*args: object) -> list[str]:
    return [slot.name for slot in make_slots(*args)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("gpus")
def test_gpus() -> None:
    assert names() == ["GPU 0", "GPU 1"]
    assert names("1") == ["GPU 1"]
    assert names("all", 2) == ["GPU 0", "GPU 1"] * 2
    assert names("all", 1, 3) == ["GPU 0", "GPU 1", "GPU 0"]
    assert names("all", 1, 0) == []
    (slot,) = make_slots("1", 2, 1)
    assert slot.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert slot.environment["XLA_CLIENT_MEM_FRACTION"] == "0.45"
    assert slot.environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "", "JAX refuses both names at once"
    (hidden,) = make_slots("none")
    assert hidden.environment == {"CUDA_VISIBLE_DEVICES": "-1"}
    with pytest.raises(UsageError, match="--gpus 2: no GPU 2; there are 0, 1; or use all or none"):
        make_slots("2")


@pytest.mark.usefixtures("gpus")
def test_only_visible_gpus_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert names() == ["GPU 1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert names() == ["CPU"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("none", 1, -1), "--workers -1: expected 0 or more; leave it out to have one on each GPU, or one on the CPU"),
        (("none", 0), "--slots-per-gpu 0: expected 1 or more; leave it out to have one worker on each GPU"),
    ],
)
def test_a_number_that_makes_no_sense(args: tuple[object, ...], message: str) -> None:
    with pytest.raises(UsageError) as error:
        names(*args)
    assert str(error.value) == message


@pytest.mark.usefixtures("cpu")
def test_a_machine_without_gpu() -> None:
    assert names() == ["CPU"]
    assert names("all", 4) == ["CPU"]
    assert names("all", 1, 2) == ["CPU", "CPU"]
    assert not make_slots()[0].environment
    with pytest.raises(UsageError, match="no GPU 0; there is none"):
        make_slots("0")
