"""A whole search, in worker processes or in this one."""

import threading

from searchcnn import run
from searchcnn.events import Hear, ignore
from searchcnn.files import check_writable
from searchcnn.run import Study
from searchcnn.workers.slots import slots
from searchcnn.workers.supervisor import supervise


def optimize(
    study: Study,
    hear: Hear = ignore,
    stop: threading.Event | None = None,
    *,
    workers: int | None = None,
    gpus: str = "all",
    slots_per_gpu: int = 1,
) -> None:
    """Searches until a study's budget is spent.

    Trials run in worker processes, which are replaced when they die; a trial goes on from its last epoch then.

    Args:
        study: What to search; a study that was begun before is continued.
        hear: Hears what happens, on this thread.
        stop: Set it to end the search in good order.
        workers: Number of worker processes; one for each share of a GPU, or one on the CPU, by default. 0 searches in
            this process, which is what debuggers and notebooks want.
        gpus: The GPUs to use: ``"all"``, ``"none"``, or numbers as `nvidia-smi` has them, as in ``"0,1"``.
        slots_per_gpu: Workers that share a GPU.

    Raises:
        SearchcnnError: If the study, its data, its plugins or its database cannot be used, or too many trials failed.
    """
    places = slots(gpus, slots_per_gpu, workers)
    check_writable(study.workspace.best_model(study.name).parent)
    study = run.resume(study, hear)
    if places:
        supervise(study, places, hear, stop)
    else:
        run.optimize(study, hear, stop)
