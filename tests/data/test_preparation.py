"""Image files of every kind become the pixels that they show."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from searchcnn.data import Preparation, preparation
from searchcnn.data.preparation import as_bytes, choose_size, decode

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
TOLERANCE = 12
"""Of a pixel of a JPEG or WebP."""


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def halves(mode: str = "RGB", size: tuple[int, int] = (8, 4)) -> Image.Image:
    """Returns an image whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


def prepare(content: bytes) -> Any:
    return np.asarray(decode(content).image).astype(int)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_formats(format: str) -> None:
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    result = prepare(encoded(halves(), format, **options.get(format, {})))
    assert np.abs(result - np.asarray(halves()).astype(int)).max() <= TOLERANCE


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_modes(mode: str) -> None:
    format = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    result = decode(encoded(halves(mode), format)).image
    expected = halves("L").point(lambda value: 255 * (value > 127)) if mode == "1" else halves()
    grey = mode in ("L", "1", "LA")
    assert result.mode == ("L" if grey else "RGB")
    left, right = (np.asarray(result).astype(int)[0, column] for column in (0, 7))
    if mode != "1":
        other = np.asarray(expected.convert("L" if grey else "RGB")).astype(int)
        assert np.abs(left - other[0, 0]).max() <= TOLERANCE
        assert np.abs(right - other[0, 7]).max() <= TOLERANCE


def test_sixteen_bits_become_eight() -> None:
    deep = np.array([[0, 257, 25_700], [32_768, 65_278, 65_535]], np.uint16)
    for format in ("PNG", "TIFF"):
        assert prepare(encoded(Image.fromarray(deep), format)).tolist() == [[0, 1, 100], [128, 254, 255]]
    dark = np.full((2, 2), 200, np.uint16)  # the depth counts, not the largest value
    assert prepare(encoded(Image.fromarray(dark), "PNG")).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_32_bits_are_not_guessed(kind: Any) -> None:
    with pytest.raises(ValueError, match="has 32 bits a channel, and nothing says which value is white"):
        prepare(encoded(Image.fromarray(np.array([[0, 1, 200]], kind)), "TIFF"))


def test_other_formats_are_refused_whatever_the_name() -> None:
    with pytest.raises(ValueError, match="cannot identify image"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n")


def test_the_first_picture_of_an_animation() -> None:
    first, second = Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), BLUE)
    for format in ("GIF", "WEBP", "TIFF"):
        result = prepare(encoded(first, format, save_all=True, append_images=[second]))
        assert result[0, 0, 0] > 240 and result[0, 0, 2] < 15


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    result = prepare(encoded(image.convert(mode), "PNG"))
    assert result.tolist() == [[list(RED), list(WHITE)]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_the_camera_was_held(orientation: int) -> None:
    upright = halves()
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    for step in stored.get(orientation, []):
        upright = upright.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decode(encoded(upright, "PNG", exif=exif))
    assert (result.image.size, result.size) == ((8, 4), (4, 8))
    assert np.array_equal(np.asarray(result.image), np.asarray(halves()))


@pytest.mark.parametrize(
    ("resize", "corners"),
    [("crop", (RED, BLUE)), ("stretch", (RED, BLUE)), ("pad", ((0, 0, 0), (0, 0, 0)))],
)
def test_resizing(resize: Any, corners: tuple[Any, Any]) -> None:
    wide = halves(size=(80, 20))
    result = Preparation(20, 20, 3, resize).apply(wide)
    assert result.shape == (20, 20, 3)
    assert (tuple(result[0, 0]), tuple(result[0, -1])) == corners
    assert (tuple(result[10, 0]), tuple(result[10, -1])) == (RED, BLUE)
    whole = Preparation(20, 20, 3, "pad").apply(wide)
    assert (whole[:7].max(), whole[13:].max()) == (0, 0)  # black bars of 7.5 pixels above and below


def test_crop_keeps_the_middle() -> None:
    image = Image.new("L", (30, 10), 0)
    image.paste(200, (10, 0, 20, 10))
    assert Preparation(10, 10, 1, "crop").apply(image).min() == 200
    assert Preparation(10, 10, 1, "stretch").apply(image).min() == 0


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(Preparation(9, 7, 3).read(encoded(Image.fromarray(noise), "PNG")), noise)
    grey = Preparation(9, 7, 1).read(encoded(Image.fromarray(noise), "PNG"))
    assert np.array_equal(grey[..., 0], np.asarray(Image.fromarray(noise).convert("L")))
    assert np.array_equal(
        Preparation(9, 7, 3).read(encoded(Image.fromarray(noise).convert("L"), "PNG"))[..., 1:2], grey
    )


def test_a_large_photo_is_decoded_at_a_part_of_its_size() -> None:
    smooth = np.linspace(0, 255, 1600 * 1200 * 3).reshape(1200, 1600, 3).astype(np.uint8)
    content = encoded(Image.fromarray(smooth), "JPEG", quality=95)
    few = decode(content, (100, 100))
    assert few.size == (1200, 1600)
    assert few.image.width < 1600
    exact = Preparation(100, 100, 3).apply(decode(content).image).astype(int)
    assert np.abs(Preparation(100, 100, 3).apply(few.image) - exact).mean() < 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot identify image"),
        (b"<html>404</html>", "cannot identify image"),
        (encoded(halves(size=(200, 200)), "JPEG")[:900], "truncated"),
        (encoded(halves(size=(200, 200)), "PNG")[:100], "truncated"),
        (encoded(halves(), "PNG")[:-30], "truncated|broken"),
    ],
)
def test_damaged_files(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        decode(content)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "MAX_PIXELS", 1_000)
    with pytest.raises(ValueError, match=r"has 200x200 pixels, more than the maximum of 1,000"):
        decode(encoded(halves(size=(200, 200)), "PNG"))


@given(
    st.binary(max_size=300), st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]), st.integers(0, 400)
)
def test_whatever_is_in_a_file(noise: bytes, format: str, position: int) -> None:
    good = encoded(halves(), format)
    for content in (noise, good[:position] + noise + good[position + len(noise) :]):
        try:
            assert Preparation(4, 4, 3).read(content).shape == (4, 4, 3)
        except ValueError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(28, 28)] * 3, (28, 28)),
        ([(37, 29)] * 3, (37, 29)),
        ([(480, 640)] * 3, (168, 224)),
        ([(100, 100), (110, 90), (90, 120)], (96, 96)),
        ([(50, 100), (60, 110), (55, 105)], (56, 104)),
        ([(3, 3), (5, 5), (4, 4)], (8, 8)),
        ([(4000, 3000), (3000, 4000), (4000, 3000)], (224, 168)),
    ],
)
def test_the_size_comes_from_the_images(sizes: list[tuple[int, int]], chosen: tuple[int, int]) -> None:
    assert choose_size(sizes) == chosen


def test_arrays_become_bytes() -> None:
    def of(values: Sequence[float], kind: Any) -> list[int]:
        return list(as_bytes(np.array(values, kind))[0])

    assert of([0, 200], np.uint8) == of([0, 200], np.int64) == of([0, 200], np.float64) == [0, 200]
    assert of([0, 0.5, 1], np.float32) == [0, 128, 255]
    assert of([0, 65535], np.uint16) == of([0, 1], np.bool_) == [0, 255]
    for values, kind in (([-1, 0], np.int8), ([0, 256], np.float32), ([0, 70_000], np.int32), ([np.nan], np.float32)):
        with pytest.raises(ValueError, match=r"expected 0\.\.255"):
            of(values, kind)
