"""Records networks of the built-in spaces on several data sets, and chooses those that a search should try first.

``record`` trains each candidate, a space's default, its baselines and points drawn around its default, on some images
of each data set: a pass, and three more, each a complete cycle of the learning rate. It writes a file for each data set
after each network; the same command goes on where it was. Test images are not read.

``choose`` chooses greedily: the next point is the one that lowers most what is lost by the best point so far, in the
logarithm of the error, on average over data sets and over times. What is lost on a data set by points that were chosen
without it stands beside it: that is what a search on images that nobody has seen loses.

Run: taskset -c 1 python benchmarks/known_points.py record --data fashion_mnist.npz cifar10.npz flowers.npz:64
     python benchmarks/known_points.py choose --count 10
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import pprint
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from searchcnn.files import replace_file
from searchcnn.search.scheduler import Scheduler, Standing
from searchcnn.study import Objective

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

POINTS = Path(__file__).parent / "points"
CANDIDATES = "candidates.json"
SPACES = ("residual", "sequential", "inception")
SHAPE, CLASSES = (32, 32, 3), 10
"""Images for which candidates are drawn."""
DRAWN = 24
"""Candidates of each space that are drawn."""
SIZES = (1e6, 3.4e6, 11.7e6, 40e6)
"""Multiply-accumulates of an image: as many candidates are drawn between each two."""
KEPT = 0.5
"""Probability with which a drawn point has the default of a hyperparameter."""

IMAGES, VALIDATED = 5000, 2500
"""Images to train on and to validate on, at most; the latter are a quarter of all at most."""
STRETCHES = (1, 3)
"""Passes over the images in each complete cycle of the learning rate, as a plan trains networks."""
PASSES = tuple(itertools.accumulate(STRETCHES))
"""Passes after which a cycle ends."""
LEARNING_RATE = 0.016
"""The middle of what is searched by default."""
UNMIRRORED = ("mnist", "digits")
"""Data sets whose images are not mirrored; the archives do not have the names of their classes."""

OBJECTIVE = Objective("val_accuracy", "maximize")
FLOOR = 0.001
"""Least error that is believed: a few hundred images tell no more."""
TIMES = {"short": 2e-6, "middle": 1e-5, "long": 5e-5}
"""Seconds of training for each pixel of each image. The last share of 10 minutes is 8e-6 of Fashion-MNIST's 54,000
images, and 3e-5 of 2,640 photos of 72x72 pixels."""


@dataclass(frozen=True)
class Candidate:
    """A point of a search space that may become a known one.

    Attributes:
        space: The search space.
        name: Its name there.
        values: Its hyperparameters that are not the default.
    """

    space: str
    name: str
    values: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others, whatever its name."""
        return self.space, json.dumps(self.values, sort_keys=True)


class Record(NamedTuple):
    """What was recorded of a candidate on a data set.

    Attributes:
        candidate: The candidate.
        accuracy: On validation images, at the end of each cycle.
        seconds: CPU seconds of a pass over the training images.
        macs: Multiply-accumulates of an image.
    """

    candidate: Candidate
    accuracy: tuple[float, ...]
    seconds: float
    macs: int


# Recording


def list_candidates(folder: Path) -> Iterator[Candidate]:
    """Yields the candidates: first the default and the baselines of each space, then those that are drawn, in turns."""
    from searchcnn.spaces import load_spaces
    from searchcnn.study import Workspace

    spaces = {loaded.name: (loaded, loaded.create(SHAPE, CLASSES)) for loaded in load_spaces(SPACES, Workspace(folder))}
    for name, (loaded, space) in spaces.items():
        for point, values in {"default": {}, **loaded.baselines(space)}.items():
            yield Candidate(name, point, values)
    path = folder / CANDIDATES
    if not path.exists():
        drawn = {name: draw_points(space, DRAWN) for name, (_, space) in spaces.items()}
        write(path, json.dumps(drawn, indent=1) + "\n")
    for turn, points in enumerate(zip(*json.loads(path.read_text()).values(), strict=True)):
        for name, values in zip(spaces, points, strict=True):
            yield Candidate(name, f"drawn {turn}", values)


