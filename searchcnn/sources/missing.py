"""Missing labels: an image without one is left out, whatever its source holds instead."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data.findings import Finding

DOUBTFUL_LABELS = frozenset({"nan", "none", "null", "nil", "na", "n/a", "#n/a", "<na>", "nat"})
"""Words that may be the name of a class, such as a kind of bread, or mean that there is no label; in lower case."""


def is_missing(value: Any) -> bool:
    """Whether a label is missing: None, NaN, masked, or blank text.

    >>> is_missing(None), is_missing(float("nan")), is_missing(" "), is_missing("None"), is_missing(0)
    (True, True, True, False, False)
    """
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, str | bytes):
        return not value.strip()
    try:
        return bool(value != value)  # only NaN and NaT differ from themselves
    except TypeError:  # pandas.NA is neither equal nor different
        return True
    except ValueError:  # an array
        return False


def as_labels(labels: Any) -> npt.NDArray[Any]:
    """Returns labels as an array that keeps missing labels missing."""
    try:
        array = np.asarray(labels)
    except ValueError:  # one-hot rows, and None instead of some
        array = np.array(labels, object)
    if np.ma.is_masked(labels):
        array = np.where(np.ma.getmaskarray(labels), np.array(None), array.astype(object))
    elif isinstance(labels, list | tuple) and array.dtype.kind in "SU":
        array = np.array(labels, object)  # otherwise NaN next to text would become the text 'nan'
    elif array.dtype.kind == "T":  # text of any length, and None
        array = array.astype(object)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def are_present(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Returns for each label whether it is not missing, bool of shape (labels,)."""
    if labels.dtype.kind in "fc":
        is_empty: npt.NDArray[np.bool_] = np.isnan(labels.reshape(len(labels), -1)).all(axis=1)
        return ~is_empty
    if labels.dtype.kind in "OSU":
        rows = labels.reshape(len(labels), -1)
        return np.array([not all(map(is_missing, row)) for row in rows], np.bool_)
    return np.ones(len(labels), np.bool_)


def describe_missing(part: str, labels: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> Finding:
    """Returns a finding on the images without a label; the mask is that of `are_present`."""
    first, count = int(mask.argmin()), int((~mask).sum())
    what = f"{count:,} of {len(mask):,} images of {part} {'has' if count == 1 else 'have'} no label"
    return Finding("warning", what, f"image {first:,}: {labels[first]!s}".rstrip(": "), "left out")


def find_doubtful_labels(labels: Iterable[str]) -> Iterator[Finding]:
    """Finds labels that may be the name of a class or mean that there is none; only the user knows."""
    for word, count in Counter(label for label in labels if label.lower() in DOUBTFUL_LABELS).items():
        what = f"{count:,} label{' is' if count == 1 else 's are'} the word '{word}'"
        yield Finding("warning", what, "", "taken for a class; if it means that there is no label, leave it empty")
