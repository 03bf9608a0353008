"""On a machine with a GPU, with JAX: epochs by Keras' loop and scanned; our search with 1, 2 and 4 slots; Keras Tuner.

It needs neither the internet nor TensorFlow. The images are files that others have written, such as those of
`benchmarks/images.py`: arrays ``x_train``, ``y_train``, ``x_validation`` and ``y_validation``, uint8, in
``DIR/fashion_mnist.npz`` and ``DIR/cifar10.npz``; what is missing is left out. Each step is a process with a time limit
of its own. Results are printed as they come, as JSON, and at the end as tables; what there is no time for is left out.

Run: python benchmarks/accelerator.py --images DIR --minutes 1.5 --total 14
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

DATA = ("fashion_mnist", "cifar10")
TUNER = Path(__file__).parent / "tools" / "keras_tuner_script.py"
BATCHES = (64, 256)
LOOPS = ("scanned", "Keras", "stepped")
"""The loop over batches: on the device; Keras'; or ours from step to step, with the images on the device."""
EPOCHS = 4
"""Epochs of each fit: in the first one the graph is compiled, the last one is validated, the others are measured."""
EPOCH_SECONDS = 130.0
"""Time limit of the epochs of one dataset."""
SLOTS = (1, 2, 4)
GRACE = 45.0
"""Seconds that a search may take besides its time, for a process that starts and one that is late."""
SHOWN = 12
"""Lines that are shown of a step that fails."""
MARK = "RESULT "
"""What a line begins with that a step has a result in."""
EPOCH_COLUMNS = ("data", "network", "batch", "loop", "seconds_per_epoch", "first_epoch", "validation_accuracy")
SEARCH_COLUMNS = ("data", "tool", "slots", "seconds", "trials_per_hour", "epochs_per_hour", "validation_accuracy")


@dataclass
class Step:
    """One process.

    Attributes:
        kind: What it does: "epochs", "search" or "tuner".
        data: Name of its images.
        slots: Workers on the GPU.
        results: What it has printed.
    """

    kind: str
    data: str
    slots: int = 1
    results: list[dict[str, Any]] = field(default_factory=list)


def main() -> None:
    arguments = parse_arguments()
    if arguments.step:
        run_step(arguments)
        return
    began, steps = time.monotonic(), list(plan(arguments))
    print(f"# {describe_machine()}", flush=True)
    for step in steps:
        limit = EPOCH_SECONDS if step.kind == "epochs" else 60 * arguments.minutes + GRACE
        left = 60 * arguments.total - (time.monotonic() - began)
        if left < (30 if step.kind == "epochs" else 60 * arguments.minutes + 10):
            print(f"# no time for {step.kind} of {step.data}, {step.slots} slots", flush=True)
            continue
        run_process(step, arguments, min(limit, left))
    results = [result for step in steps for result in step.results]
    for columns in (EPOCH_COLUMNS, SEARCH_COLUMNS):
        rows = [result for result in results if columns[3] in result]
        print("\n".join(make_table(columns, rows)), end="\n\n")
    print(json.dumps({"steps": [asdict(step) for step in steps], "seconds": round(time.monotonic() - began)}))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of fashion_mnist.npz and cifar10.npz")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each search")
    parser.add_argument("--total", type=float, default=8.0, help="minutes after which nothing more is begun")
    parser.add_argument("--kinds", nargs="+", default=("epochs", "search", "tuner"), help="what to measure")
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--slots", nargs="+", type=int, default=SLOTS, help="workers on the GPU")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def plan(arguments: argparse.Namespace) -> Iterator[Step]:
    """Yields the steps, the most telling ones first."""
    data = [name for name in arguments.data if (arguments.images / f"{name}.npz").exists()]
    first, others = data[:1], data[1:]
    steps = [Step("epochs", name) for name in data]
    steps += [Step("search", name, slots) for name in first for slots in arguments.slots]
    steps += [Step("tuner", name) for name in first]
    steps += [step for name in others for step in (Step("search", name, max(arguments.slots)), Step("tuner", name))]
    yield from (step for step in steps if step.kind in arguments.kinds)


