"""The errors that searchcnn raises on purpose.

Every message says what happened, what was expected and how to fix it, in one line. The command line prints the message
alone and exits with the class's ``exit_code``; a traceback therefore always means a bug.

    SearchcnnError                 1
    ├── UsageError                 2   the command, a file or a value given by the user
    │   ├── StudyFileError         2   a study file or an override of one of its keys
    │   ├── DataError              2   images that cannot be found or read
    │   └── PluginError            2   a search space that cannot be found, loaded or built
    ├── StoreError                 1   a database or file of a study that cannot be used
    │   ├── StudyChangedError      1   the database holds another search than the one asked for
    │   └── ConnectionLostError    1   the database server does not answer
    └── StudyFailedError           1   the search had to stop, or has ended without a model

    InfeasibleError                    one trial that cannot be trained, for a reason the sampler learns from
"""

import difflib
import re
from collections.abc import Iterable

COLOURS = re.compile("\x1b\\[[0-9;]*m")
"""What colours text in a terminal."""
WHERE = (
    *("Exception encountered when calling", "Graph execution error", "Detected at node", "Stack trace for op"),
    *("Original stack trace", "File ", "[[", "Error occurred when", "node ", "(0)", "(1)", "0 successful", "..."),
)
"""Beginnings of the lines by which Keras and TensorFlow say where something happened, not what."""


class SearchcnnError(Exception):
    """Base of all errors meant for the user; the message is one line, whatever the names in it hold."""

    exit_code = 1

    def __str__(self) -> str:
        return make_printable(super().__str__())


class UsageError(SearchcnnError):
    """What was asked for is not valid; no trial was started."""

    exit_code = 2


class StudyFileError(UsageError):
    """A study file, or an override of one of its keys, is not valid."""


class DataError(UsageError):
    """A dataset cannot be found or read."""


class PluginError(UsageError):
    """A search space cannot be found, loaded or built."""


class StoreError(SearchcnnError):
    """A study's database or files cannot be used."""


class StudyChangedError(StoreError):
    """The database holds a search over another space, dataset or training recipe."""


class ConnectionLostError(StoreError):
    """The database server does not answer; it may do so again."""


class StudyFailedError(SearchcnnError):
    """The search had to stop, or has ended without a model; finished trials are safe."""


class InfeasibleError(Exception):
    """A sampled point that cannot be trained; the trial is pruned and the sampler learns to avoid it.

    Args:
        reason: Short and stable, for tables: ``"invalid graph"``, ``"max_params"``, ``"out of memory"``.
        detail: The numbers or the message behind it.
        excess: By how much a limit is exceeded, relative to it (0.5 is half too large); ``1.0`` where no size applies.
    """

    def __init__(self, reason: str, detail: str = "", excess: float = 1.0) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.excess = excess


def get_first_line(error: BaseException) -> str:
    r"""Returns an error's kind and the line of its message that tells what is wrong; see `get_message`.

    >>> get_first_line(ValueError("too small\nby far"))
    'ValueError: too small'
    """
    message = get_message(error)
    return type(error).__name__ if message == type(error).__name__ else f"{type(error).__name__}: {message}"


def get_message(error: BaseException) -> str:
    r"""Returns the line of an error's message that tells what is wrong; its kind if it has none.

    That is the first one. Keras and TensorFlow begin some messages with where it happened: then it is the last one
    before the arguments and the names of nodes.

    >>> get_message(ValueError("too small\nby far")), get_message(MemoryError())
    ('too small', 'MemoryError')
    >>> get_message(ValueError("Exception encountered when calling x\n\nToo small.\n\nArguments received by x"))
    'Too small.'
    """
    text = COLOURS.sub("", str(error)).partition("Arguments received by")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    telling = [line for line in lines if not line.startswith(WHERE)]
    return telling[-1] if telling and lines[0].startswith(WHERE) else lines[0]


def make_printable(text: str) -> str:
    r"""Returns a text in one line, without what would control a terminal or cannot be written.

    >>> make_printable("two\nlines\x1b")
    'two lines?'
    """
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.splitlines()))


def nearest(word: str, words: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the one of some words that is most like ``word``, or an empty string.

    >>> nearest("epoch", ["epochs", "batch_size"])
    "; did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
