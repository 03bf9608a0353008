"""Tells which part of a dataset a word means, and which words only look as if they meant one."""

import re
from collections.abc import Iterable, Sequence

PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "train_set", "training_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "val_set", "validation_set"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "test_set", "eval", "evaluation"), "test"),
}
"""The part that a folder, or a word in a table, means; in lower case, with ``_`` for ``-`` and spaces."""
HINTS = {
    **{word: part for word, part in PART_NAMES.items() if word not in ("dev", "validate") and "_" not in word},
    **dict.fromkeys(("holdout", "heldout"), "test"),
}
"""Words that hint at a part where they stand among others."""
PLAIN = frozenset(
    {"data", "dataset", "file", "files", "folder", "image", "images", "img", "imgs", "photo", "photos"}
) | (frozenset({"part", "picture", "pictures", "sample", "samples", "set", "split", "subset"}))
"""Words that say nothing beside such a hint."""


def part_of(word: str) -> str | None:
    """Returns the part that a word means, or None.

    >>> part_of("Training Set"), part_of("daisy")
    ('train', None)
    """
    return PART_NAMES.get(word.strip().lower().replace("-", "_").replace(" ", "_"))


def look_alikes(names: Iterable[str]) -> list[str]:
    """Returns those of some names, of folders side by side, say, that look like parts though they mean none.

    These are names of a hint and nothing else, and all with hints where some are at training and some are not.

    >>> look_alikes(["train_images", "test_images"]), look_alikes(["seg_train", "seg_test"])
    (['test_images', 'train_images'], ['seg_test', 'seg_train'])
    >>> look_alikes(["airport", "train station"]), look_alikes(["train", "test"])
    ([], [])
    """
    words = {name: split_words(name) for name in sorted(set(names))}
    hints = {name: {HINTS[word] for word in words[name] if word in HINTS} for name in words}
    meant = set().union(*hints.values())
    is_divided = "train" in meant and len(meant) > 1
    return [
        name
        for name in words
        if hints[name] and not part_of(name) and (is_divided or {*words[name]} <= {*HINTS, *PLAIN})
    ]


def split_words(name: str) -> Sequence[str]:
    """Returns the words of a name in lower case, without numbers.

    >>> split_words("PublicTest_2")
    ['public', 'test']
    """
    return [word for word in re.split(r"[\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()) if word]
