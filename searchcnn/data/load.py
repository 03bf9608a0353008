"""Loads a study's dataset."""

from searchcnn.data import digits
from searchcnn.data.builtin import BUILTIN, NAMES
from searchcnn.data.classes import reduce, select_classes
from searchcnn.data.dataset import Dataset, Undivided, fingerprint
from searchcnn.data.divide import divide
from searchcnn.data.download import download
from searchcnn.data.locate import locate, own_names
from searchcnn.data.places import VARIABLE
from searchcnn.errors import DataError, nearest
from searchcnn.study import DataConfig


def load_dataset(config: DataConfig, seed: int) -> Dataset:
    """Finds or downloads a dataset and takes the validation part out of its training images.

    Args:
        config: The dataset's name, the size of the validation part and the classes.
        seed: Chooses the validation images, with the same share of each class.

    Raises:
        DataError: If the dataset cannot be found or read, or cannot be reduced or divided so.
    """
    undivided, source = _fetched(config.name)
    class_names = _checked_names(undivided, config.name, source)
    kept = select_classes(config.classes, class_names, source)
    whole, test = (reduce(part, class_names, kept) for part in (undivided.train, undivided.test))
    train, validation = divide(whole, config.validation, seed, kept)
    return Dataset(config.name, source, kept, train, validation, test, fingerprint(whole, test, kept))


def _fetched(name: str) -> tuple[Undivided, str]:
    if name == "digits":
        return digits.read(), digits.SOURCE
    if (location := locate(name)) is not None:
        return location.read(), str(location.path)
    if name not in BUILTIN:
        raise _unknown(name)
    return download(name)


def _unknown(name: str) -> DataError:
    known = [*NAMES, *own_names()]
    hint = nearest(name, known) or f"; known: {', '.join(known)}"
    return DataError(
        f"no dataset named '{name}'{hint}; for your own images, set {VARIABLE} to a folder that holds "
        "<name>/train/<class>/ and <name>/test/<class>/, an archive of them, or <name>.npz"
    )


def _checked_names(undivided: Undivided, name: str, source: str) -> tuple[str, ...]:
    """Returns the class names, once images and labels agree with them and with what is known of the dataset."""
    known = BUILTIN.get(name)
    shapes = undivided.train.images.shape[1:], undivided.test.images.shape[1:]
    expected = known.shape if known else shapes[0]
    if shapes != (expected, expected):
        raise DataError(
            f"{source}: holds images of {shapes[0]} (train) and {shapes[1]} (test), expected {expected} for {name} "
            "(height, width, channels); replace it with the right files"
        )
    largest = int(max(undivided.train.labels.max(), undivided.test.labels.max()))
    names = undivided.class_names or (known.class_names if known else tuple(map(str, range(largest + 1))))
    wanted = len(known.class_names) if known else len(names)
    if largest >= wanted or len(names) != wanted:
        raise DataError(
            f"{source}: holds labels up to {largest} and {len(names)} class names, expected {wanted} classes for {name}"
            "; replace it with the right files"
        )
    return names
