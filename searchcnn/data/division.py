"""Takes the parts that a dataset lacks out of its training images."""

import numpy as np
import numpy.typing as npt

from searchcnn.data.collection import Collection
from searchcnn.data.dataset import Split
from searchcnn.errors import DataError
from searchcnn.study import DataConfig

Indices = npt.NDArray[np.int64]


def divide(collection: Collection, config: DataConfig, seed: int) -> dict[str, Indices]:
    """Divides a collection into training, validation and test images.

    The parts that it has are kept. Those that it lacks are taken out of its training images, with the same share of
    each class. Copies of an image stay together, and classes with too few images for all parts are only trained on.

    Args:
        collection: Images of at least two classes.
        config: The size of the parts that are made: a fraction of the images that are divided, or a number.
        seed: Chooses the images; the same seed chooses the same ones.

    Returns:
        The places of each part's images, int64 of shape (images,).

    Raises:
        DataError: If the images are too few for that.
    """
    pool = collection.indices("train")
    given = {part: indices for part in ("validation", "test") if len(indices := collection.indices(part))}
    sizes = {
        part: size for part, size in (("test", config.test), ("validation", config.validation)) if part not in given
    }
    _, firsts, group = np.unique(collection.hashes[pool], return_index=True, return_inverse=True)
    labels = collection.labels[pool[firsts]]  # of each different image, that of its first copy
    order = np.argsort(firsts)
    rest, taken = order[_enough(labels[order], sizes)], np.full(len(firsts), "train", "U10")
    for part, size in sizes.items():
        count = _count(f"data.{part}", size, labels, labels[rest])
        try:
            kept, chosen = _stratified(labels[rest], count, seed)
        except ValueError as error:  # a class of which the part before has taken all but one
            raise DataError(f"data.{part} = {size}: {error}; make the parts smaller, or give them yourself") from None
        taken[rest[chosen]], rest = part, rest[kept]
    return {"train": pool[taken[group] == "train"], **given, **{part: pool[taken[group] == part] for part in sizes}}


def stratified(whole: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Returns all but ``count`` samples, and these ``count`` samples; each class has the same share in both."""
    rest, part = _stratified(whole.labels, count, seed)
    return whole.take(rest), whole.take(part)


def _enough(labels: Indices, sizes: dict[str, float | int]) -> npt.NDArray[np.bool_]:
    """Tells of each image whether its class has enough images for all parts.

    Raises:
        DataError: If fewer than two classes have.
    """
    least = len(sizes) + 1
    is_enough = np.bincount(labels) >= least
    if sizes and is_enough.sum() < 2:
        raise DataError(
            f"cannot make the parts {' and '.join(sizes)}: fewer than two classes have at least {least} different "
            "images; add images, or give these parts yourself"
        )
    enough: npt.NDArray[np.bool_] = is_enough[labels]
    return enough


def _stratified(labels: npt.NDArray[np.int64], count: int, seed: int) -> tuple[Indices, Indices]:
    from sklearn.model_selection import train_test_split

    places = np.arange(len(labels))
    rest, part = train_test_split(places, test_size=count, stratify=labels, random_state=random_state(seed))
    return rest, part


def random_state(seed: int) -> np.random.RandomState:
    """Returns what draws for scikit-learn, which takes seeds of 32 bits only."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


def _count(key: str, size: float | int, all_labels: Indices, labels: Indices) -> int:
    """Returns how many images a part gets: of a fraction at least one of each class.

    Raises:
        DataError: If there are too few.
    """
    classes = len(np.unique(labels))
    most = len(labels) - classes
    count = max(round(size * len(all_labels)), classes) if isinstance(size, float) else size
    if not classes <= count <= most:
        meant = f" is {count} images, which" if isinstance(size, float) else ""
        raise DataError(
            f"{key} = {size}{meant} cannot be taken from {len(labels)} training images of {classes} classes; expected "
            f"{classes} to {most} images, so that each part can hold every class"
        )
    return count
