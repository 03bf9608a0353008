"""The handwritten digits that come with scikit-learn."""

import numpy as np

from searchcnn.data.dataset import Arrays, Split
from searchcnn.data.division import stratify
from searchcnn.sources.builtin import BUILTIN

SOURCE = "scikit-learn"
_LARGEST = 16
_TEST_SEED = 0


def read() -> Arrays:
    """Returns 1,797 images of 8 x 8 pixels; the same fifth of them is the test part of every study."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / _LARGEST)).astype(np.uint8)
    split = Split(pixels[..., np.newaxis], digits.target.astype(np.int64))
    train, test = stratify(split, BUILTIN["digits"].test, _TEST_SEED)
    return Arrays({"train": train, "test": test})