def run_process(step: Step, arguments: argparse.Namespace, limit: float) -> None:
    """Runs a step in a process of its own, and prints its results as they come."""
    print(f"# {step.kind}, {step.data}, {step.slots} slots, at most {limit:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--images", str(arguments.images.resolve())]
        command += ["--minutes", str(arguments.minutes), "--slots", str(step.slots), "--step", step.kind, step.data]
        # nothing is compiled yet: a cache of its own
        environment = {"KERAS_BACKEND": "jax", "XDG_CACHE_HOME": folder, "PYTHONUNBUFFERED": "1"}
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        root = Path(__file__).resolve().parent.parent
        write_metadata(root, Path(folder))
        environment["PYTHONPATH"] = os.pathsep.join([str(root), folder, os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            start_new_session=True,  # a search has workers
        )
        with end_after(process, limit):
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                if line.startswith(MARK):
                    step.results.append(json.loads(line.removeprefix(MARK)))
                    print(json.dumps(step.results[-1]), flush=True)
                lines.append(line)
        if process.wait():
            logs = [log.read_text(errors="replace") for log in Path(folder).glob("studies/*/workers.log")]
            tail = "".join([*logs, *lines]).splitlines()[-SHOWN:]
            print(f"# ended with {process.returncode}:", *tail, sep="\n#   ", flush=True)


def write_metadata(root: Path, folder: Path) -> None:
    """Writes what Python knows of an installed package, which model cards name the version of."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    metadata = folder / f"{project['name']}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project.get('version', '0')}\n")


@contextlib.contextmanager
def end_after(process: subprocess.Popen[str], limit: float) -> Iterator[None]:
    """Ends a process and all that it has started when its time is over."""
    import threading

    timer = threading.Timer(limit, lambda: os.killpg(process.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def run_step(arguments: argparse.Namespace) -> None:
    """Does what a step is for, in its process."""
    kind, data = arguments.step
    images = arguments.images / f"{data}.npz"
    steps: Mapping[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "epochs": lambda: measure_epochs(images),
        "search": lambda: search(images, arguments.minutes, arguments.slots[0]),
        "tuner": lambda: tune(images, arguments.minutes),
    }
    for result in steps[kind]():
        print(MARK + json.dumps({"data": data, **result}), flush=True)


def measure_epochs(images: Path) -> Iterator[dict[str, Any]]:
    """Yields the seconds of an epoch of two networks, by Keras' loop and scanned."""
    from searchcnn.backend import start_keras

    start_keras()
    from searchcnn.search.hyperparameters import CheckedHyperParameters
    from searchcnn.spaces import load_spaces
    from searchcnn.study import Workspace

    train, validation = (read_split(images, part) for part in ("train", "validation"))
    shape, classes = train.images.shape[1:], int(train.labels.max()) + 1
    loaded = load_spaces(["sequential", "residual"], Workspace(Path.cwd()))
    spaces = {space.name: space.create(shape, classes) for space in loaded}
    points = {"fashion_convnet": ("sequential", spaces["sequential"].baselines()["fashion_convnet"])}
    points["residual"] = "residual", {}
    for batch in BATCHES:
        for network, (name, values) in points.items():
            for loop in LOOPS if batch == BATCHES[0] else LOOPS[:2]:
                hp = CheckedHyperParameters(values)
                result = measure_fit(spaces[name], hp, (train, validation), batch, loop)
                yield {"network": network, "batch": batch, "loop": loop, **result}


def measure_fit(space: Any, hp: Any, splits: tuple[Any, Any], batch: int, loop: str) -> dict[str, Any]:
    """Returns the seconds of an epoch of a network, as a study of fashion_mnist trains it."""
    import keras

    from searchcnn.augmentation import Augmentation
    from searchcnn.backend import clear_keras
    from searchcnn.study import Recipe
    from searchcnn.training import compiled, fit
    from searchcnn.training.candidate import Candidate, count_parts

    train, validation = splits
    clear_keras()
    keras.utils.set_random_seed(0)
    changes = Augmentation(flip=True, shift=0.1)
    recipe = Recipe(EPOCHS, EPOCHS, batch, "adamw", 0.0, 0.005, "one_cycle", 0.02, label_smoothing=0.05)
    parts = count_parts(len(train), space.input_shape)
    candidate = Candidate(space, hp, space.build(hp), recipe, parts=parts).divide((EPOCHS,), parts)
    clock = make_clock()
    stretch = fit.Stretch(train, validation, seed=0, callbacks=[clock])
    with mock.patch.object(compiled, "is_looped", lambda: loop == "scanned"), contextlib.ExitStack() as stack:
        if loop == "Keras":
            stack.enter_context(mock.patch.object(fit, "can_scan", lambda candidate, stretch: False))
        history = fit.fit_phase(replace_augmentation(candidate, changes), stretch)
    seconds = [end - start for start, end in zip(clock.begun, clock.begun[1:], strict=False)]
    return {
        "seconds_per_epoch": round(statistics.fmean(seconds[1:]), 4),
        "first_epoch": round(seconds[0], 2),
        "images_per_epoch": len(train) // parts,
        "validation_accuracy": round(history.history["val_accuracy"][-1], 4),
    }


def replace_augmentation(candidate: Any, augmentation: Any) -> Any:
    from dataclasses import replace

    return replace(candidate, recipe=replace(candidate.recipe, augmentation=augmentation))


def make_clock() -> Any:
    """Returns a callback that notes when epochs begin."""
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.begun: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.begun.append(time.monotonic())

    return Clock()


def read_split(images: Path, part: str) -> Any:
    import numpy as np

    from searchcnn.data import Split

    with np.load(images) as arrays:
        return Split(arrays[f"x_{part}"], arrays[f"y_{part}"].astype(np.int64))


def search(images: Path, minutes: float, slots: int) -> Iterator[dict[str, Any]]:
    """Yields what our search reaches."""
    import searchcnn
    from searchcnn.backend import find_gpus
    from searchcnn.events import EpochFinished, Event

    began, scores = time.monotonic(), [0.0]
    first: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, EpochFinished):
            scores.append(event.best)
            first[:] = first or [time.monotonic() - began]

    study = searchcnn.Study("benchmark", data=images, like="fashion_mnist", workspace=Path.cwd())
    workers = None if find_gpus() else slots
    study.optimize(timeout=60 * minutes, workers=workers, slots_per_gpu=slots, show=False, hear=hear)
    seconds = time.monotonic() - began
    trials = [trial for trial in study.trials if trial.epochs]
    epochs = sum(trial.epochs for trial in trials)
    best = max(scores)
    yield {
        "tool": "searchcnn",
        "slots": slots,
        "seconds": round(seconds),
        "first_score": round(first[0], 1) if first else None,
        "trials_per_hour": round(3600 * len(trials) / seconds),
        "epochs_per_hour": round(3600 * epochs / seconds),
        "validation_accuracy": round(best, 4),
    }


def tune(images: Path, minutes: float) -> Iterator[dict[str, Any]]:
    """Yields what Keras Tuner's Hyperband reaches."""
    began, folder = time.monotonic(), Path.cwd() / "tuner"
    folder.mkdir()
    command = [sys.executable, str(TUNER), str(images), str(60 * minutes), "0", str(folder)]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    seconds, record = time.monotonic() - began, json.loads((folder / "record.json").read_text())
    yield {
        "tool": "keras_tuner",
        "slots": 1,
        "seconds": round(seconds),
        "first_score": record["improvements"][0][0],
        "trials_per_hour": round(3600 * record["trials"] / seconds),
        "epochs_per_hour": None,
        "validation_accuracy": round(record["improvements"][-1][1], 4),
    }


def make_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields the lines of a table in Markdown."""
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    for row in rows:
        yield f"| {' | '.join(str(row.get(column, '')) for column in columns)} |"


def describe_machine() -> str:
    """Returns the GPU and the versions."""
    from importlib.metadata import version

    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    gpu = "no GPU"
    with contextlib.suppress(OSError):
        gpu = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or gpu
    return f"{gpu}, {os.cpu_count()} CPUs, JAX {version('jax')}, Keras {version('keras')}"


if __name__ == "__main__":
    main()
