"""Takes the parts that a dataset lacks from its training images."""

import numpy as np
import numpy.typing as npt

from searchcnn.data.collection import Collection
from searchcnn.data.dataset import Indices, Split
from searchcnn.errors import DataError
from searchcnn.study import DataConfig


def divide(collection: Collection, config: DataConfig, seed: int) -> dict[str, Indices]:
    """Divides a collection into training, validation and test images.

    The parts that it has are kept. Those that it lacks are taken from its training images, with the same share of
    each class. Copies of an image stay together, and classes with too few images for all parts are only trained on.

    Args:
        collection: Images of at least two classes.
        config: The size of the new parts: a fraction of the images that are divided, or a number of images.
        seed: Chooses the images; the same seed chooses the same ones.

    Returns:
        The indices of each part's images, int64 of shape (images,).

    Raises:
        DataError: If the images are too few for that.
    """
    pool = collection.find_part("train")
    existing = {part: indices for part in ("validation", "test") if len(indices := collection.find_part(part))}
    sizes = {
        part: size for part, size in (("test", config.test), ("validation", config.validation)) if part not in existing
    }
    _, firsts, group = np.unique(collection.hashes[pool], return_index=True, return_inverse=True)
    labels = collection.labels[pool[firsts]]  # of each different image, the label of its first copy
    order = np.argsort(firsts)
    rest = order[_find_large_classes(labels[order], sizes)]
    parts = np.full(len(firsts), "train", "U10")
    for part, size in sizes.items():
        count = _count_images(f"data.{part}", size, labels, labels[rest])
        try:
            others, selection = _stratify(labels[rest], count, seed)
        except ValueError as error:  # a class of which the previous part has taken all images but one
            raise DataError(
                f"data.{part} = {size}: {error}; make the parts smaller, or provide them yourself"
            ) from None
        parts[rest[selection]], rest = part, rest[others]
    return {"train": pool[parts[group] == "train"], **existing, **{part: pool[parts[group] == part] for part in sizes}}


def stratify(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Returns all but ``count`` samples, and these ``count`` samples; each class has the same share in both."""
    rest, selection = _stratify(split.labels, count, seed)
    return split.take(rest), split.take(selection)


def _find_large_classes(labels: Indices, sizes: dict[str, float | int]) -> npt.NDArray[np.bool_]:
    """Returns for each image whether its class has enough images for all parts.

    Raises:
        DataError: If fewer than two classes have enough.
    """
    least = len(sizes) + 1
    is_large = np.bincount(labels) >= least
    if sizes and is_large.sum() < 2:
        raise DataError(
            f"cannot make the parts {' and '.join(sizes)}: fewer than two classes have at least {least} different "
            "images; add images, or provide these parts yourself"
        )
    mask: npt.NDArray[np.bool_] = is_large[labels]
    return mask


def _stratify(labels: npt.NDArray[np.int64], count: int, seed: int) -> tuple[Indices, Indices]:
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(labels))
    rest, selection = train_test_split(indices, test_size=count, stratify=labels, random_state=make_random_state(seed))
    return rest, selection


def make_random_state(seed: int) -> np.random.RandomState:
    """Returns a random state for scikit-learn, whose own seeds have 32 bits only."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


def _count_images(key: str, size: float | int, all_labels: Indices, labels: Indices) -> int:
    """Returns how many images a part gets; if its size is a fraction, at least one of each class.

    Raises:
        DataError: If there are too few.
    """
    classes = len(np.unique(labels))
    most = len(labels) - classes
    count = max(round(size * len(all_labels)), classes) if isinstance(size, float) else size
    if not classes <= count <= most:
        meaning = f" is {count} images, which" if isinstance(size, float) else ""
        raise DataError(
            f"{key} = {size}{meaning} cannot be taken from {len(labels)} training images of {classes} classes; "
            f"expected {classes} to {most} images, so that each part can hold every class"
        )
    return count
