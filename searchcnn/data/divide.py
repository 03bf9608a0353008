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
    wanted = {
        part: size for part, size in (("test", config.test), ("validation", config.validation)) if part not in given
    }
    made: dict[str, Indices] = {}
    least = len(wanted) + 1
    rest, few = _apart(collection, pool, least)
    if wanted and len(set(collection.labels[rest].tolist())) < 2:
        raise DataError(
            f"cannot make the parts {' and '.join(wanted)}: fewer than two classes have at least {least} different "
            "images; add images, or give these parts yourself"
        )
    for part, size in wanted.items():
        count = _count(f"data.{part}", size, len(pool), rest, collection)
        rest, made[part] = _take(collection, rest, count, seed)
    return {"train": np.sort(np.concatenate([rest, few])), **given, **made}


def stratified(whole: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Returns all but ``count`` samples, and these ``count`` samples; each class has the same share in both."""
    rest, part = _stratified(whole.labels, count, seed)
    return whole.take(rest), whole.take(part)


def _apart(collection: Collection, pool: Indices, least: int) -> tuple[Indices, Indices]:
    """Sets the images of those classes apart that have fewer than ``least`` different images."""
    pairs = np.unique(np.stack([collection.labels[pool].astype(np.uint64), collection.hashes[pool]]), axis=1)
    counts = np.bincount(pairs[0].astype(np.int64), minlength=len(collection.class_names))
    is_few = counts[collection.labels[pool]] < least
    return pool[~is_few], pool[is_few]


def _take(collection: Collection, pool: Indices, count: int, seed: int) -> tuple[Indices, Indices]:
    """Takes images out of a pool; copies of an image go where the first of them goes."""
    _, part = _stratified(collection.labels[pool], count, seed)
    _, firsts, copies = np.unique(collection.hashes[pool], return_index=True, return_inverse=True)
    is_taken = np.zeros(len(pool), bool)
    is_taken[part] = True
    is_taken = is_taken[firsts][copies]
    return pool[~is_taken], pool[is_taken]


def _stratified(labels: npt.NDArray[np.int64], count: int, seed: int) -> tuple[Indices, Indices]:
    from sklearn.model_selection import train_test_split

    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))  # any seed, not only 32 bits
    rest, part = train_test_split(np.arange(len(labels)), test_size=count, stratify=labels, random_state=random)
    return rest, part


def _count(key: str, size: float | int, whole: int, pool: Indices, collection: Collection) -> int:
    """Returns how many images a part gets: of a fraction at least one of each class.

    Raises:
        DataError: If there are too few.
    """
    classes = len(np.unique(collection.labels[pool]))
    most = len(pool) - classes
    count = max(round(size * whole), classes) if isinstance(size, float) else size
    if not classes <= count <= most:
        meant = f" is {count} images, which" if isinstance(size, float) else ""
        raise DataError(
            f"{key} = {size}{meant} cannot be taken from {len(pool)} training images of {classes} classes; expected "
            f"{classes} to {most} images, so that each part can hold every class"
        )
    return count
