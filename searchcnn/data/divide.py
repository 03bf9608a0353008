"""Divides training images into those that train and those that select."""

import numpy as np

from searchcnn.data.dataset import Split
from searchcnn.errors import DataError


def divide(whole: Split, part: float | int, seed: int, class_names: tuple[str, ...]) -> tuple[Split, Split]:
    """Takes the validation images out of the training images.

    Args:
        whole: All training images.
        part: Validation images: a fraction below 1, or a number of images.
        seed: Chooses the images; the same seed chooses the same ones.
        class_names: Name of each class by label.

    Returns:
        The images to train on and the images to validate with; each class has the same share in both.

    Raises:
        DataError: If the images are too few for that.
    """
    _check_classes(whole, class_names)
    count = round(part * len(whole)) if isinstance(part, float) else part
    _check_count(count, part, len(whole), len(class_names))
    return stratified(whole, count, seed)


def stratified(whole: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Returns all but ``count`` samples, and these ``count`` samples; each class has the same share in both."""
    from sklearn.model_selection import train_test_split

    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))  # any seed, not only 32 bits
    rest, part = train_test_split(np.arange(len(whole)), test_size=count, stratify=whole.labels, random_state=random)
    return whole.take(rest), whole.take(part)


def _check_classes(whole: Split, class_names: tuple[str, ...]) -> None:
    counts = np.bincount(whole.labels, minlength=len(class_names))
    fewest = int(counts.argmin())
    if counts[fewest] < 2:
        raise DataError(
            f"class '{class_names[fewest]}' has {counts[fewest]} training images, expected at least 2: "
            "one to train on and one to validate with; add images or leave the class out"
        )


def _check_count(count: int, part: float | int, images: int, classes: int) -> None:
    if not classes <= count <= images - classes:
        meant = f" is {count} images, which" if isinstance(part, float) else ""
        raise DataError(
            f"data.validation = {part}{meant} cannot be taken from {images} training images of {classes} classes; "
            f"expected {classes} to {images - classes} images, so that both parts can hold every class"
        )
