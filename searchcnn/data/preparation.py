"""From an image file of any kind and size to the pixels that a network gets: before training, and when it is used."""

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from searchcnn.data.metadata import orientation, read_tolerantly

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Resize = Literal["crop", "pad", "stretch"]

LARGEST_SIDE = 224
"""Pixels of the longest side of images whose size is chosen from the data: ImageNet's usual size."""
ROUND = 8
"""A chosen side is a multiple of this, so that it can be halved three times."""
ALMOST_SQUARE = 1.25
"""Median images whose sides differ by less than this factor become squares."""
MOST_PIXELS = 100_000_000
"""An image file of more pixels is not decoded; Pillow warns of a decompression bomb at 89 millions."""
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats that are read, whatever a file is called; some others can run programs."""
WHITE = 255
SIDEWAYS = (5, 6, 7, 8)
"""Ways to hold a camera, as EXIF counts them, that exchange height and width."""
WIDTH, HEIGHT = 0x0100, 0x0101
"""Keys of a TIFF's directory."""


class Picture(NamedTuple):
    """A decoded image file.

    Attributes:
        image: Upright, grey or RGB, eight bits a channel.
        size: Height and width in the file, upright; the image may have been decoded at a part of it.
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
        resize: How an image of another size is brought to this one: ``crop`` fills it and cuts off what sticks out,
            evenly on both sides; ``pad`` fits the whole image in, with black bars; ``stretch`` changes its shape.
    """

    height: int
    width: int
    channels: int
    resize: Resize = "crop"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the pixels: (height, width, channels)."""
        return self.height, self.width, self.channels

    def read(self, content: bytes) -> npt.NDArray[np.uint8]:
        """Decodes an image file.

        Returns:
            Pixels 0..255, of shape (height, width, channels).

        Raises:
            ValueError: If it is no image or damaged.
        """
        return self.pixels(decode(content, (self.height, self.width)).image)

    def pixels(self, image: "Image") -> npt.NDArray[np.uint8]:
        """Returns the pixels of an upright grey or RGB image, of shape (height, width, channels)."""
        fitted = _converted(self._fitted(image), "L" if self.channels == 1 else "RGB")
        return np.asarray(fitted, np.uint8).reshape(self.height, self.width, self.channels)

    def _fitted(self, image: "Image") -> "Image":
        from PIL import Image, ImageOps

        size, way = (self.width, self.height), Image.Resampling.BILINEAR
        if image.size == size:
            return image
        if self.resize == "stretch":
            return image.resize(size, way)
        fitted: Image.Image = (ImageOps.fit if self.resize == "crop" else ImageOps.pad)(image, size, way)
        return fitted


def decode(content: bytes, least: tuple[int, int] | None = None) -> Picture:
    """Decodes an image file; of an animation, the first picture.

    What is transparent becomes white, and sixteen bits become eight.

    Args:
        content: Of a file of one of `FORMATS`.
        least: Height and width that the image is going to be reduced to; a JPEG may then be decoded at a half, quarter
            or eighth of its size, as long as it stays twice as large as that.

    Raises:
        ValueError: If it is no image or damaged.
    """
    try:
        return read_tolerantly(functools.partial(_decode, least=least), content)
    except Exception as error:  # decoders raise almost anything on a damaged file
        reason = str(error).split(" <_io")[0].removesuffix(" file") or type(error).__name__
        raise ValueError(" ".join(reason.split())) from error


def _decode(content: bytes, least: tuple[int, int] | None) -> Picture:
    with _opened(content) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"{opened.width}x{opened.height} pixels; the largest that are read have {MOST_PIXELS:,}")
        size = _upright_size(opened)
        if least is not None:
            side = 2 * max(least)
            opened.draft(None, (side, side))
        return Picture(_eight_bits(_upright(opened)), size)


def look(content: bytes) -> tuple[tuple[int, int], bool]:
    """Returns the height and width of an image file, upright, and whether it has colours; most are not decoded.

    Raises:
        Exception: Almost any, of a file that is none.
    """
    return read_tolerantly(_look, content)


def _look(content: bytes) -> tuple[tuple[int, int], bool]:
    with _opened(content) as image:
        return _upright_size(image), not image.mode.startswith(("1", "L", "I", "F")) or image.mode == "LAB"


def _opened(content: bytes) -> "ImageFile":
    """Opens an image file of one of `FORMATS`; it is not decoded yet.

    Raises:
        Exception: Almost any, of a file that is none.
    """
    from PIL import Image

    return Image.open(io.BytesIO(content), formats=_formats())


@functools.cache
def _formats() -> tuple[str, ...]:
    """Returns those of `FORMATS` that this Pillow reads."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _upright_size(image: "ImageFile") -> tuple[int, int]:
    """Returns the height and width of an image file that has been opened."""
    if image.format == "PNG":
        image.load()  # its metadata may come behind its pixels
    tags = getattr(image, "tag_v2", None)  # Pillow exchanges a TIFF's sides as it opens it
    width, height = (tags[WIDTH], tags[HEIGHT]) if tags else image.size
    return (width, height) if orientation(image) in SIDEWAYS else (height, width)


def _upright(image: "ImageFile") -> "Image":
    """Returns an image file as the camera saw it."""
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
    turn = turns.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("has 32 bits a channel, and nothing says which number is white; save it with 8 or 16 bits")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (WHITE,) * 4)
        is_grey = image.mode in ("LA", "La", "L", "1")
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("L" if is_grey else "RGB")
    return _converted(image, "L" if image.mode in ("1", "L") else "RGB")


def _converted(image: "Image", mode: str) -> "Image":
    """Returns an image in a mode, without copying one that is loaded and has it."""
    image.load()
    return image if image.mode == mode else image.convert(mode)


def as_bytes(*arrays: npt.NDArray[np.generic]) -> list[npt.NDArray[np.uint8]]:
    """Brings pixels to 0..255, all arrays in the same way.

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
        raise ValueError(f"pixels are {types}, expected numbers of one kind")
    low, high = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
    if not 0 <= low <= high <= (255 if kinds == {"f"} else 65_535):
        raise ValueError(f"pixels are {types}, {low:g}..{high:g}, expected 0..255, 0..65535 or floats 0..1")
    scale = 1 / 257 if high > 255 else 1.0 if high > 1 or kinds == {"i"} else 255.0
    return [np.rint(np.asarray(array, np.float32) * np.float32(scale)).astype(np.uint8) for array in arrays]


def choose_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Chooses the height and width of a network's images from those of the files.

    Images that are all of one size keep it. Otherwise it is the median, rounded to multiples of 8, a square if it is
    almost one. The longest side is 224 at most.

    Args:
        sizes: Heights and widths, in pixels.
    """
    height, width = (float(side) for side in np.median(np.asarray(sizes), axis=0))
    longest = max(height, width)
    if len(set(sizes)) == 1 and longest <= LARGEST_SIDE:
        return int(height), int(width)
    if longest < ALMOST_SQUARE * min(height, width):
        height = width = (height * width) ** 0.5
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    return _rounded(shrink * height), _rounded(shrink * width)


def _rounded(side: float) -> int:
    return max(ROUND, ROUND * round(side / ROUND))
