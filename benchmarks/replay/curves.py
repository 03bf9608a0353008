"""Learning curves of networks: recorded, or of our own making."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

CURVES = Path(__file__).parents[1] / "curves"
RUNGS = (1, 3, 9, 27)
"""Epochs at which a recorded stretch ends, each a complete cycle of the learning rate."""
MIN_ERROR = 1e-3
"""Taken for the error of a network that makes none: its logarithm is needed."""


@dataclass(frozen=True)
class Curve:
    """What was recorded of one network.

    Attributes:
        hyperparameters: Its point, as Optuna's names have it.
        macs: Multiply-accumulates of one image's forward pass.
        accuracy: Validation accuracy after each epoch.
        durations: Seconds of each epoch; the first one includes tracing the network.
    """

    hyperparameters: Mapping[str, Any]
    macs: int
    accuracy: tuple[float, ...]
    durations: tuple[float, ...]

    @cached_property
    def pace(self) -> float:
        """Seconds of an epoch."""
        return median(self.durations[1:])

    @cached_property
    def tracing(self) -> float:
        """Seconds at the beginning of each stretch until the first batch is trained."""
        return max(0.0, self.durations[0] - self.pace)

    @cached_property
    def errors(self) -> tuple[float, ...]:
        """The least error so far at the end of each rung."""
        return tuple(max(MIN_ERROR, 1 - max(self.accuracy[:rung])) for rung in RUNGS)

    def score(self, epochs: float) -> float:
        """Returns the best accuracy at the end of a cycle that ends after a number of epochs.

        The error is a power of the epochs between two rungs; beyond the last one, it falls with half of the slope
        before, because nothing is known of it and learning slows down.
        """
        place = min(max(bisect_right(RUNGS, epochs), 1), len(RUNGS) - 1) - 1
        (first, second), (before, after) = RUNGS[place : place + 2], self.errors[place : place + 2]
        slope = math.log(after / before) / math.log(second / first)
        if epochs <= RUNGS[-1]:
            return 1 - before * math.pow(max(1.0, epochs) / first, slope)
        return 1 - max(MIN_ERROR, after * math.pow(epochs / second, slope / 2))

    def seconds(self, epochs: float, stretches: int = 1) -> float:
        """Returns how long a number of epochs takes, in some stretches."""
        return epochs * self.pace + stretches * self.tracing

    def retrace(self, seconds: float) -> Curve:
        """Returns the curve of a network that is traced in a given time."""
        return replace(self, durations=(seconds + self.pace, *[self.pace] * (RUNGS[-1] - 1)))


@dataclass(frozen=True)
class Recording:
    """Curves of networks that were trained on the same images.

    Attributes:
        curves: One of each network.
        pixels: Of an image.
        images: That the networks were trained on.
        parts: Epochs that one pass over the images was divided into.
    """

    curves: Sequence[Curve]
    pixels: int = 1024
    images: int = 54_000
    parts: int = 1


def read_recording(file: Path) -> Recording:
    """Returns what `record_curves.py` has written."""
    content = json.loads(file.read_text())
    curves = [
        Curve(row["hyperparameters"], row["macs"], tuple(row["accuracy"]), tuple(row["seconds"]))
        for row in content["curves"]
    ]
    return Recording(curves, content["pixels"], content["images"]["train"], content["parts"])


def make_curves(count: int, seed: int = 0, noise: float = 0.03) -> list[Curve]:
    """Returns curves that nobody recorded: power laws with noise. Half of the networks are cheap, half are dear.

    The dear ones are better in the end, if they are trained for long; in both halves the learning rate matters most.
    """
    random = np.random.default_rng(seed)
    return [_make_curve(random, is_dear=number % 2 == 1, noise=noise) for number in range(count)]


def _make_curve(random: np.random.Generator, is_dear: bool, noise: float) -> Curve:
    rate, width = float(10 ** random.uniform(-4, -1)), int(random.integers(8, 65))
    point = {"space": "dear" if is_dear else "cheap", "rate": rate, "width": width}
    if is_dear:
        point["depth"] = int(random.integers(1, 5))
    misfit = abs(math.log10(rate) + (3 if is_dear else 2)) + abs(math.log2(width / 32)) / 4
    begin, slope = (0.8, 0.75) if is_dear else (0.5, 0.5)
    epochs = np.arange(1, RUNGS[-1] + 1)
    errors = begin * epochs ** -(slope / (1 + misfit)) * np.exp(random.normal(0, noise, len(epochs)))
    pace = (4.0 if is_dear else 1.0) * (width / 32) ** 0.8
    accuracy = 1 - np.minimum(0.9, errors + 0.01 * misfit)
    return Curve(point, int(1e5 * pace**1.25), tuple(map(float, accuracy)), (pace,) * len(epochs)).retrace(1.0)
