"""Writes the text of a study file that suits a user's images."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from searchcnn.data import Inspection
from searchcnn.data.inspection import is_imbalanced, is_mirrorable
from searchcnn.errors import UsageError, make_printable
from searchcnn.proposal.start import PRETRAINED, Start, choose_start, find_weights
from searchcnn.study.config import DEFAULT_EPOCHS, parse_duration

TIMEOUT = "1h"
"""Default time of a search."""
MAX_NAMES = 12
"""Maximum number of classes that a study file lists."""
WIDTH = 116
"""Columns of a comment."""


class Setting(NamedTuple):
    """A line of a study file.

    Attributes:
        key: The key.
        value: Its value, in TOML.
        meaning: A short comment.
    """

    key: str
    value: str
    meaning: str


def write_study_file(name: str, path: str, inspection: Inspection, start: Start, timeout: str = TIMEOUT) -> str:
    """Returns the text of a study file for images.

    Args:
        name: The study's name.
        path: The images, as in ``[data] path``.
        inspection: What was found in them.
        start: What the search begins with.
        timeout: Time for the whole search.
    """
    is_tuned = start.spaces == (PRETRAINED,)
    budget = Setting("timeout", f'"{timeout}"', "time for the whole search; `trials = 50` limits the trials instead")
    sections = {
        "": _write_general(name, inspection, start),
        "data": _write_data(path, inspection, start),
        "budget": [budget],
        "search": [Setting("sampler", '"grid"', "all points: they are few, and the search ends after them")]
        * bool(start.folds),
        "training": list(_write_tuning(inspection, start) if is_tuned else _write_training(inspection)),
        f"options.{PRETRAINED}": list(_write_options(inspection, start)),
    }
    sections = {title: settings for title, settings in sections.items() if settings}
    comments = "\n".join(_write_comments(name, inspection, start))
    return "\n\n".join([comments, *map(_write_section, sections, sections.values())]) + "\n"


def _write_comments(name: str, inspection: Inspection, start: Start) -> Iterator[str]:
    """Yields comments on what was found, and how to go on."""
    yield f"# {make_printable(name)}: what was found in {make_printable(inspection.source)}"
    yield "#"
    yield from _wrap("classes", _describe_classes(inspection))
    yield from _wrap("sizes", _describe_sizes(inspection))
    yield from _wrap("parts", inspection.describe_parts())
    yield from _wrap("begins", make_printable(start.reason))
    for finding in inspection.findings:
        yield from _wrap(finding.level, make_printable(str(finding)))
    yield "#"
    yield "# A value alone is fixed; a list is a choice that is searched, {min = ..., max = ...} a range."
    yield f"# Search it:  searchcnn optimize --study {name}"


def _describe_classes(inspection: Inspection) -> str:
    names = list(inspection.counts["train"])
    counts = sorted(inspection.counts["train"].values())
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    examples = ", ".join(map(make_printable, names[:MAX_NAMES]))
    span = f"{counts[0]:,} to {counts[-1]:,}" if counts[0] != counts[-1] else f"{counts[0]:,}"
    return f"{len(names)}: {examples}{more}; {span} training images of each"


def _describe_sizes(inspection: Inspection) -> str:
    height, width, channels = inspection.shape
    smallest, median, largest = ("x".join(map(str, size)) for size in inspection.sizes)
    if smallest == largest:
        sizes = f"{smallest} pixels (height x width), all of the same size"
    else:
        sizes = f"{smallest} to {largest} pixels (height x width), median {median}"
    return f"{sizes}; networks get {height}x{width}x{channels}"


def _write_general(name: str, inspection: Inspection, start: Start) -> list[Setting]:
    images = sum(sum(counts.values()) for counts in inspection.counts.values())
    size = "x".join(map(str, inspection.shape))
    text = f"{name}: {len(inspection.counts['train'])} classes, {images:,} images of {size}."
    return [
        Setting("description", _quote(text), ""),
        Setting("spaces", json.dumps(list(start.spaces)), "search spaces; `searchcnn plugins` lists them"),
    ]


def _write_data(path: str, inspection: Inspection, start: Start) -> list[Setting]:
    parts = [
        Setting(part, "0.1", "fraction of the training images; the data has no such part")
        for part in inspection.new_parts
    ]
    folds = Setting("folds", str(start.folds), "number of folds, in which all images but those of the test validate")
    return [
        Setting("path", _quote(path), "a folder, archive, table, .npz file, or a function that returns arrays"),
        _write_size(inspection, start),
        Setting("resize", f'"{inspection.resize}"', "how images of another shape are fitted: crop, pad or stretch"),
        *parts,
        *([folds] if start.folds else []),
    ]


def _write_size(inspection: Inspection, start: Start) -> Setting:
    size = "x".join(map(str, inspection.shape[:2]))
    if start.side:
        return Setting("image_size", str(start.side), f"what the time is enough for; with more, up to {size}")
    smaller = _choose_smaller(inspection)
    return Setting("image_size", '"auto"', f"here {size}; a smaller one, such as {smaller}, is searched faster")


def _write_training(inspection: Inspection) -> Iterator[Setting]:
    counts = inspection.counts["train"]
    yield _write_flip(inspection)
    if is_imbalanced(list(counts.values())):
        yield Setting("class_weights", "[false, true]", "whether images of rare classes count more")


def _write_flip(inspection: Inspection) -> Setting:
    flip = is_mirrorable(list(inspection.counts["train"]))
    meaning = "mirrors half of the images" if flip else "by their names, classes are digits, letters or sides"
    return Setting("flip", str(flip).lower(), meaning)


def _write_tuning(inspection: Inspection, start: Start) -> Iterator[Setting]:
    """Yields the recipe for pretrained networks alone; without fine-tuning, only what concerns the solver."""
    if not start.folds:
        yield Setting("epochs", str(start.epochs + 1), "one for the head on features, the others for fine-tuning")
        yield Setting("patience", str(start.epochs), "a trial ends after this many epochs without a better score")
        yield Setting("batch_size", "32", "images per step")
        yield Setting("optimizer", '"adam"', "what pretrained networks were measured with")
        yield Setting("learning_rate", "0.002", "of the head; fine-tuning gets a fraction of it, which is searched")
        yield Setting("schedule", '"cosine"', "from the learning rate down to zero")
        yield Setting("weight_decay", "0.0", "none")
        yield Setting("label_smoothing", "0.0", "none")
        yield _write_flip(inspection)
        yield Setting("shift", "0.1", "moves images by up to this fraction of their side")
    if is_imbalanced(list(inspection.counts["train"].values())):
        yield Setting("class_weights", "[false, true]", "whether images of rare classes count more")


def _write_options(inspection: Inspection, start: Start) -> Iterator[Setting]:
    """Yields the options of the search space of pretrained networks."""
    if PRETRAINED not in start.spaces:
        return
    weights = start.weights
    yield Setting("backbones", json.dumps(list(weights.backbones)), "networks whose features are used")
    if weights.source != "imagenet":
        yield Setting("weights", _quote(weights.source), "where their weights come from")
    yield Setting("image_sizes", json.dumps(list(start.sizes)), "sides in pixels at which images enter them")
    if start.folds:
        yield Setting("linear", "true", "only softmax layers on features: they are solved, not trained in steps")
    elif start.is_mixed:
        share = min(1.0, start.epochs / DEFAULT_EPOCHS)
        yield Setting("fine_tuning", f"{share:.2g}", "fraction of the epochs for it")


def _choose_smaller(inspection: Inspection) -> int:
    return max(8, min(inspection.shape[:2]) // 16 * 8)


def _write_section(title: str, settings: Sequence[Setting]) -> str:
    lines = [f"{setting.key} = {setting.value}" for setting in settings]
    column = max(len(line) for line, setting in zip(lines, settings, strict=True) if setting.meaning) + 4
    lines = [
        f"{line:<{column}}# {setting.meaning}" if setting.meaning else line
        for line, setting in zip(lines, settings, strict=True)
    ]
    return "\n".join([f"[{title}]", *lines] if title else lines)


def _wrap(label: str, text: str) -> list[str]:
    import textwrap

    first, rest = f"#   {label:<10}", "#" + " " * 13
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False)


def _quote(text: str) -> str:
    """Returns a text as a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class Proposal(NamedTuple):
    """What is proposed for images.

    Attributes:
        text: The text of a study file.
        start: What its search begins with.
    """

    text: str
    start: Start


def propose(
    name: str,
    images: str,
    inspection: Inspection,
    timeout: str | float | None = None,
    weights: str | None = None,
    spaces: Sequence[str] = (),
) -> Proposal:
    """Proposes a study of images.

    Args:
        name: The study's name.
        images: The images, as in ``[data] path``.
        inspection: What was found in the images.
        timeout: Time for the search; an hour by default.
        weights: The user's choice of pretrained weights; see `searchcnn.proposal.start.find_weights`.
        spaces: The user's choice of search spaces.

    Raises:
        SearchcnnError: If the time or the weights are not valid.
    """
    try:
        time = parse_duration(timeout or TIMEOUT)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    start = choose_start(inspection, time, find_weights(time, weights), spaces)
    return Proposal(write_study_file(name, images, inspection, start, str(timeout or TIMEOUT)), start)
