"""Chooses greedily among the candidates that were recorded."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import pprint
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from benchmarks.known_points.candidates import CANDIDATES, SPACES, Candidate
from searchcnn.search.scheduler import Scheduler, Standing
from searchcnn.study import Objective

STRETCHES = (1, 3)
"""Passes over the images in each complete cycle of the learning rate, as a plan trains networks."""
PASSES = tuple(itertools.accumulate(STRETCHES))
"""Passes after which a cycle ends."""
OBJECTIVE = Objective("val_accuracy", "maximize")
LEAST_WRONG = 25
"""Validation images that even the best candidate has wrong where a data set tells candidates apart."""
NOISE = 0.01
"""Difference of what is lost, in the logarithm of the error, that tells nothing: the standard error of an error of 10 %
of 2,500 images is 0.06 in it."""
TIMES = {"short": 2e-6, "middle": 1e-5, "long": 5e-5}
"""Seconds of training for each pixel of each image. The last share of 10 minutes is 1.1e-5 of Fashion-MNIST's
54,000 images, and 3.3e-5 of 2,640 photos of 72x72 pixels."""


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


@dataclass(frozen=True)
class Curves:
    """What is known of candidates on one data set.

    Attributes:
        name: Of the data set.
        shape: Of an image: (height, width, channels).
        images: That were trained on.
        validated: Those that were validated on.
        classes: Their number.
        records: What was recorded, by the candidate's key.
    """

    name: str
    shape: tuple[int, int, int]
    images: int
    validated: int
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
        images, validated = content["images"]["train"], content["images"]["validation"]
        return cls(path.stem, tuple(content["shape"]), images, validated, content["classes"], by_key)

    @cached_property
    def plan(self) -> Scheduler:
        """What a search expects of networks, with the decay of those that were recorded."""
        plan = Scheduler(OBJECTIVE, math.inf, pixels=self.pixels, images=self.images)
        return plan.fit([self._stand(record) for record in self.records.values()])

    @property
    def tells(self) -> bool:
        """Whether it tells candidates apart: the best one has still some images wrong."""
        return (1 - max(max(record.accuracy) for record in self.records.values())) * self.validated >= LEAST_WRONG

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
        first, last = (1 - accuracy for accuracy in record.accuracy)
        if passes < PASSES[0]:
            return 1 - 1 / self.classes
        if passes < PASSES[1]:
            return first * math.pow(last / first, math.log(passes / PASSES[0]) / math.log(PASSES[1] / PASSES[0]))
        return self.plan.expect(self._stand(record), (passes - PASSES[1]) * record.seconds)

    def _stand(self, record: Record) -> Standing:
        """Returns a candidate as a search knows it after the cycles."""
        return Standing(0, STRETCHES, record.accuracy, record.seconds, record.macs)


Losses = npt.NDArray[np.float64]
"""Logarithms of errors beside the least one, of shape (candidates, data sets, times)."""


def measure_losses(curves: Sequence[Curves], keys: Sequence[tuple[str, str]]) -> Losses:
    """Returns what is lost by each candidate beside the best one of all, on each data set, in each time."""
    errors = [[[each.find_error(key, time) for time in TIMES.values()] for each in curves] for key in keys]
    logs: Losses = np.log(errors)
    lost: Losses = logs - logs.min(axis=0)
    return lost


def choose(losses: Losses, count: int) -> list[int]:
    """Returns the indices of candidates, chosen greedily: each lowers most what is lost by the best one so far.

    Of those that lower it alike, to `NOISE`, the one comes first that loses least by itself.
    """
    best, chosen = np.full(losses.shape[1:], np.inf), list[int]()
    for _ in range(min(count, len(losses))):
        means = {i: np.minimum(best, loss).mean() for i, loss in enumerate(losses) if i not in chosen}
        least = min(means.values())
        alike = [i for i, mean in means.items() if mean <= least + NOISE]
        chosen.append(min(alike, key=lambda i: losses[i].mean()))
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
    """Prints what is chosen of each search space, and of all."""
    paths = sorted(path for path in arguments.folder.glob("*.json") if path.name != CANDIDATES)
    curves = [Curves.read(path) for path in paths]
    for each in curves:
        told = "" if each.tells else "; too easy to tell them apart"
        print(f"{each.name}: {len(each.records)} networks, {each.images:,} images of {each.shape}{told}")
    curves = [each for each in curves if each.tells]
    for space in (*SPACES, None):
        if list_common(curves, space):
            show_choice(curves, space, arguments.count, arguments.without)
