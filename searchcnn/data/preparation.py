"""Turns an image file of any format and size into the pixels that a network gets, in training and in use."""

import functools
import importlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from searchcnn.data.formats import HEIC, IMAGE_FORMATS, PILLOW_FORMATS
from searchcnn.data.metadata import read_orientation, read_tolerantly

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Resize = Literal["crop", "pad", "stretch"]

MAX_SIDE = 224
"""Maximum side in pixels of images whose size is chosen from the data: ImageNet's usual size."""
SIDE_STEP = 8
"""A chosen side is a multiple of this, so that it can be halved three times."""
ALMOST_SQUARE = 1.25
"""A median image whose sides differ by less than this factor becomes a square."""
MAX_PIXELS = 100_000_000
"""An image file with more pixels is not decoded; Pillow warns of a decompression bomb at 89 million."""
WHITE = 255
SIDEWAYS = (5, 6, 7, 8)
"""EXIF's numbers of the orientations that swap height and width."""
TIFF_WIDTH, TIFF_HEIGHT = 0x0100, 0x0101
"""Keys in a TIFF's directory."""


class DecodedImage(NamedTuple):
    """A decoded image file.

    Attributes:
        image: The image, upright, grey or RGB, with eight bits a channel.
        size: Height and width in the file, upright; the image may have been decoded at a fraction of it.
    """

    image: "Image"
    size: tuple[int, int]


@dataclass(frozen=True)
class Preparation:
    """How images become pixels of one size.

    Attributes:
        height: Pixels.
        width: Pixels.
        channels: 1 (grey) or 3 (red, green, blue).
        resize: How an image of another size is brought to this one: ``crop`` fills it and cuts off the rest evenly on
            both sides; ``pad`` fits the whole image in, with black bars; ``stretch`` changes its shape.
    """

    height: int
    width: int
    channels: int
    resize: Resize = "crop"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the pixels: (height, width, channels)."""
        return self.height, self.width, self.channels

    def read(self, content: bytes) -> npt.NDArray[np.uint8]:
        """Decodes an image file.

        Returns:
            Pixels 0..255, of shape (height, width, channels).

        Raises:
            ValueError: If it is damaged or not an image.
        """
        return self.apply(decode(content, (self.height, self.width)).image)

    def apply(self, image: "Image") -> npt.NDArray[np.uint8]:
        """Returns the pixels of an upright grey or RGB image, uint8 of shape (height, width, channels)."""
        result = _convert(self._fit(image), "L" if self.channels == 1 else "RGB")
        return np.asarray(result, np.uint8).reshape(self.height, self.width, self.channels)

    def _fit(self, image: "Image") -> "Image":
        from PIL import Image, ImageOps

        size, method = (self.width, self.height), Image.Resampling.BILINEAR
        if image.size == size:
            return image
        if self.resize == "stretch":
            return image.resize(size, method)
        result: Image.Image = (ImageOps.fit if self.resize == "crop" else ImageOps.pad)(image, size, method)
        return result


def decode(content: bytes, target: tuple[int, int] | None = None) -> DecodedImage:
    """Decodes an image file; of an animation, the first image.

    Transparent pixels become white, and sixteen bits become eight.

    Args:
        content: Content of a file in one of `IMAGE_FORMATS`.
        target: Height and width that the image is going to be reduced to; a JPEG may then be decoded at a half, a
            quarter or an eighth of its size, as long as it stays at least twice as large.

    Raises:
        ValueError: If it is damaged or not an image.
    """
    try:
        return read_tolerantly(functools.partial(_decode, target=target), content)
    except Exception as error:  # decoders raise almost anything on a damaged file
        reason = str(error).split(" <_io")[0].removesuffix(" file") or type(error).__name__
        raise ValueError(" ".join(reason.split())) from error


def _decode(content: bytes, target: tuple[int, int] | None) -> DecodedImage:
    with _open(content) as file:
        if file.width * file.height > MAX_PIXELS:
            raise ValueError(f"has {file.width}x{file.height} pixels, more than the maximum of {MAX_PIXELS:,}")
        size = _read_size(file)
        if target is not None:
            side = 2 * max(target)
            file.draft(None, (side, side))
        return DecodedImage(_reduce_to_eight_bits(_turn_upright(file)), size)


def probe(content: bytes) -> tuple[tuple[int, int], bool]:
    """Returns the height and width of an image file, upright, and whether it has colours; most are not decoded for it.

    Raises:
        Exception: Almost any, if it is not an image.
    """
    return read_tolerantly(_probe, content)


def _probe(content: bytes) -> tuple[tuple[int, int], bool]:
    with _open(content) as file:
        return _read_size(file), not file.mode.startswith(("1", "L", "I", "F")) or file.mode == "LAB"


def _open(content: bytes) -> "ImageFile":
    """Opens an image file in one of `IMAGE_FORMATS` without decoding it.

    Raises:
        Exception: Almost any, if it is not an image.
    """
    from PIL import Image

    return Image.open(io.BytesIO(content), formats=_find_formats())


@functools.cache
def _find_formats() -> tuple[str, ...]:
    """Returns those of `PILLOW_FORMATS` that this Pillow reads."""
    from PIL import Image

    Image.init()
    if HEIC in IMAGE_FORMATS:
        importlib.import_module("pi_heif").register_heif_opener()
    return tuple(name for name in PILLOW_FORMATS if name in Image.OPEN)


def _read_size(image: "ImageFile") -> tuple[int, int]:
    """Returns the height and width of an image file that has been opened."""
    if image.format == "PNG":
        image.load()  # its metadata may come after its pixels
    tags = getattr(image, "tag_v2", None)  # Pillow swaps the sides of a TIFF when it opens it
    width, height = (tags[TIFF_WIDTH], tags[TIFF_HEIGHT]) if tags else image.size
    return (width, height) if read_orientation(image) in SIDEWAYS else (height, width)


def _turn_upright(image: "ImageFile") -> "Image":
    """Returns an image file as the camera saw the scene."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    image.load()
    turn = turns.get(read_orientation(image))
    return image if turn is None else image.transpose(turn)


