"""Proposes a search for images of one's own: the text of a study file, made from what was found in them."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from searchcnn.data import Report
from searchcnn.data.examine import is_imbalanced, is_mirrorable
from searchcnn.errors import make_printable
from searchcnn.proposal.start import COSTS, PRETRAINED, Start

EPOCHS = ((20_000_000, 20), (5_000_000, 30), (0, 40))
"""Most epochs by the least number of pixels of all training images: the less an epoch costs, the more of them."""
BATCH_SIZES = ((20_000, 128), (5_000, 64), (1_000, 32), (0, 16))
"""Images per step by the least number of training images."""
MACS_PER_SIDE = 800_000
"""Multiply-accumulates per pixel of an image's side: 25 millions for 32x32 as in the study `cifar10`; on larger images
they grow with the side and not with the area, or an hour would not train many networks."""
MOST_PARAMS = 1_500_000
"""Weights of the largest network that is trained from nothing."""
LIMITS_OF_PRETRAINED = (30_000_000, 5_000_000_000)
"""Weights and multiply-accumulates that a search beside networks of others allows, of which nothing is known."""
ROOM = 1.6
"""Largest part of a pretrained network's weights and multiply-accumulates: larger images cost more than those of 224
pixels, and its head is added."""
TIMEOUT = "1h"
"""Time of a search where nobody gives another."""
MOST_NAMES = 12
"""Classes that a study file names."""
WIDTH = 116
"""Columns of a comment."""


class Setting(NamedTuple):
    """A line of a study file.

    Attributes:
        key: The key.
        value: Its value, as TOML has it.
        meaning: A few words on it.
    """

    key: str
    value: str
    meaning: str


def propose(name: str, path: str, report: Report, start: Start, timeout: str = TIMEOUT) -> str:
    """Returns the text of a study file for images.

    Args:
        name: The study's name.
        path: The images, as ``[data] path`` has them.
        report: What was found in them.
        start: What the search begins with.
        timeout: Time for the whole search.
    """
    is_tuned = start.spaces == (PRETRAINED,)
    budget = Setting("timeout", f'"{timeout}"', "time for the whole search; `trials = 50` limits the trials instead")
    sections = {
        "": _general(name, report, start),
        "data": _data(path, report, start),
        "budget": [budget],
        "search": [Setting("sampler", '"grid"', "all points there are: they are few, and the search ends then")]
        * bool(start.folds),
        "limits": [] if is_tuned else _limits(report, start),
        "training": list(_tuning(report, start) if is_tuned else _training(report)),
        f"options.{PRETRAINED}": list(_options(report, start)),
    }
    filled = {title: settings for title, settings in sections.items() if settings}
    return "\n\n".join(["\n".join(_comments(name, report, start)), *map(_section, filled, filled.values())]) + "\n"


def _comments(name: str, report: Report, start: Start) -> Iterator[str]:
    """Yields what was found, and how to go on."""
    yield f"# {make_printable(name)}: what was found in {make_printable(report.source)}"
    yield "#"
    yield from _wrapped("classes", _classes(report))
    yield from _wrapped("sizes", _sizes(report))
    yield from _wrapped("parts", report.parts())
    yield from _wrapped("begins", make_printable(start.reason))
    for finding in report.findings:
        yield from _wrapped(finding.level, make_printable(str(finding)))
    yield "#"
    yield "# A value alone is fixed; a list is a choice that is searched, {min = ..., max = ...} a range."
    yield f"# Search it:  searchcnn optimize --study {name}"


def _classes(report: Report) -> str:
    names = list(report.counts["train"])
    few = sorted(report.counts["train"].values())
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    shown = ", ".join(make_printable(one) for one in names[:MOST_NAMES])
    each = f"{few[0]:,} to {few[-1]:,}" if few[0] != few[-1] else f"{few[0]:,}"
    return f"{len(names)}: {shown}{more}; {each} training images of each"


def _sizes(report: Report) -> str:
    height, width, channels = report.shape
    smallest, median, largest = ("x".join(map(str, size)) for size in report.sizes)
    if smallest == largest:
        came = f"{smallest} pixels (height x width), all of one size"
    else:
        came = f"{smallest} to {largest} pixels (height x width), median {median}"
    return f"{came}; networks get {height}x{width}x{channels}"


def _general(name: str, report: Report, start: Start) -> list[Setting]:
    images = sum(sum(counts.values()) for counts in report.counts.values())
    size = "x".join(map(str, report.shape))
    text = f"{name}: {len(report.counts['train'])} classes, {images:,} images of {size}."
    return [
        Setting("description", _quoted(text), ""),
        Setting("spaces", json.dumps(list(start.spaces)), "search spaces; `searchcnn plugins` lists them"),
    ]


def _data(path: str, report: Report, start: Start) -> list[Setting]:
    taken = [
        Setting(part, "0.1", "part of the training images that is taken for it; the data has none")
        for part in report.made
    ]
    size = "x".join(map(str, report.shape[:2]))
    folds = Setting("folds", str(start.folds), "all images but those of the test validate, in so many folds")
    return [
        Setting("path", _quoted(path), "a folder, archive, table, .npz file, or a function that returns arrays"),
        Setting("image_size", '"auto"', f"here {size}; a smaller one, such as {_smaller(report)}, is searched faster"),
        Setting("resize", f'"{report.resize}"', "images of another shape: crop, pad or stretch"),
        *taken,
        *([folds] if start.folds else []),
    ]


def _limits(report: Report, start: Start) -> list[Setting]:
    height, width, _ = report.shape
    params, macs = MOST_PARAMS, max(2_000_000, int(round(MACS_PER_SIDE * (height * width) ** 0.5, -6)))
    if start.is_mixed:
        known = [COSTS.get(name, LIMITS_OF_PRETRAINED) for name in start.weights.backbones]
        params = max(params, *(int(ROOM * weights) for weights, _ in known))
        macs = max(macs, *(int(ROOM * operations) for _, operations in known))
    return [
        Setting("max_params", f"{params:_}", "larger networks are not trained"),
        Setting("max_macs", f"{macs:_}", "nor those with more multiply-accumulates for one image"),
    ]


def _training(report: Report) -> Iterator[Setting]:
    counts = report.counts["train"]
    epochs = _by_size(EPOCHS, _pixels(report))
    yield Setting("epochs", str(epochs), "passes over the training images, at most")
    yield Setting("patience", str(epochs // 4), "a trial ends after so many without a better score")
    yield Setting("batch_size", str(_by_size(BATCH_SIZES, sum(counts.values()))), "images per step")
    yield Setting("learning_rate", "{min = 5e-4, max = 1e-2, log = true}", "searched; of the optimizer, adam")
    yield Setting("schedule", '"cosine"', "from the learning rate down to zero")
    yield Setting("weight_decay", "[0.0, 1e-4, 1e-3]", "pulls weights towards zero")
    yield _flip(report)
    yield Setting("shift", "[0.1, 0.0]", "moves images by up to this part of their side")
    if is_imbalanced(list(counts.values())):
        yield Setting("class_weights", "[false, true]", "whether images of rare classes count more")


def _flip(report: Report) -> Setting:
    flip = is_mirrorable(list(report.counts["train"]))
    meaning = "mirrors half of the images" if flip else "mirrored, some images would be of another class"
    return Setting("flip", str(flip).lower(), meaning)


def _pixels(report: Report) -> int:
    """Returns the number of pixels of all training images."""
    height, width, _ = report.shape
    return sum(report.counts["train"].values()) * height * width


def _tuning(report: Report, start: Start) -> Iterator[Setting]:
    """Yields the recipe where all networks are pretrained; without fine-tuning, it says only what a solver is told."""
    if not start.folds:
        yield Setting("epochs", str(start.epochs + 1), "the head on features counts as one, fine-tuning has the others")
        yield Setting("patience", str(start.epochs), "a trial ends after so many without a better score")
        yield Setting("batch_size", "32", "images per step")
        yield Setting("learning_rate", "0.002", "of the head's layers; fine-tuning has a part of it, which is searched")
        yield Setting("schedule", '"cosine"', "from the learning rate down to zero")
        yield _flip(report)
        yield Setting("shift", "0.1", "moves images by up to this part of their side")
    if is_imbalanced(list(report.counts["train"].values())):
        yield Setting("class_weights", "[false, true]", "whether images of rare classes count more")


def _options(report: Report, start: Start) -> Iterator[Setting]:
    """Yields the options of the search space of pretrained networks."""
    if PRETRAINED not in start.spaces:
        return
    weights = start.weights
    yield Setting("backbones", json.dumps(list(weights.backbones)), "networks whose features are taken")
    if weights.source != "imagenet":
        yield Setting("weights", _quoted(weights.source), "what they have learnt")
    yield Setting("image_sizes", json.dumps(list(start.sizes)), "sides in pixels at which images enter them")
    if start.folds:
        yield Setting("linear", "true", "softmax layers on features only: they are solved, not trained by steps")
    elif start.is_mixed:
        epochs = _by_size(EPOCHS, _pixels(report))
        yield Setting("fine_tuning", f"{min(1.0, start.epochs / epochs):.2g}", "part of the epochs that it has")


def _by_size(steps: Sequence[tuple[int, int]], size: int) -> int:
    return next(value for least, value in steps if size >= least)


def _smaller(report: Report) -> int:
    return max(8, min(report.shape[:2]) // 16 * 8)


def _section(title: str, settings: Sequence[Setting]) -> str:
    lines = [f"{setting.key} = {setting.value}" for setting in settings]
    column = max(len(line) for line, setting in zip(lines, settings, strict=True) if setting.meaning) + 4
    noted = [
        f"{line:<{column}}# {setting.meaning}" if setting.meaning else line
        for line, setting in zip(lines, settings, strict=True)
    ]
    return "\n".join([f"[{title}]", *noted] if title else noted)


def _wrapped(label: str, text: str) -> list[str]:
    import textwrap

    first, rest = f"#   {label:<10}", "#" + " " * 13
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False)


def _quoted(text: str) -> str:
    """Returns a text as TOML quotes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
