"""Where workers run: each on its share of a GPU, or on the CPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from searchcnn.backend import find_gpus
from searchcnn.errors import UsageError

HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}
"""The environment of a process that sees no GPU."""


@dataclass(frozen=True)
class Slot:
    """A place for one worker.

    Attributes:
        name: For people: ``"GPU 0"``, ``"CPU"``.
        environment: What its process finds in its environment before it imports a framework.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)


def make_slots(gpus: str = "all", per_gpu: int = 1, workers: int | None = None) -> list[Slot]:
    """Returns a slot for each worker.

    Args:
        gpus: ``"all"``, ``"none"``, or numbers or identifiers as `nvidia-smi` has them: ``"0,1"``.
        per_gpu: Workers that share a GPU.
        workers: Number of workers; one for each share of a GPU, or one on the CPU, where it is None.

    Raises:
        UsageError: If a GPU is named that is not there, or a number makes no sense.
    """
    if workers is not None and not (isinstance(workers, int) and workers >= 0):
        raise UsageError(
            f"--workers {workers}: expected 0 or more; leave it out to have one on each GPU, or one on the CPU"
        )
    if per_gpu < 1:
        raise UsageError(f"--slots-per-gpu {per_gpu}: expected 1 or more; leave it out to have one worker on each GPU")
    selection = _choose_gpus(gpus)
    slots = [_make_gpu_slot(gpu, per_gpu) for _ in range(per_gpu) for gpu in selection]
    slots = slots or [Slot("CPU", HIDDEN if gpus == "none" else {})]
    count = len(slots) if workers is None else workers
    return [slots[index % len(slots)] for index in range(count)]


def _make_gpu_slot(gpu: str, per_gpu: int) -> Slot:
    """Returns a slot on a GPU whose memory a framework takes as it needs it, and JAX at most its share."""
    share = f"{0.9 / per_gpu:.2f}"
    environment = {
        "CUDA_VISIBLE_DEVICES": gpu,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_CLIENT_MEM_FRACTION": share,
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "",  # the older name: JAX refuses both, and the user may have set either
    }
    return Slot(f"GPU {gpu}", environment)


def _choose_gpus(gpus: str) -> Sequence[str]:
    if gpus == "none":
        return ()
    all_gpus = find_gpus()
    if gpus == "all":
        return all_gpus
    names = [gpu.strip() for gpu in gpus.split(",") if gpu.strip()]
    missing = [gpu for gpu in names if gpu not in all_gpus]
    if missing or not names:
        there = f"there are {', '.join(all_gpus)}" if all_gpus else "there is none"
        raise UsageError(f"--gpus {gpus}: no GPU {missing[0] if missing else 'named'}; {there}; or use all or none")
    return names
