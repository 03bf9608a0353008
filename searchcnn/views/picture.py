"""Draws a picture of a dataset: images of each class, augmented images, the counts, and the sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from searchcnn.augmentation import Augmentation
from searchcnn.backend import start_keras
from searchcnn.data.dataset import Dataset
from searchcnn.data.inspection import is_mirrorable

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

WIDTH, MARGIN, GAP = 1400, 48, 8
"""Width of the picture, of its edge, and of the gap between two images, in pixels."""
INNER = WIDTH - 2 * MARGIN
LABELS = 204
"""Width of the column of class names in pixels."""
TILE, ENLARGED = 128, 88
"""Longest side of an image in pixels: the maximum, and roughly that of a small one, enlarged by a whole factor."""
MAX_ROWS, MAX_BARS = 12, 30
"""Maximum number of classes that are drawn with images, and with bars and names."""
BAR, PLOT = 30, 380
"""Distance between two bars, and height of a plot, in pixels."""
MAX_POINTS, BEYOND = 4_000, 99.5
"""Maximum number of images whose sizes are plotted, and the percentile of the sizes at which the axes end."""
SMOOTH, RADIUS = 3, 9
"""Points are drawn this many times larger, with this radius, and then scaled down."""
AUGMENTED = {"shift": 0.1, "rotation": 15.0, "zoom": 0.1, "contrast": 0.3}
"""Augmentation of the image that shows it, besides mirroring it if that keeps its class."""
SEED = 0

WHITE, INK, GREY, LINE, MARK = "#ffffff", "#1b2733", "#6b7885", "#d5dbe1", "#e11d48"
COLOURS = {"train": "#0f766e", "validation": "#f59e0b", "test": "#6366f1"}

Pixels = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]
Box = tuple[int, int, int, int]


class Panel:
    """A part of the picture.

    Args:
        width: Width in pixels.
        height: Height below the title, in pixels.
        title: The heading.
        note: Grey text next to the title.
    """

    def __init__(self, width: int, height: int, title: str, note: str = "") -> None:
        self.top = 46
        self.image = Image.new("RGB", (width, self.top + height), WHITE)
        self.draw = ImageDraw.Draw(self.image, "RGBA")
        end = self.write(0, 24, title, 24, anchor="ls")
        self.write(end + 14, 24, note, 16, GREY, "ls", width - end - 14)

    def write(
        self, x: int, y: int, text: str, size: int = 17, fill: str = INK, anchor: str = "la", room: int = INNER
    ) -> int:
        """Writes a line of text, shortened if it is too long; returns where it ends."""
        font = ImageFont.load_default(size)
        while text and font.getlength(text) > room:
            text = f"{text.removesuffix('…')[:-1]}…" if len(text) > 1 else ""
        self.draw.text((x, y), text, fill, font, anchor)
        return x + round(font.getlength(text))

    def show(self, image: Image.Image, x: int, y: int) -> None:
        """Shows an image with a thin edge."""
        self.image.paste(image, (x, y))
        self.draw.rectangle((x - 1, y - 1, x + image.width, y + image.height), outline=LINE)


def make_signature() -> "PngInfo":
    """Returns the metadata by which pictures of ours are recognised."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Software", "searchcnn")
    return info


def is_signed(file: Path) -> bool:
    """Whether a file is a picture of ours."""
    try:
        with Image.open(file) as image:
            return image.info.get("Software") == "searchcnn"
    except (OSError, ValueError):
        return False


def draw_dataset(dataset: Dataset) -> Image.Image:
    """Draws a dataset."""
    labels = _choose_classes(dataset)
    parts = [_draw_title(dataset), _draw_samples(dataset, labels), _draw_augmented(dataset, labels[0])]
    half = (INNER - MARGIN) // 2
    if len(dataset.class_names) <= MAX_BARS:
        return _stack([*parts, _join(_draw_bars(dataset, half), _draw_sizes(dataset, half))])
    return _stack([*parts, _draw_columns(dataset), _draw_sizes(dataset, half)])


def _draw_title(dataset: Dataset) -> Panel:
    counts = {part: sum(classes.values()) for part, classes in dataset.inspection.counts.items()}
    origin = f" ({' and '.join(dataset.inspection.new_parts)} taken from train)" if dataset.inspection.new_parts else ""
    parts = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    panel = Panel(INNER, 34, "")
    panel.write(0, 0, dataset.name, 40)
    size = "x".join(map(str, dataset.input_shape))
    text = f"{dataset.num_classes} classes   ·   {sum(counts.values()):,} images of {size}   ·   {parts}{origin}"
    panel.write(0, 54, text, 18, GREY)
    return panel