def _reduce_to_eight_bits(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("has 32 bits a channel, and nothing says which value is white; save it with 8 or 16 bits")
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, (WHITE,) * 4)
        is_grey = image.mode in ("LA", "La", "L", "1")
        return Image.alpha_composite(background, image.convert("RGBA")).convert("L" if is_grey else "RGB")
    return _convert(image, "L" if image.mode in ("1", "L") else "RGB")


def _convert(image: "Image", mode: str) -> "Image":
    """Returns an image in a mode; an image that has it already is not copied."""
    image.load()
    return image if image.mode == mode else image.convert(mode)


def as_bytes(*arrays: npt.NDArray[np.generic]) -> list[npt.NDArray[np.uint8]]:
    """Scales pixels to 0..255, all arrays in the same way.

    Args:
        arrays: Integers 0..255 or 0..65535, or floats 0..1 or 0..255, of any shape.

    Raises:
        ValueError: If they are anything else.
    """
    if {array.dtype for array in arrays} == {np.dtype(np.uint8)}:
        return [np.asarray(array, np.uint8) for array in arrays]
    types = " and ".join(sorted({str(array.dtype) for array in arrays}))
    kinds = {array.dtype.kind.replace("u", "i") for array in arrays}
    if kinds not in ({"b"}, {"i"}, {"f"}) or any(array.size == 0 for array in arrays):
        raise ValueError(f"pixels are {types}, expected numbers of the same kind")
    low, high = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
    if not 0 <= low <= high <= (255 if kinds == {"f"} else 65_535):
        raise ValueError(f"pixels are {types}, {low:g}..{high:g}, expected 0..255, 0..65535 or floats 0..1")
    scale = 1 / 257 if high > 255 else 1.0 if high > 1 or kinds == {"i"} else 255.0
    return [np.rint(np.asarray(array, np.float32) * np.float32(scale)).astype(np.uint8) for array in arrays]


def choose_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Chooses the height and width of a network's images from those of the files.

    Images that all have the same size keep it. Otherwise it is the median, rounded to multiples of 8, or a square if
    it almost is one. The longest side is 224 at most.

    Args:
        sizes: Heights and widths, in pixels.
    """
    height, width = (float(side) for side in np.median(np.asarray(sizes), axis=0))
    longest = max(height, width)
    if len(set(sizes)) == 1 and longest <= MAX_SIDE:
        return int(height), int(width)
    if longest < ALMOST_SQUARE * min(height, width):
        height = width = (height * width) ** 0.5
    scale = min(1.0, MAX_SIDE / max(height, width))
    return _round_side(scale * height), _round_side(scale * width)


def _round_side(side: float) -> int:
    return max(SIDE_STEP, SIDE_STEP * round(side / SIDE_STEP))
