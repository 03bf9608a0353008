"""Takes the parts that a dataset lacks from its training images."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from searchcnn.data.collection import Collection
from searchcnn.data.dataset import Indices, Split
from searchcnn.data.near_copies import find_firsts
from searchcnn.errors import DataError
from searchcnn.study import DataConfig

EXCESS = 1
"""Images of a class that a part may have beyond its share: two near copies stay together in small classes, too."""


def divide(collection: Collection, config: DataConfig, seed: int) -> dict[str, Indices]:
    """Divides a collection into training, validation and test images.

    The parts that it has are kept. Those that it lacks are taken from its training images, with the same share of
    each class. Copies and near copies of an image stay together, unless a class is little else. Classes with too few
    images for all parts are only trained on.

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
    _, firsts, group = np.unique(_group(collection, pool, sizes), return_index=True, return_inverse=True)
    labels = collection.labels[pool[firsts]]  # of each group, the label of its first image
    weights = np.bincount(group[_find_different(collection.hashes[pool])])
    order = np.argsort(firsts)
    rest = order[_find_large_classes(labels[order], sizes)]
    parts = np.full(len(firsts), "train", "U10")
    for part, size in sizes.items():
        remaining = np.repeat(labels[rest], weights[rest])
        count = _count_images(f"data.{part}", size, np.repeat(labels, weights), remaining)
        try:
            others, selection = _choose(labels[rest], weights[rest], count, seed)
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


def _group(collection: Collection, pool: Indices, sizes: Mapping[str, float | int]) -> Indices:
    """Returns for each image of the pool the index in it of the first image that it stays together with.

    These are its copies and near copies. Where a class is little else, such as frames of one video, so that some part
    could not have its share of the class, only images with the same pixels stay together.
    """
    copies, same = find_firsts(collection.copies[pool]), find_firsts(collection.hashes[pool])
    if (copies == same).all():
        return same
    labels, weights = collection.labels[pool[copies]], np.bincount(copies[_find_different(same)], minlength=len(pool))
    for label in np.unique(labels):
        of_class = weights[(labels == label) & (copies == np.arange(len(pool)))]
        shares = [_count_share(size, of_class.sum(), len(pool)) for size in sizes.values()]
        if of_class[of_class <= min(shares, default=0) + EXCESS].sum() < sum(shares):
            copies = np.where(labels == label, same, copies)
    return copies


def _count_share(size: float | int, images: int, total: int) -> int:
    """Returns how many images of a class a part has, given the class's images and those of all classes."""
    return max(1, int(images * (size if isinstance(size, float) else size / total)))


def _find_different(hashes: npt.NDArray[np.integer]) -> Indices:
    """Returns the indices of the images without those that have the same pixels as one before them."""
    return np.asarray(np.unique(hashes, return_index=True)[1])


def _choose(labels: Indices, weights: Indices, count: int, seed: int) -> tuple[Indices, Indices]:
    """Returns the indices of groups but for some with ``count`` images, and of these; each class has its share.

    Args:
        labels: Label of each group.
        weights: Number of different images of each group.
        count: Number of images, about: a group is taken as a whole.
        seed: Chooses the groups.
    """
    if weights.max() == 1:
        return _stratify(labels, count, seed)
    of_class = np.bincount(labels, weights)
    ends = np.floor(np.cumsum(of_class) * count / of_class.sum() + 0.5)
    missing, left = np.diff(ends, prepend=0), np.bincount(labels)
    is_chosen = np.zeros(len(labels), np.bool_)
    for index in make_random_state(seed).permutation(len(labels)):
        label, weight = labels[index], weights[index]
        if left[label] > 1 and 0 < missing[label] >= weight - EXCESS:
            missing[label] -= weight
            left[label] -= 1
            is_chosen[index] = True
    return np.flatnonzero(~is_chosen), np.flatnonzero(is_chosen)


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