def _draw_samples(dataset: Dataset, labels: Sequence[int]) -> Panel:
    """Draws a row of training images of each of the given classes."""
    width, height = _compute_tile(dataset.input_shape)
    is_selection = dataset.num_classes > len(labels)
    note = f"{len(labels)} of {dataset.num_classes} classes, from the largest to the smallest" if is_selection else ""
    panel = Panel(INNER, len(labels) * (height + GAP) - GAP, "Training images", note)
    for row, label in enumerate(labels):
        top = panel.top + row * (height + GAP)
        count = np.count_nonzero(dataset.train.labels == label)
        _draw_label(panel, top + height // 2, dataset.class_names[label], f"{count:,}")
        for column, pixels in enumerate(_choose_images(dataset, label, _count_columns(width))):
            panel.show(_enlarge(pixels), LABELS + column * (width + GAP), top)
    return panel


def _draw_augmented(dataset: Dataset, label: int) -> Panel:
    """Draws an image and augmented versions of it."""
    width, height = _compute_tile(dataset.input_shape)
    augmentation = Augmentation(flip=is_mirrorable(dataset.class_names), **AUGMENTED)
    fields = asdict(augmentation).items()
    settings = ", ".join(name if value is True else f"{name} = {value}" for name, value in fields if value)
    panel = Panel(INNER, height + 3, "Augmented", f"by {settings}; on the left, the image itself")
    pixels = np.repeat(_choose_images(dataset, label, 1), _count_columns(width), axis=0)
    start_keras()
    augmented = augmentation.change(pixels, np.random.default_rng(SEED))
    _draw_label(panel, panel.top + height // 2, dataset.class_names[label])
    for column, image in enumerate([pixels[0], *augmented[1:]]):
        panel.show(_enlarge(image), LABELS + column * (width + GAP), panel.top)
    panel.draw.rectangle((LABELS - 3, panel.top - 3, LABELS + width + 2, panel.top + height + 2), outline=MARK, width=3)
    return panel


def _draw_bars(dataset: Dataset, width: int) -> Panel:
    """Draws the number of images of each class as bars, with names."""
    names, counts = dataset.class_names, dataset.inspection.counts
    totals = [sum(classes.get(name, 0) for classes in counts.values()) for name in names]
    panel = Panel(width, len(names) * BAR + 40, "Images by class")
    left, length = min(LABELS, width // 3), width - min(LABELS, width // 3) - 70
    for row, (name, total) in enumerate(zip(names, totals, strict=True)):
        middle = panel.top + row * BAR + BAR // 2
        panel.write(left - 12, middle, name, anchor="rm", room=left - 12)
        x = left
        for part, classes in counts.items():
            end = x + round(length * classes.get(name, 0) / max(totals))
            if end > x:
                panel.draw.rectangle((x, middle - 9, end - 1, middle + 9), COLOURS[part])
            x = end
        panel.write(x + 10, middle, f"{total:,}", 15, GREY, "lm")
    _draw_legend(panel, left, panel.image.height - 12, counts)
    return panel


def _draw_columns(dataset: Dataset) -> Panel:
    """Draws the number of images of each of many classes as columns, the largest first."""
    names, counts = dataset.class_names, dataset.inspection.counts
    order = sorted(names, key=lambda name: -sum(classes.get(name, 0) for classes in counts.values()))
    totals = [sum(classes.get(name, 0) for classes in counts.values()) for name in order]
    panel = Panel(INNER, PLOT // 2 + 70, "Images by class", f"{len(names)} classes, from the largest to the smallest")
    bottom, left = panel.top + PLOT // 2, 64
    pitch = (INNER - left) / len(order)
    for column, name in enumerate(order):
        y = bottom
        for part, classes in counts.items():
            top = y - round((PLOT // 2 - 20) * classes.get(name, 0) / totals[0])
            if top < y:
                ends = round(left + column * pitch), round(left + (column + 1) * pitch)
                panel.draw.rectangle((ends[0], top, max(ends[0], ends[1] - 1 - (pitch > 4)), y - 1), COLOURS[part])
            y = top
    panel.write(left - 12, bottom - PLOT // 2 + 20, f"{totals[0]:,}", 15, GREY, "rm")
    panel.write(left - 12, bottom, "0", 15, GREY, "rm")
    panel.draw.line((left, bottom, INNER, bottom), LINE)
    panel.write(left, bottom + 10, f"{order[0]}: {totals[0]:,}", 15, room=INNER // 3)
    panel.write(INNER, bottom + 10, f"{order[-1]}: {totals[-1]:,}", 15, anchor="ra", room=INNER // 3)
    _draw_legend(panel, left, panel.image.height - 12, counts)
    return panel


def _draw_sizes(dataset: Dataset, width: int) -> Panel:
    """Draws the original sizes of the images; if they all have the same size, states it."""
    network = "x".join(map(str, dataset.input_shape[:2]))
    smallest, _, largest = ("x".join(map(str, size)) for size in dataset.inspection.sizes)
    if smallest == largest:
        panel = Panel(width, 70, "Sizes")
        panel.write(0, panel.top, f"All images have {smallest} pixels (height x width).")
        panel.write(0, panel.top + 28, f"Networks get {network}.", fill=GREY)
        return panel
    panel = Panel(
        width,
        PLOT + 50,
        "Sizes",
        f"{smallest} to {largest}, height x width; red: what networks get, {network}",
    )
    _draw_scatter(panel, dataset.sizes, dataset.input_shape[:2])
    return panel


def _draw_scatter(panel: Panel, sizes: Sizes, network: Sequence[int]) -> None:
    """Draws a point for the width and height of each image, and the size that networks get as a box."""
    box = (64, panel.top + 6, panel.image.width - 12, panel.top + PLOT)
    tops = [
        _round_up(max(float(np.percentile(sides, BEYOND)), side)) for sides, side in zip(sizes.T, network, strict=True)
    ]
    _draw_axes(panel, box, tops)
    selection = np.random.default_rng(SEED).permutation(sizes)[:MAX_POINTS]
    across, up = box[2] - box[0], box[3] - box[1]
    large = panel.image.crop(box).resize((SMOOTH * across, SMOOTH * up), Image.Resampling.NEAREST)
    points = ImageDraw.Draw(large, "RGBA")
    for height, width in np.minimum(selection, tops):
        x, y = SMOOTH * across * width / tops[1], SMOOTH * up * (1 - height / tops[0])
        points.ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), f"{COLOURS['train']}60")
    panel.image.paste(large.reduce(SMOOTH), box[:2])
    right, top = box[0] + across * network[1] / tops[1], box[3] - up * network[0] / tops[0]
    panel.draw.rectangle((box[0], top, right, box[3]), outline=MARK, width=2)


def _draw_axes(panel: Panel, box: Box, tops: Sequence[float]) -> None:
    left, top, right, bottom = box
    for step in range(5):
        x, y = left + (right - left) * step // 4, bottom - (bottom - top) * step // 4
        panel.draw.line((left, y, right, y), LINE)
        panel.draw.line((x, top, x, bottom), LINE)
        panel.write(left - 10, y, f"{tops[0] * step / 4:.0f}", 15, GREY, "rm")
        panel.write(x, bottom + 10, f"{tops[1] * step / 4:.0f}", 15, GREY, "ma")
    panel.write(left + 8, top + 8, "height", 15, GREY)
    panel.write(right, bottom + 30, "width", 15, GREY, "ra")


def _draw_legend(panel: Panel, x: int, y: int, counts: Mapping[str, Mapping[str, int]]) -> None:
    for part in counts:
        panel.draw.rectangle((x, y - 12, x + 12, y), COLOURS[part])
        x = panel.write(x + 20, y + 1, part, 15, GREY, "ls") + 22


def _draw_label(panel: Panel, middle: int, name: str, below: str = "") -> None:
    panel.write(0, middle if not below else middle - 11, name, anchor="lm", room=LABELS - 16)
    panel.write(0, middle + 11, below, 15, GREY, "lm", LABELS - 16)


def _choose_classes(dataset: Dataset) -> list[int]:
    """Returns the labels of the classes that are drawn: all, or some from the largest to the smallest."""
    if dataset.num_classes <= MAX_ROWS:
        return list(range(dataset.num_classes))
    order = np.argsort(-np.bincount(dataset.train.labels, minlength=dataset.num_classes), kind="stable")
    return [int(order[index]) for index in np.linspace(0, len(order) - 1, MAX_ROWS).round().astype(int)]


def _choose_images(dataset: Dataset, label: int, count: int) -> Pixels:
    """Returns some training images of a class, shape (images, height, width, channels)."""
    indices = np.flatnonzero(dataset.train.labels == label)
    indices = np.random.default_rng(SEED).permutation(indices)[:count]
    images: Pixels = dataset.train.images[np.sort(indices)]
    return images


def _compute_tile(shape: Sequence[int]) -> tuple[int, int]:
    """Returns the width and height at which images are shown."""
    height, width = shape[:2]
    longest = max(height, width)
    scale = max(1, round(ENLARGED / longest)) if longest <= TILE else TILE / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def _count_columns(width: int) -> int:
    return (INNER - LABELS + GAP) // (width + GAP)


def _enlarge(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    is_small = max(image.size) <= TILE
    return image.resize(_compute_tile(pixels.shape), Image.Resampling.NEAREST if is_small else Image.Resampling.LANCZOS)


def _round_up(number: float) -> float:
    """Returns the next number whose quarters are easy to read.

    >>> _round_up(161), _round_up(900)
    (200.0, 1000.0)
    """
    unit: float = 10.0 ** (len(str(int(number))) - 1)
    return next(factor * unit for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if factor * unit >= number)


def _join(left: Panel, right: Panel) -> Image.Image:
    """Returns two panels next to each other."""
    image = Image.new("RGB", (INNER, max(left.image.height, right.image.height)), WHITE)
    image.paste(left.image, (0, 0))
    image.paste(right.image, (INNER - right.image.width, 0))
    return image


def _stack(parts: Sequence[Panel | Image.Image]) -> Image.Image:
    """Returns the whole picture: its parts, one below the other."""
    images = [part.image if isinstance(part, Panel) else part for part in parts]
    picture = Image.new("RGB", (WIDTH, sum(image.height for image in images) + MARGIN * (len(images) + 1)), WHITE)
    y = MARGIN
    for image in images:
        picture.paste(image, (MARGIN, y))
        y += image.height + MARGIN
    return picture
