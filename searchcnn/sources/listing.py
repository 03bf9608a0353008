"""Lists datasets without reading or downloading them."""

from dataclasses import dataclass

from searchcnn.data.dataset import Shape
from searchcnn.sources import digits
from searchcnn.sources.builtin import BUILTIN
from searchcnn.sources.folders import list_folders
from searchcnn.sources.location import list_own_names, locate


@dataclass(frozen=True)
class DatasetInfo:
    """What is known about a dataset that has not been read.

    Attributes:
        name: Its name.
        source: Where it is, for people; None if it is not on this machine.
        tried: The folders in which it was looked for; like all of these, a key of ``searchcnn datasets --json``.
        shape: Shape of one image: (height, width, channels). This and the numbers below are None for the user's own
            datasets, about which nothing is known before they are read.
        train: Number of training images, those for validation included.
        test: Number of test images.
        classes: Number of classes.
    """

    name: str
    source: str | None
    tried: tuple[str, ...] = ()
    shape: Shape | None = None
    train: int | None = None
    test: int | None = None
    classes: int | None = None


def find_datasets() -> list[DatasetInfo]:
    """Returns every built-in dataset, then those in ``SEARCHCNN_DATA``.

    Raises:
        DataError: If ``SEARCHCNN_DATA`` is not a folder.
    """
    return [_describe_builtin(name) for name in BUILTIN] + [
        DatasetInfo(name, _find_source(name)) for name in list_own_names()
    ]


def _describe_builtin(name: str) -> DatasetInfo:
    builtin = BUILTIN[name]
    tried = () if builtin.origin is None else tuple(f"{what} ({path})" for what, path in list_folders().items())
    source = digits.SOURCE if builtin.origin is None else _find_source(name)
    return DatasetInfo(name, source, tried, builtin.shape, builtin.train, builtin.test, len(builtin.class_names))


def _find_source(name: str) -> str | None:
    location = locate(name)
    return str(location.path) if location else None
