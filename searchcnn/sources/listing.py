"""Lists datasets without reading or downloading them."""

from dataclasses import dataclass

from searchcnn.data.dataset import Shape
from searchcnn.sources import digits
from searchcnn.sources.builtin import BUILTIN
from searchcnn.sources.folders import list_folders
from searchcnn.sources.location import list_own_names, locate


@dataclass(frozen=True)
class DatasetInfo:
    """One dataset, and where it is now.

    Attributes:
        name: Its name.
        source: Where it is, for people; None when it is not on this machine.
        tried: The places it was looked for in.
        shape: Shape of one image: (height, width, channels). This and the numbers below are None for a dataset of the
            user's own, of which nothing is known before it is read.
        train: Number of training images, those for validation included.
        test: Number of test images.
        classes: Number of classes.
    """

    name: str
    source: str | None
    searched: tuple[str, ...] = ()
    shape: Shape | None = None
    train: int | None = None
    test: int | None = None
    classes: int | None = None


def find_datasets() -> list[DatasetInfo]:
    """Returns every built-in dataset, then those in ``SEARCHCNN_DATA``.

    Raises:
        DataError: If ``SEARCHCNN_DATA`` names no folder.
    """
    return [_describe_builtin(name) for name in BUILTIN] + [
        DatasetInfo(name, _find_source(name)) for name in list_own_names()
    ]


def _describe_builtin(name: str) -> DatasetInfo:
    known = BUILTIN[name]
    tried = () if known.origin is None else tuple(f"{what} ({path})" for what, path in list_folders().items())
    source = digits.SOURCE if known.origin is None else _find_source(name)
    return DatasetInfo(name, source, tried, known.shape, known.train, known.test, len(known.class_names))


def _find_source(name: str) -> str | None:
    location = locate(name)
    return str(location.path) if location else None
