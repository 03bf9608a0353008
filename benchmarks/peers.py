"""Side by side: our search, a plain Optuna script, Keras Tuner, and one expert's training without any search.

Each tool is a process of its own and gets the same images in the same parts, and the same wall clock from the start of
its process to its saved model. Each selects on validation; the test images are read once, here. Tools run in pairs,
each on cores of its own; which ones, and in which order, alternates from seed to seed.

Run: python benchmarks/peers.py --data fashion_mnist --minutes 10 --seeds 3 --cores 1
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # of the tools, too

import numpy as np

from searchcnn.backend import own_process
from searchcnn.data.collection import resize
from searchcnn.data.preparation import Preparation
from searchcnn.sources import BUILTIN_NAMES, load_dataset
from searchcnn.study import DataConfig

TOOLS = Path(__file__).parent / "tools"
OURS, EXPERT = "searchcnn", "expert"
NAMES = (OURS, "optuna", "keras_tuner", EXPERT)
AUTOKERAS = "autokeras"
"""Compared where it is asked for: it is no dependency, and must be installed by hand."""
COLOURS = {
    OURS: "tab:blue",
    "optuna": "tab:orange",
    "keras_tuner": "tab:green",
    EXPERT: "tab:red",
    AUTOKERAS: "tab:purple",
}
PACKAGES = ("searchcnn", "keras", "tensorflow", "optuna", "keras-tuner")
GRACE = 3.0
"""Times its minutes after which a tool is killed, which counts as a failure."""


@dataclass
class Run:
    """One run of a tool.

    Attributes:
        tool: Its name.
        seed: Its seed.
        seconds: From the start of its process to its end.
        validation: Accuracy of what it selected.
        test: Accuracy of that on the test images; None if it failed.
        record: What it says of itself: the improvements, each as seconds and accuracy, and the number of trials.
    """

    tool: str
    seed: int
    seconds: float
    validation: float | None = None
    test: float | None = None
    record: dict[str, object] = field(default_factory=dict)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist", help="a built-in dataset, or a path")
    parser.add_argument("--size", type=int, help="height and width that images of a path are brought to")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cores", type=int, default=1, help="of each tool")
    parser.add_argument("--tools", nargs="+", choices=COLOURS, default=NAMES)
    parser.add_argument("--like", help="study whose settings ours takes; that of the dataset by default")
    parser.add_argument("--weights", help="pretrained weights for ours")
    parser.add_argument("--out", type=Path, default=Path("benchmark.json"), help="where the results go")
    return parser.parse_args()


def write_images(arguments: argparse.Namespace, file: Path) -> None:
    """Writes the images of all tools: uint8, in parts train, validation and test."""
    is_name = arguments.data in BUILTIN_NAMES
    config = {"name": arguments.data} if is_name else {"path": arguments.data}
    if arguments.size:
        config["image_size"] = arguments.size
    dataset = load_dataset(DataConfig.model_validate(config), seed=0)
    arrays = {}
    for part in ("train", "validation", "test"):
        split = getattr(dataset, part)
        arrays |= {f"x_{part}": np.asarray(split.images), f"y_{part}": np.asarray(split.labels)}
    np.savez(file, **arrays)


def pair_tools(tools: Sequence[str], seed: int, together: int) -> Iterator[list[str]]:
    """Yields the tools that run at the same time, in an order that alternates with the seed."""
    order = list(tools)[::-1] if seed % 2 else list(tools)
    yield from (order[start : start + together] for start in range(0, len(order), together))


def start_tool(
    tool: str, images: Path, seed: int, cores: Sequence[int], folder: Path, arguments: argparse.Namespace
) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    script = TOOLS / f"{tool}_script.py"
    command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, str(script), str(images)]
    like = arguments.like or (arguments.data if arguments.data in BUILTIN_NAMES else None)
    settings = {"LIKE": like, "WEIGHTS": arguments.weights}
    environment = {**os.environ, **{key: value for key, value in settings.items() if value}}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*command, str(60 * arguments.minutes), str(seed), str(folder)],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )


def score_run(run: Run, folder: Path, images: Path) -> None:
    """Reads the test images, once, for what a tool has saved."""
    import keras

    record, model = folder / "record.json", folder / "model.keras"
    if not (record.exists() and model.exists()):
        print(f"{run.tool} failed:", *(folder / "log").read_text().splitlines()[-5:], sep="\n  ")
        return
    run.record = json.loads(record.read_text())
    network = keras.models.load_model(model)
    with np.load(images) as arrays:
        for part, name in (("validation", "validation"), ("test", "test")):
            # a search may have brought them to another size
            pixels = resize(arrays[f"x_{part}"], Preparation(*network.input_shape[1:]))
            labels = network.predict(pixels, batch_size=500, verbose=0).argmax(1)
            setattr(run, name, float((labels == arrays[f"y_{part}"]).mean()))


def run_tools(arguments: argparse.Namespace, folder: Path) -> Iterator[Run]:
    images = folder / "images.npz"
    write_images(arguments, images)
    together = max(1, (os.cpu_count() or 1) // arguments.cores)
    for seed in range(arguments.seeds):
        for tools in pair_tools(arguments.tools, seed, together):
            began, processes = time.time(), []
            for place, tool in enumerate(tools):
                cores = range(place * arguments.cores, (place + 1) * arguments.cores)
                processes.append(start_tool(tool, images, seed, cores, folder / f"{tool}_{seed}", arguments))
            # All are waited for before any is scored: scoring needs cores too.
            seconds = wait_for_all(processes, began, GRACE * 60 * arguments.minutes)
            for tool, process in zip(tools, processes, strict=True):
                run = Run(tool, seed, round(seconds[process.pid], 1))
                score_run(run, folder / f"{tool}_{seed}", images)
                yield run


def wait_for_all(processes: Sequence[subprocess.Popen[bytes]], began: float, limit: float) -> dict[int, float]:
    """Returns the seconds that each process took, by its number."""
    seconds: dict[int, float] = {}
    while len(seconds) < len(processes):
        for process in processes:
            if process.pid not in seconds and process.poll() is not None:
                seconds[process.pid] = time.time() - began
            elif process.poll() is None and time.time() - began > limit:
                process.kill()
        time.sleep(0.2)
    return seconds


def make_table(runs: Sequence[Run]) -> str:
    """Returns the results as a table of Markdown: the median of the seeds, and the least and the most."""
    lines = ["| tool | test | validation | seconds | trials |", "| --- | --- | --- | --- | --- |"]
    for tool in dict.fromkeys(run.tool for run in runs):
        own = [run for run in runs if run.tool == tool]
        done = [run for run in own if run.test is not None]
        failures = f", {len(own) - len(done)} failed" if len(done) < len(own) else ""
        columns = [[getattr(run, name) for run in done] for name in ("test", "validation", "seconds")]
        trials = ", ".join(str(run.record.get("trials")) for run in done)
        test, validation, seconds = (
            describe(values, digits) for values, digits in zip(columns, (4, 4, 0), strict=True)
        )
        lines.append(f"| {tool}{failures} | {test} | {validation} | {seconds} | {trials} |")
    return "\n".join(lines)


def describe(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    spread = f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.{digits}f}{spread}"


def compare(runs: Sequence[Run]) -> Iterator[str]:
    """Yields the ratios of our test error to the best peer's and to the expert's, each the median of the seeds."""
    for title, tools in (("the best peer's", set(COLOURS) - {OURS, EXPERT}), ("the expert's", {EXPERT})):
        ratios = []
        for seed in sorted({run.seed for run in runs}):
            tests = {run.tool: run.test for run in runs if run.seed == seed and run.test is not None}
            others = [tests[tool] for tool in tools if tool in tests]
            if OURS in tests and others:
                ratios.append((1 - tests[OURS]) / (1 - max(others)))
        if ratios:
            yield f"our test error / {title}: {describe(ratios, 3)}"


def draw(runs: Sequence[Run], file: Path) -> None:
    """Draws the validation error of the best network so far over the minutes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for run in (run for run in runs if run.record):
        points = run.record["improvements"]
        minutes = [seconds / 60 for seconds, _ in points] + [run.seconds / 60]
        errors = [100 * (1 - score) for _, score in points]
        label = run.tool if run.seed == 0 else None
        axes.step(minutes, [*errors, errors[-1]], where="post", color=COLOURS[run.tool], label=label)
        axes.plot(minutes[-1], errors[-1], "o", color=COLOURS[run.tool])
    axes.set(xlabel="minutes since the process began", ylabel="validation error of the best so far, %", yscale="log")
    for axis_format in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis_format("{x:g}")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)


def describe_machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    )


def main() -> None:
    arguments = parse_arguments()
    own_process()
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        for run in run_tools(arguments, Path(folder)):
            runs.append(run)
            print(
                f"{run.tool}, seed {run.seed}: test {run.test}, validation {run.validation}, {run.seconds:.0f} s",
                flush=True,
            )
    command = " ".join(["python benchmarks/peers.py", *(argument.rpartition("/")[2] for argument in sys.argv[1:])])
    content = {"command": command, "machine": describe_machine(), "runs": [asdict(run) for run in runs]}
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    print(make_table(runs), *compare(runs), describe_machine(), sep="\n")
    draw(runs, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
