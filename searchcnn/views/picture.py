"""Draws a picture of a dataset: images of each class, augmented images, the counts, and the sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.text import Text

from searchcnn.augmentation import Augmentation
from searchcnn.backend import start_keras
from searchcnn.data.dataset import Dataset
from searchcnn.data.inspection import is_mirrorable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, MARGIN, NAMES, GAP = 1400, 48, 204, 8
"""Width of the picture, of its edge, of the column of class names, and of the gap between two images, in pixels."""
INNER = WIDTH - 2 * MARGIN - NAMES
"""Width of a row of images in pixels."""
ABOVE, BELOW, BESIDE = 206, 108, 110
"""What is free for text above the plots, below each and between two, in pixels."""
TILE, ENLARGED = 128, 88
"""Longest side of an image in pixels: the maximum, and roughly that of a small one, enlarged by a whole factor."""
BAR, PLOT = 30, 330
"""Distance between two bars, and height of a plot, in pixels."""
MAX_ROWS, MAX_BARS, MAX_NAME = 12, 30, 20
"""Maximum number of classes that are drawn with images, and with bars; maximum width of a name in letters."""
SPREAD, OFTEN = 8, 0.1
"""Largest / smallest side from which on sizes are drawn on logarithmic axes; share from which on one is mentioned."""
AUGMENTED = {"shift": 0.1, "rotation": 15.0, "zoom": 0.1, "contrast": 0.3}
"""Augmentation of the image that shows it, besides mirroring it if that keeps its class."""

INK, GREY, LINE, MARK = "#1b2733", "#6b7885", "#d5dbe1", "#e11d48"
COLOURS = {"train": "#0f766e", "validation": "#f59e0b", "test": "#6366f1"}
SIGNATURE = {"Software": "searchcnn"}
"""Metadata by which pictures of ours are recognised."""
FONTS = (
    *("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo"),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("Noto Sans", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS"),
)
"""Fonts; each letter is taken from the first of those installed that has it."""
MISSING = "□"
"""Stands for a letter that none has."""

Pixels = npt.NDArray[np.uint8]


def is_signed(file: Path) -> bool:
    """Whether a file is a picture of ours."""
    try:
        with Image.open(file) as image:
            return SIGNATURE.items() <= image.info.items()
    except (OSError, ValueError):
        return False


def save_picture(figure: Figure, file: Path | BinaryIO) -> None:
    """Writes a picture as PNG."""
    figure.savefig(file, format="png", dpi="figure", metadata=SIGNATURE, pil_kwargs={"optimize": True})


def draw_dataset(dataset: Dataset) -> Figure:
    """Draws a dataset. A point, in which fonts and lines are measured, is a pixel."""
    labels, row = _choose_classes(dataset), _compute_tile(dataset.input_shape)[1] + GAP
    bars = BAR * dataset.num_classes if dataset.num_classes <= MAX_BARS else PLOT
    figure, axes = _lay_out([row * len(labels), row, max(bars, PLOT * bool(np.ptp(dataset.sizes, axis=0).any()))])
    _draw_title(figure, dataset)
    _draw_samples(axes["samples"], dataset, labels)
    _draw_augmented(axes["augmented"], dataset, labels[0])
    (_draw_bars if dataset.num_classes <= MAX_BARS else _draw_columns)(axes["counts"], dataset)
    _draw_sizes(axes["sizes"], dataset)
    for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
        text.set(fontfamily=_find_fonts()[0], parse_math=False)
    return figure


def _lay_out(heights: Sequence[int]) -> tuple[Figure, Mapping[str, Axes]]:
    """Returns a figure, and its axes in three rows of the given heights in pixels."""
    from matplotlib.figure import Figure

    height = ABOVE + sum(heights) + BELOW * len(heights)
    edges = {"left": (MARGIN + NAMES) / WIDTH, "right": 1 - MARGIN / WIDTH, "bottom": BELOW / height}
    gaps = {"hspace": BELOW * len(heights) / sum(heights), "wspace": 2 * BESIDE / (INNER - BESIDE)}
    figure = Figure((WIDTH / 72, height / 72), dpi=72, facecolor="white")
    figure.set_layout_engine("none")
    return figure, figure.subplot_mosaic(
        [["samples", "samples"], ["augmented", "augmented"], ["counts", "sizes"]],
        height_ratios=heights,
        gridspec_kw={**edges, **gaps, "top": 1 - ABOVE / height},
    )


def _draw_title(figure: Figure, dataset: Dataset) -> None:
    counts = {part: sum(classes.values()) for part, classes in dataset.inspection.counts.items()}
    origin = f" ({' and '.join(dataset.inspection.new_parts)} taken from train)" if dataset.inspection.new_parts else ""
    parts = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    images = f"{sum(counts.values()):,} images of {_format_size(dataset.input_shape)}"
    text = f"{dataset.num_classes} classes   ·   {images}   ·   {parts}{origin}"
    x, height = MARGIN / WIDTH, figure.bbox.height
    figure.text(x, 1 - 82 / height, _shorten(dataset.name, 2 * MAX_NAME), fontsize=38, color=INK)
    figure.text(x, 1 - 116 / height, text, fontsize=17, color=GREY)


def _draw_samples(axes: Axes, dataset: Dataset, labels: Sequence[int]) -> None:
    """Draws a row of training images of each of the given classes."""
    counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
    names = [f"{_shorten(dataset.class_names[label])}\n{counts[label]:,}" for label in labels]
    is_selection = dataset.num_classes > len(labels)
    notes = [f"{len(labels)} of {dataset.num_classes} classes, from the largest to the smallest"] * is_selection
    notes += [f"{MISSING}: a letter that no installed font has"] * (MISSING in "".join(names))
    _add_heading(axes, "Training images", "; ".join(notes), NAMES)
    _show(axes, [_choose_images(dataset, label) for label in labels], names)


def _draw_augmented(axes: Axes, dataset: Dataset, label: int) -> None:
    """Draws an image and augmented versions of it."""
    augmentation = Augmentation(flip=is_mirrorable(dataset.class_names), **AUGMENTED)
    fields = asdict(augmentation).items()
    settings = ", ".join(name if value is True else f"{name} = {value}" for name, value in fields if value)
    _add_heading(axes, "Augmented", f"by {settings}; on the left, the image itself", NAMES)
    width, height = _compute_tile(dataset.input_shape)
    image = _choose_images(dataset, label)[:1]
    start_keras()
    changed = augmentation.change(image.repeat(_count_columns(width), axis=0), np.random.default_rng(0))
    _show(axes, [np.concatenate([image, changed[1:]])], [_shorten(dataset.class_names[label])])
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height), (0, 0)]) - 0.5
    axes.plot(*corners.T, color=MARK, linewidth=3, clip_on=False)


def _draw_bars(axes: Axes, dataset: Dataset) -> None:
    """Draws the number of images of each class as bars, with names."""
    _add_heading(axes, "Images by class", left=NAMES)
    rows, ends = np.arange(dataset.num_classes), np.zeros(dataset.num_classes, np.int64)
    for part, counts in _count_images(dataset).items():
        bars = axes.barh(rows, counts, 0.62, ends, color=COLOURS[part], label=part)
        ends = ends + counts
    axes.bar_label(bars, [f"{total:,}" for total in ends], padding=8, fontsize=13, color=GREY)
    axes.set_yticks(rows, [*map(_shorten, dataset.class_names)], fontsize=14, color=INK)
    axes.set(xticks=(), xlim=(0, 1.2 * ends.max()), ylim=(axes.bbox.height / BAR - 0.5, -0.5))
    _add_legend(axes, axes.bbox.height - BAR * dataset.num_classes - 8)


def _draw_columns(axes: Axes, dataset: Dataset) -> None:
    """Draws the number of images of each of many classes as columns, the largest first."""
    _add_heading(axes, "Images by class", f"{dataset.num_classes} classes, the largest first", NAMES)
    parts = _count_images(dataset)
    totals = np.sum([*parts.values()], axis=0)
    order, base = np.argsort(-totals, kind="stable"), np.zeros_like(totals)
    for part, counts in parts.items():
        axes.stairs(base + counts[order], baseline=base, fill=True, color=COLOURS[part], label=part)
        base = base + counts[order]
    ends = [f"{_shorten(dataset.class_names[place])}: {totals[place]:,}" for place in (order[0], order[-1])]
    axes.set_xticks([0, len(order)], ends, fontsize=13, color=INK)
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.set(xlim=(0, len(order)), ylim=(0, None))
    axes.grid(axis="y", color=LINE)
    _add_legend(axes, -44)


def _draw_sizes(axes: Axes, dataset: Dataset) -> None:
    """Draws a point for each original size, the larger the more images have it, and what networks get."""
    sizes, counts = np.unique(dataset.sizes, axis=0, return_counts=True)
    (height, width), shares = dataset.input_shape[:2], counts / counts.sum()
    most, network = _format_size(sizes[counts.argmax()]), f"networks get {height}x{width}"
    if len(sizes) == 1:
        _add_heading(axes, "Sizes", f"all images {most}; {network}")
        axes.set_axis_off()
        return
    smallest, _, largest = map(_format_size, dataset.inspection.sizes)
    often = f"; {counts.max():,} of {counts.sum():,} have {most}" if shares.max() > OFTEN else ""
    _add_heading(axes, "Sizes", f"{smallest} to {largest}{often}")
    axes.scatter(sizes[:, 1], sizes[:, 0], 30 + 570 * shares, COLOURS["train"], alpha=0.5, linewidths=0)
    axes.axhline(height, color=MARK, linestyle="--", label=network)
    axes.axvline(width, color=MARK, linestyle="--")
    if sizes.max() > SPREAD * sizes.min():
        _make_logarithmic(axes)
    axes.set_xlabel("width", loc="right", fontsize=13, color=GREY)
    axes.set_ylabel("height", loc="top", fontsize=13, color=GREY)
    axes.margins(0.1)
    axes.grid(color=LINE)
    _add_legend(axes, -44)


def _make_logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator

    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:.0f}")
    axes.minorticks_off()


def _add_heading(axes: Axes, title: str, note: str = "", left: int = 0) -> None:
    """Writes a title above axes, so many pixels further left, and a grey note; takes away what distracts."""
    axes.set_title(title, loc="left", x=-left / axes.bbox.width, pad=20, fontsize=23, color=INK)
    axes.set_title(note, loc="right", pad=20, fontsize=15, color=GREY)
    axes.set_facecolor("white")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=13, labelcolor=GREY, pad=12)
    axes.set_axisbelow(True)


def _add_legend(axes: Axes, y: float) -> None:
    """Explains the colours of a plot, so many pixels above the lower end of its axes."""
    place: Any = {"loc": "upper left", "bbox_to_anchor": (0, y / axes.bbox.height), "borderpad": 0, "borderaxespad": 0}
    shape: Any = {"ncols": 3, "handlelength": 1, "handleheight": 1, "columnspacing": 1.5, "frameon": False}
    axes.legend(**place, **shape, fontsize=14, labelcolor=GREY)


def _show(axes: Axes, rows: Sequence[Pixels], names: Sequence[str]) -> None:
    """Shows rows of images, each of shape (images, height, width, channels), with their names on the left."""
    width, height = _compute_tile(rows[0].shape[1:])
    sheet = np.full((len(rows) * (height + GAP) - GAP, INNER, 3), 255, np.uint8)
    for row, images in enumerate(rows):
        for column, pixels in enumerate(images):
            y, x = row * (height + GAP), column * (width + GAP)
            sheet[y : y + height, x : x + width] = _enlarge(pixels)
    axes.imshow(sheet, interpolation="nearest")
    axes.set(anchor="NW", xticks=())
    axes.set_yticks(height / 2 + (height + GAP) * np.arange(len(rows)), names, fontsize=14, color=INK, linespacing=1.4)


@cache
def _find_fonts() -> tuple[Sequence[str], frozenset[int]]:
    """Returns the fonts that are installed, and the letters that they have."""
    from matplotlib.font_manager import findfont, get_font, get_font_names

    fonts = [font for font in FONTS if font in set(get_font_names())]
    return fonts, frozenset().union(*(get_font(findfont(font)).get_charmap() for font in fonts))


def _shorten(name: str, width: int = MAX_NAME) -> str:
    """Returns a name that is as wide as so many letters at most."""
    text = Text("".join(letter if ord(letter) in _find_fonts()[1] else MISSING for letter in name))
    text.truncate(width, overflow="ellipsis")
    return text.plain


def _choose_classes(dataset: Dataset) -> list[int]:
    """Returns the labels of the classes that are drawn: all, or some from the largest to the smallest."""
    if dataset.num_classes <= MAX_ROWS:
        return list(range(dataset.num_classes))
    order = np.argsort(-np.bincount(dataset.train.labels, minlength=dataset.num_classes), kind="stable")
    return [int(order[index]) for index in np.linspace(0, len(order) - 1, MAX_ROWS).round().astype(int)]


def _choose_images(dataset: Dataset, label: int) -> Pixels:
    """Returns as many training images of a class as fit in a row, shape (images, height, width, channels)."""
    count = _count_columns(_compute_tile(dataset.input_shape)[0])
    indices = np.random.default_rng(0).permutation(np.flatnonzero(dataset.train.labels == label))[:count]
    images: Pixels = dataset.train.images[np.sort(indices)]
    return images


def _count_images(dataset: Dataset) -> dict[str, npt.NDArray[np.int64]]:
    """Returns the number of images of each class, shape (classes,), by part."""
    parts = dataset.inspection.counts.items()
    return {part: np.array([counts.get(name, 0) for name in dataset.class_names]) for part, counts in parts}


def _format_size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _compute_tile(shape: Sequence[int]) -> tuple[int, int]:
    """Returns the width and height at which images are shown."""
    height, width = shape[:2]
    longest = max(height, width)
    scale = max(1, round(ENLARGED / longest)) if longest <= TILE else TILE / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def _count_columns(width: int) -> int:
    return (INNER + GAP) // (width + GAP)


def _enlarge(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    is_small = max(image.size) <= TILE
    method = Image.Resampling.NEAREST if is_small else Image.Resampling.LANCZOS
    return np.asarray(image.resize(_compute_tile(pixels.shape), method))