def draw_points(space: Any, count: int) -> list[dict[str, Any]]:
    """Returns points around the default of a search space, of each size in `SIZES` as many: what is not the default."""
    random, points = np.random.default_rng(0), []
    wanted = [count // (len(SIZES) - 1)] * (len(SIZES) - 1)
    while any(wanted):
        values, macs = draw_point(space, random)
        size = int(np.searchsorted(SIZES, macs)) - 1
        if 0 <= size < len(wanted) and wanted[size] and values not in points:
            wanted[size] -= 1
            points.append(values)
    return points


def draw_point(space: Any, random: np.random.Generator) -> tuple[dict[str, Any], int]:
    """Draws a point around the default; returns what is not the default, and the multiply-accumulates of an image."""
    import keras

    from searchcnn.search.hyperparameters import CheckedHyperParameters, Parameter
    from searchcnn.training.cost import measure_cost
    from searchcnn.training.network import cut_heads

    drawn: dict[str, Any] = {}

    class Drawn(CheckedHyperParameters):
        def choose(self, parameter: Parameter) -> Any:
            value = parameter.default if random.random() < KEPT else parameter.compute_value(random.random())
            if value != parameter.default:
                drawn[parameter.title] = value
            return value

    hp = Drawn()
    keras.utils.clear_session()
    with keras.StatelessScope(initialize_variables=False):
        model = space.build(hp)
        if len(model.outputs) > 1:
            space.auxiliary_weight(hp)
        return {name: value for name, value in drawn.items() if name in hp.active}, measure_cost(cut_heads(model)).macs


def write(path: Path, text: str) -> None:
    """Writes a file in one step."""
    with replace_file(path) as new:
        new.write_text(text)


def take_images(path: Path, size: int | None, images: int) -> dict[str, npt.NDArray[Any]]:
    """Returns some images of an archive to train on, and others to validate on, brought to a size if one is given."""
    archive = np.load(path)
    parts = [part for part in ("train", "validation") if f"x_{part}" in archive]
    pixels, labels = (np.concatenate([archive[f"{axis}_{part}"] for part in parts]) for axis in "xy")
    order = np.random.default_rng(7).permutation(len(labels))
    validated = min(VALIDATED, len(labels) // 4)
    drawn = order[: validated + images]
    pixels, labels = pixels[drawn], labels[drawn]
    if size:
        pixels = resize(pixels, size)
    return {
        "x_train": pixels[validated:],
        "y_train": labels[validated:],
        "x_validation": pixels[:validated],
        "y_validation": labels[:validated],
        "x_test": pixels[:validated],  # a dataset must have some; nobody reads them
        "y_test": labels[:validated],
    }


def resize(pixels: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Returns images of shape (samples, height, width, channels) as squares of so many pixels a side."""
    from keras import ops

    parts = [ops.image.resize(part, (size, size), antialias=True) for part in np.array_split(pixels, len(pixels) // 64)]
    whole = np.concatenate([np.asarray(ops.convert_to_numpy(part)) for part in parts])
    resized: npt.NDArray[np.uint8] = np.clip(whole.round(), 0, 255).astype(np.uint8)
    return resized


def load_images(arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Returns a dataset of images in arrays."""
    from searchcnn.sources import load_dataset
    from searchcnn.study import DataConfig

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return load_dataset(DataConfig.model_validate({"path": str(path), "group_near_copies": False}), seed=0)


def make_trainer(dataset: Any, is_mirrored: bool) -> Any:
    """Returns what makes networks of all spaces for a dataset, with the default recipe."""
    from searchcnn.spaces import load_spaces
    from searchcnn.spaces.creation import create_spaces
    from searchcnn.study import Workspace, validate
    from searchcnn.training.trainer import Trainer

    table = {"spaces": list(SPACES), "data": {"name": "digits"}, "budget": {"trials": 1}}
    training = {"learning_rate": LEARNING_RATE, "epochs": PASSES[-1], "flip": is_mirrored}
    config = validate({**table, "training": training}, "known_points")
    spaces = create_spaces(load_spaces(config.spaces, Workspace(Path.cwd())), config, dataset)
    return Trainer(config, dataset, spaces)


def train(trainer: Any, candidate: Candidate, seed: int = 0) -> dict[str, Any]:
    """Trains a candidate; returns what is recorded of it."""
    import keras

    from searchcnn.backend import clear_keras, free_graphs
    from searchcnn.search.hyperparameters import CheckedHyperParameters
    from searchcnn.training.callbacks import BatchStatistics, PlainMetrics
    from searchcnn.training.fit import Stretch, fit_phase

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.begins: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.begins.append(time.process_time())

    clear_keras()
    keras.utils.set_random_seed(seed)
    clock, dataset = Clock(), trainer.inputs.dataset
    values = trainer.space.members[candidate.space].name_values(candidate.values)
    with free_graphs():
        network = trainer.sample(CheckedHyperParameters(values)).divide(STRETCHES, parts=1)
        normalization = trainer.inputs.make_normalization(network.recipe.normalization)
        callbacks = [PlainMetrics(), BatchStatistics(), clock]
        stretch = Stretch(dataset.train, dataset.validation, seed, callbacks, normalization=normalization)
        ends = [fit_phase(network.during(phase, PASSES[-1]), stretch).history for phase in network.phases()]
    return {
        "space": candidate.space,
        "name": candidate.name,
        "values": candidate.values,
        "params": network.cost.params,
        "macs": network.cost.macs,
        "accuracy": [round(end["val_accuracy"][-1], 4) for end in ends],
        "loss": [round(end["val_loss"][-1], 4) for end in ends],
        "seconds": round((clock.begins[-1] - clock.begins[1]) / (len(clock.begins) - 2), 3),
    }


@dataclass(frozen=True)
class Recorder:
    """Trains candidates on a data set, and writes what is recorded of each.

    Attributes:
        path: Its file.
        trainer: Makes the networks.
    """

    path: Path
    trainer: Any

    @cached_property
    def content(self) -> dict[str, Any]:
        """What was recorded so far."""
        if self.path.exists():
            return dict(json.loads(self.path.read_text()))
        dataset = self.trainer.inputs.dataset
        images = {"train": len(dataset.train), "validation": len(dataset.validation)}
        return {
            "shape": dataset.input_shape,
            "classes": dataset.num_classes,
            "images": images,
            "passes": PASSES,
            "points": [],
        }

    def record(self, candidate: Candidate) -> None:
        """Trains a candidate, unless it was trained already."""
        points = self.content["points"]
        if candidate.key in [Candidate(point["space"], "", point["values"]).key for point in points]:
            return
        points.append(train(self.trainer, candidate))
        print(self.path.stem, {key: value for key, value in points[-1].items() if key != "values"}, flush=True)
        head = json.dumps({key: value for key, value in self.content.items() if key != "points"})[:-1]
        lines = ",\n".join(json.dumps(point) for point in points)
        write(self.path, f'{head}, "points": [\n{lines}\n]}}\n')


def record(arguments: argparse.Namespace) -> None:
    from searchcnn.backend import start_keras

    start_keras()
    recorders = []
    for spec in arguments.data:
        path, _, size = spec.partition(":")
        name = Path(path).stem
        dataset = load_images(take_images(Path(path), int(size) if size else None, arguments.images))
        trainer = make_trainer(dataset, is_mirrored=name not in UNMIRRORED)
        recorders.append(Recorder(arguments.folder / f"{name}.json", trainer))
    for candidate in list_candidates(arguments.folder):
        for recorder in recorders:
            recorder.record(candidate)


# Choosing


@dataclass(frozen=True)
class Curves:
    """What is known of candidates on one data set.

    Attributes:
        name: Of the data set.
        shape: Of an image: (height, width, channels).
        images: That were trained on.
        classes: Their number.
        records: What was recorded, by the candidate's key.
    """

    name: str
    shape: tuple[int, int, int]
    images: int
    classes: int
    records: Mapping[tuple[str, str], Record]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file that `Recorder` has written."""
        content = json.loads(path.read_text())
        records = [
            Record(
                Candidate(point["space"], point["name"], point["values"]),
                tuple(point["accuracy"]),
                point["seconds"],
                point["macs"],
            )
            for point in content["points"]
        ]
        by_key = {record.candidate.key: record for record in records}
        return cls(path.stem, tuple(content["shape"]), content["images"]["train"], content["classes"], by_key)

    @cached_property
    def plan(self) -> Scheduler:
        """What a search expects of networks, with the decay of those that were recorded."""
        plan = Scheduler(OBJECTIVE, math.inf, pixels=self.pixels, images=self.images)
        return plan.fit([stand(record) for record in self.records.values()])

    @property
    def pixels(self) -> int:
        """Of an image."""
        return math.prod(self.shape[:2])

    def find_error(self, key: tuple[str, str], time: float) -> float:
        """Returns the error of a candidate after some seconds of training for each pixel of each image.

        Between the cycles it falls with a power of the passes; after them as the plan of a search expects it to fall.
        Before the first pass has ended nothing is known.
        """
        record = self.records[key]
        passes = time * self.pixels * self.images / record.seconds
        first, last = (1 - min(accuracy, 1 - FLOOR) for accuracy in record.accuracy)
        if passes < PASSES[0]:
            return 1 - 1 / self.classes
        if passes < PASSES[1]:
            return first * math.pow(last / first, math.log(passes / PASSES[0]) / math.log(PASSES[1] / PASSES[0]))
        return self.plan.expect(stand(record), (passes - PASSES[1]) * record.seconds)


def stand(record: Record) -> Standing:
    """Returns a candidate as a search knows it after the cycles."""
    accuracy = tuple(min(accuracy, 1 - FLOOR) for accuracy in record.accuracy)
    return Standing(0, STRETCHES, accuracy, record.seconds, record.macs)


Losses = npt.NDArray[np.float64]
"""Logarithms of errors beside the least one, of shape (candidates, data sets, times)."""


def measure_losses(curves: Sequence[Curves], keys: Sequence[tuple[str, str]]) -> Losses:
    """Returns what is lost by each candidate beside the best one of all, on each data set, in each time."""
    errors = [[[each.find_error(key, time) for time in TIMES.values()] for each in curves] for key in keys]
    logs: Losses = np.log(errors)
    lost: Losses = logs - logs.min(axis=0)
    return lost


def choose(losses: Losses, count: int) -> list[int]:
    """Returns the indices of candidates, chosen greedily: each lowers most what is lost by the best one so far."""
    best, chosen = np.full(losses.shape[1:], np.inf), []
    for _ in range(min(count, len(losses))):
        means = [np.inf if i in chosen else np.minimum(best, loss).mean() for i, loss in enumerate(losses)]
        chosen.append(int(np.argmin(means)))
        best = np.minimum(best, losses[chosen[-1]])
    return chosen


def lose(losses: Losses, chosen: Sequence[int]) -> Losses:
    """Returns what is lost by the best of the points chosen, of shape (data sets, times)."""
    least: Losses = losses[list(chosen)].min(axis=0)
    return least


def list_common(curves: Sequence[Curves], space: str | None = None) -> list[tuple[str, str]]:
    """Returns the candidates that were recorded on all data sets, in the order of the first one's records."""
    first, *others = curves
    keys = [key for key in first.records if space in (None, key[0])]
    return [key for key in keys if all(key in other.records for other in others)]


def show_choice(curves: Sequence[Curves], space: str | None, count: int, without: str | None) -> None:
    """Prints the points chosen, as Python, and what is lost by the first few of them, on each data set."""
    keys = list_common(curves, space)
    losses = measure_losses(curves, keys)
    is_used = np.array([each.name != without for each in curves])
    chosen = choose(losses[:, is_used], count)
    candidates = [curves[0].records[keys[index]].candidate for index in chosen]
    print(f"\n## {space or 'all spaces'}: {len(chosen)} of {len(keys)} candidates\n")
    print(f"without {without}\n" if without else "", end="")
    rows = {candidate.name if space else f"{candidate.space} {candidate.name}": candidate for candidate in candidates}
    pprint.pp({name: dict(candidate.values) for name, candidate in rows.items()}, width=120)
    print("\nLost in error by the best of the first k, mean of times; in brackets, chosen without the data set:\n")
    print("| k | " + " | ".join(each.name for each in curves) + " | mean |")
    print("| --- " * (len(curves) + 2) + "|")
    left_out = [choose(np.delete(losses, i, axis=1), count) for i in range(len(curves))] if len(curves) > 1 else []
    for k in range(1, len(chosen) + 1):
        own = lose(losses, chosen[:k]).mean(axis=1)
        honest = [lose(losses, other[:k]).mean(axis=1)[i] for i, other in enumerate(left_out)] or [math.nan] * len(own)
        cells = [f"{math.expm1(a):.0%} ({math.expm1(b):.0%})" for a, b in zip(own, honest, strict=True)]
        means = f"{math.expm1(fmean(own)):.0%} ({math.expm1(fmean(honest)):.0%})"
        print(f"| {k} | {' | '.join(cells)} | {means} |")


def show_choices(arguments: argparse.Namespace) -> None:
    paths = sorted(path for path in arguments.folder.glob("*.json") if path.name != CANDIDATES)
    curves = [Curves.read(path) for path in paths]
    for each in curves:
        print(f"{each.name}: {len(each.records)} networks, {each.images:,} images of {each.shape}")
    for space in (*SPACES, None):
        if list_common(curves, space):
            show_choice(curves, space, arguments.count, arguments.without)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=POINTS, help="where the records are")
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="train the candidates on each data set")
    recording.add_argument("--data", nargs="+", required=True, metavar="NPZ[:SIZE]", help="archives of images")
    recording.add_argument("--images", type=int, default=IMAGES, help="to train on")
    recording.set_defaults(run=record)
    choosing = commands.add_parser("choose", help="choose those that a search should try first")
    choosing.add_argument("--count", type=int, default=10, help="of each space")
    choosing.add_argument("--without", help="a data set that nothing is chosen by")
    choosing.set_defaults(run=show_choices)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
