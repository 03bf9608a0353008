"""Tells which part of a dataset a word means, and which words only look as if they meant one."""

import re
from collections.abc import Iterable, Mapping, Sequence

PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "train_set", "training_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "val_set", "validation_set"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "test_set", "eval", "evaluation"), "test"),
}
"""The parts that the names of folders or words in a table mean; in lower case, with ``_`` for ``-`` and spaces."""
HINTS = {
    **{word: part for word, part in PART_NAMES.items() if word not in ("dev", "validate") and "_" not in word},
    **dict.fromkeys(("tests", "evaluate", "holdout", "heldout", "unseen", "query", "predict"), "test"),
}
"""Words that hint at a part if they stand among others."""
PLAIN = frozenset(
    {"data", "dataset", "file", "files", "folder", "image", "images", "img", "imgs", "photo", "photos"}
    | {"part", "picture", "pictures", "private", "public", "sample", "samples", "set", "split", "subset"}
)
"""Words that say nothing next to such a hint."""
SUSPECT = re.compile(
    r"(is|in(?!valid)|has|not|for|used?|cross)*"
    r"(train(ed|ing)?|trn|val(id|idate|idation)?|tests?|testing|tst|eval(uate|uation)?|holdout|heldout|unseen|query"
    r"|splits?|parts?|sets?|subsets?|partitions?|datasets?|phases?|stages?|usages?|purposes?)+"
    r"(flag|only)?"
)
"""A word in the name of a column that may tell parts, such as ``istest`` or ``traintest``."""


def parse_part(word: str) -> str | None:
    """Returns the part that a word means, or None.

    >>> parse_part("Training Set"), parse_part("daisy")
    ('train', None)
    """
    return PART_NAMES.get(word.strip().lower().replace("-", "_").replace(" ", "_"))


def guess_part(name: str) -> str | None:
    """Returns the part that a word in a name hints at, or None.

    >>> guess_part("PublicTest_2"), guess_part("contest")
    ('test', None)
    """
    hints = [HINTS[word] for word in split_words(name) if word in HINTS]
    return "train" if "train" in hints else next(iter(hints), None)


def find_look_alikes(names: Iterable[str]) -> list[str]:
    """Returns the names, such as those of folders in one folder, that look like parts though they do not mean any.

    These are names that hint at training and at another part, and are otherwise the same.

    >>> find_look_alikes(["train_images", "test_images"]), find_look_alikes(["seg_train", "seg_test", "cat"])
    (['test_images', 'train_images'], ['seg_test', 'seg_train'])
    >>> find_look_alikes(["train station", "test tube"]), find_look_alikes(["train", "test"])
    ([], [])
    """
    hints = _guess_parts(names)
    pairs = {(part, _strip_hints(name)) for name, part in hints.items()}
    shared = {rest for part, rest in pairs if part != "train" and ("train", rest) in pairs}
    return [name for name in hints if _strip_hints(name) in shared and not parse_part(name)]


def find_doubtful(names: Iterable[str]) -> list[str]:
    """Returns the names that may or may not mean parts.

    These are names that are nothing but a hint, and all names with hints if they hint at several parts.

    >>> find_doubtful(["cat", "Test Images"]), find_doubtful(["train station", "test tube"])
    (['Test Images'], ['test tube', 'train station'])
    >>> find_doubtful(["airport", "train station"]), find_doubtful(["train", "test"])
    ([], [])
    """
    hints = _guess_parts(names)
    is_divided = len({*hints.values()}) > 1
    return [name for name in hints if not parse_part(name) and (is_divided or not _strip_hints(name))]


def mentions_parts(column: str) -> bool:
    """Whether the name of a column holds a word that suggests parts.

    >>> mentions_parts("ISTEST"), mentions_parts("used_for_training"), mentions_parts("latest price")
    (True, True, False)
    """
    return any(SUSPECT.fullmatch(word) for word in split_words(column))


def split_words(name: str) -> Sequence[str]:
    """Returns the words of a name in lower case, without numbers; ``hold-out`` is one word.

    >>> split_words("PublicTest_2"), split_words("held out")
    (['public', 'test'], ['heldout'])
    """
    words = re.sub(r"[\W\d_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).lower()
    return re.sub(r"\b(hold|held) out\b", r"\1out", words).split()


def _guess_parts(names: Iterable[str]) -> Mapping[str, str]:
    return {name: part for name in sorted(set(names)) if (part := guess_part(name))}


def _strip_hints(name: str) -> Sequence[str]:
    """Returns the words of a name without those that hint at a part or say nothing."""
    return tuple(word for word in split_words(name) if word not in HINTS and word not in PLAIN)
