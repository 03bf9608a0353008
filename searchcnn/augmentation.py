"""Random changes of training images that keep their class, or blend it with another's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from searchcnn.settings import Setting

Draws: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Random numbers of a batch by what they are for; each array begins with the axis of the images."""


PLAIN = "where the study compiles the network, and that has no layer that changes images at random"
"""Which networks get what suits them, in words for the reference of the study file."""


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random; pixels from outside of an image repeat its edge.

    All random numbers are drawn in NumPy. What moves whole pixels is done there, too; everything else by Keras, where
    its backend computes: see `apply` and `mix`.

    Cutout is that of https://arxiv.org/abs/1708.04552, mixup that of https://arxiv.org/abs/1710.09412.

    A further change is one more field, and what `move`, `draw`, `apply` and `blends` do with it.
    """

    flip: Annotated[
        bool,
        Setting(
            "Mirror half of the training images, left to right, in each epoch; not for digits or text.",
            auto=f"auto: if the names of the classes are not those of digits, letters or sides, {PLAIN}.",
        ),
    ] = False
    shift: Annotated[
        float,
        Setting(
            "Shift training images at random along each axis, by at most this fraction of its side; the edge is "
            "repeated.",
            at_least=0,
            below=1,
            auto=f"auto: 0.1, or 0.05 if the images are alike in where they are bright, as digits are, {PLAIN}.",
        ),
    ] = 0.0
    rotation: Annotated[
        float,
        Setting(
            "Rotate training images at random, either way, by at most this angle in degrees.",
            at_least=0,
            at_most=180,
            since="0.1.0",
        ),
    ] = 0.0
    zoom: Annotated[
        float,
        Setting(
            "Enlarge or shrink training images at random, by at most this fraction of their size.",
            at_least=0,
            below=1,
            since="0.1.0",
        ),
    ] = 0.0
    contrast: Annotated[
        float,
        Setting(
            "Change the contrast of training images at random, by at most this fraction: how far pixels are from their "
            "channel's mean.",
            at_least=0,
            at_most=1,
            since="0.1.0",
        ),
    ] = 0.0
    cutout: Annotated[
        float,
        Setting(
            "Hide a square of each training image, anywhere in it: its side, as a fraction of the image's shorter one. "
            "It is filled with the image's mean (DeVries & Taylor 2017).",
            at_least=0,
            below=1,
            since="0.1.0",
        ),
    ] = 0.0
    mixup: Annotated[
        float,
        Setting(
            "Blend training images and their labels in pairs: alpha of the Beta distribution of their shares, often "
            "0.2 (Zhang et al. 2018). 0: none.",
            at_least=0,
            since="0.1.0",
        ),
    ] = 0.0

    def __bool__(self) -> bool:
        return self != Augmentation()

    @property
    def blends(self) -> bool:
        """Whether images are blended with others, and their labels with them."""
        return bool(self.mixup)

    def change(self, images: npt.NDArray[np.uint8], random: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Returns changed images as a training sees them, to look at.

        Args:
            images: Shape (batch, height, width, channels).
            random: Draws each image's change.
        """
        import keras

        moved = self.move(images, random)
        draws = self.draw(moved.shape, random)
        pixels: npt.NDArray[np.float32] = keras.ops.convert_to_numpy(mix(apply(moved, draws), draws))
        return np.rint(pixels).astype(np.uint8)

    def move(self, images: npt.NDArray[Any], random: np.random.Generator) -> npt.NDArray[Any]:
        """Mirrors and shifts images of shape (batch, height, width, channels)."""
        moves = self.draw_moves(images.shape, random)
        if not moves:
            return images
        moved = np.empty_like(images)
        for index, (rows, columns) in enumerate(zip(moves["rows"], moves["columns"], strict=True)):
            # several times as fast as one index for the whole batch
            np.take(images[index].take(rows, 0), columns, 1, moved[index], "clip")
        return moved

    def draw_moves(self, shape: tuple[int, ...], random: np.random.Generator) -> Draws:
        """Draws where the pixels of each image come from: its rows, shape (batch, height), and columns.

        Args:
            shape: Of the images: (batch, height, width, channels).
            random: Draws the numbers.
        """
        if not (self.flip or self.shift):
            return {}
        count, height, width, _ = shape
        rows, columns = self._draw_sources(count, height, random), self._draw_sources(count, width, random)
        if self.flip:
            mirrored = random.random(count) < 0.5
            columns[mirrored] = columns[mirrored, ::-1]
        return {"rows": rows, "columns": columns}

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> Draws:
        """Draws what is done to each image of a batch after `move`.

        Args:
            shape: Of the images: (batch, height, width, channels).
            random: Draws the numbers.
        """
        count, height, width, _ = shape
        draws: dict[str, npt.NDArray[Any]] = {}
        if self.rotation or self.zoom:
            angles = np.deg2rad(random.uniform(-self.rotation, self.rotation, count))
            sizes = random.uniform(1 - self.zoom, 1 + self.zoom, count)
            draws["transforms"] = _make_transforms(angles, sizes, height, width)
        if self.contrast:
            draws["contrasts"] = random.uniform(1 - self.contrast, 1 + self.contrast, count).astype(np.float32)
        if self.cutout:
            draws["holes"] = self._draw_holes(count, height, width, random)
        if self.mixup:
            draws["partners"] = random.permutation(count)
            draws["shares"] = random.beta(self.mixup, self.mixup, count).astype(np.float32)
        return draws

    def _draw_sources(self, count: int, side: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns, for each image, where along an axis each pixel comes from: shape (images, side)."""
        reach = round(self.shift * side)
        starts = random.integers(-reach, reach, (count, 1), endpoint=True)
        sources: npt.NDArray[np.int64] = np.clip(np.arange(side) + starts, 0, side - 1)
        return sources

    def _draw_holes(self, count: int, height: int, width: int, random: np.random.Generator) -> npt.NDArray[np.int32]:
        """Returns each image's hidden square: its top, bottom, left and right, shape (images, 4)."""
        side = round(self.cutout * min(height, width))
        first = random.integers(0, (height, width), (count, 2)) - side // 2
        return np.stack([first, first + side], axis=-1).reshape(count, 4).astype(np.int32)


def gather(images: Any, indices: Any, draws: Draws) -> Any:
    """Returns some images, mirrored and shifted as `Augmentation.move` does it, with Keras.

    Args:
        images: All images, a tensor of shape (images, height, width, channels).
        indices: Which of them, shape (batch,).
        draws: By `Augmentation.draw_moves`.
    """
    from keras import ops

    some = ops.take(images, indices, axis=0)
    if "rows" not in draws:
        return some
    some = ops.take_along_axis(some, draws["rows"][:, :, None, None], axis=1)
    return ops.take_along_axis(some, draws["columns"][:, None, :, None], axis=2)


def apply(images: Any, draws: Draws) -> Any:
    """Rotates, zooms, changes the contrast and hides squares, with Keras.

    Args:
        images: Pixels 0..255 of shape (batch, height, width, channels), of any dtype.
        draws: By `Augmentation.draw`.

    Returns:
        Pixels 0..255, a float32 tensor of the same shape.
    """
    from keras import ops

    pixels = ops.cast(images, "float32")
    if "transforms" in draws:
        options: dict[str, str] = {"fill_mode": "nearest", "data_format": "channels_last"}
        pixels = ops.image.affine_transform(pixels, draws["transforms"], "bilinear", **options)
    if "contrasts" in draws:
        factors = _expand(draws["contrasts"], pixels)
        pixels = ops.clip(factors * pixels + (1 - factors) * ops.mean(pixels, axis=(1, 2), keepdims=True), 0, 255)
    if "holes" in draws:
        mean = ops.mean(pixels, axis=(1, 2), keepdims=True)
        pixels = ops.where(_find_hidden(draws["holes"], *pixels.shape[1:3]), mean, pixels)
    return pixels


def mix(values: Any, draws: Draws) -> Any:
    """Blends each image's values with those of its partner; returns them as they are where nothing is to be blended.

    Args:
        values: Images, labels or weights: a float32 tensor of shape (batch, ...).
        draws: By `Augmentation.draw`.
    """
    from keras import ops

    if "partners" not in draws:
        return values
    share = _expand(draws["shares"], values)
    return share * values + (1 - share) * ops.take(values, draws["partners"], axis=0)


def _make_transforms(
    angles: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], height: int, width: int
) -> npt.NDArray[np.float32]:
    """Returns what `keras.ops.image.affine_transform` wants: where in an image each pixel comes from.

    Args:
        angles: Of each image's rotation, in radians, shape (images,).
        sizes: Relative sizes, shape (images,).
        height: Of an image, in pixels.
        width: Of an image, in pixels.

    Returns:
        Shape (images, 8): the matrix [[a, b, c], [d, e, f], [0, 0, 1]] that takes (column, row, 1), row by row.
    """
    cos, sin, zero = np.cos(angles) / sizes, np.sin(angles) / sizes, np.zeros_like(angles)
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre stays where it is
    rows = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero]
    return np.stack(rows, axis=-1).astype(np.float32)


def _find_hidden(holes: Any, height: int, width: int) -> Any:
    """Returns which pixels are in an image's square, shape (batch, height, width, 1)."""
    from keras import ops

    top, bottom, left, right = (holes[:, side, None] for side in range(4))
    rows, columns = (ops.arange(side, dtype="int32")[None, :] for side in (height, width))
    in_rows = ops.logical_and(rows >= top, rows < bottom)
    in_columns = ops.logical_and(columns >= left, columns < right)
    return ops.logical_and(in_rows[:, :, None, None], in_columns[:, None, :, None])


def _expand(numbers: Any, values: Any) -> Any:
    """Gives numbers of shape (batch,) as many axes as values of shape (batch, ...) have."""
    from keras import ops

    return ops.reshape(numbers, (-1, *[1] * (len(values.shape) - 1)))
