"""What can be read is said in one table: messages, documentation, suffixes and Pillow agree with it."""

import io
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from searchcnn.data.formats import FORMAT_NAMES, HEIC, IMAGE_FORMATS, IMAGE_SUFFIXES, ImageFormat, suggest_extra
from searchcnn.data.preparation import decode
from searchcnn.errors import SearchcnnError
from searchcnn.results.prediction import list_images
from searchcnn.sources.layout import arrange, is_image

ROOT = Path(__file__).parents[2]


def list_words(text: str) -> set[str]:
    return set(text.replace(" or ", ", ").split(", "))


def test_the_sentence_names_every_format() -> None:
    assert list_words(FORMAT_NAMES) == {format.name for format in IMAGE_FORMATS if format != HEIC}
    assert len(IMAGE_FORMATS) == 8 + (find_spec("pi_heif") is not None)


@pytest.mark.skipif(find_spec("pi_heif") is not None, reason="HEIC is read")
def test_what_reads_heic_is_named() -> None:
    hint = "; pip install 'searchcnn[heic]' to read HEIC"
    assert suggest_extra([".heic", ".txt"]) == hint
    assert not suggest_extra([".txt"])
    with pytest.raises(SearchcnnError) as caught:
        arrange("phone", ["cat/1.HEIC"])
    assert str(caught.value).endswith(hint)


def test_messages_name_every_format(tmp_path: Path) -> None:
    messages = [str(arrange("pets", ["cat/1.png", "cat/2.heic"]).findings[0])]
    with pytest.raises(SearchcnnError) as caught:
        arrange("pets", [])
    messages.append(str(caught.value))
    with pytest.raises(SearchcnnError) as caught:
        list_images([tmp_path])
    messages.append(str(caught.value))
    for message in messages:
        assert FORMAT_NAMES in message


def test_the_documentation_names_every_format() -> None:
    page = (ROOT / "docs" / "how-to" / "use-your-own-images.md").read_text(encoding="utf-8")
    assert f"Image files are {FORMAT_NAMES}, of any size" in page


@pytest.mark.parametrize("format", IMAGE_FORMATS, ids=lambda format: format.name)
def test_files_of_the_format_are_images_and_can_be_read(format: ImageFormat) -> None:
    Image.init()
    if format.pillow not in Image.SAVE:
        pytest.skip("needs a Pillow that reads this format")
    assert {Image.EXTENSION[suffix] for suffix in format.suffixes} == {format.pillow}
    assert all(is_image(f"cat/1{suffix.upper()}") for suffix in format.suffixes)
    file = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(file, format.pillow)
    assert decode(file.getvalue()).size == (4, 6)


def test_no_suffix_belongs_to_two_formats() -> None:
    assert len(IMAGE_SUFFIXES) == sum(len(format.suffixes) for format in IMAGE_FORMATS)
