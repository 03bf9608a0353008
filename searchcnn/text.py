"""Numbers, lists and points of a search space in words."""

from collections.abc import Mapping, Sequence
from typing import Any

TIMES = "\N{MULTIPLICATION SIGN}"
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def amount(number: float | None) -> str:
    """Returns a number with a unit.

    >>> amount(62_346), amount(1_250_000), amount(None)
    ('62.3k', '1.25M', '')
    """
    if number is None:
        return ""
    for size, unit in UNITS:
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def point(hyperparameters: Mapping[str, Any]) -> str:
    """Returns hyperparameters in one line."""
    return "  ".join(f"{name}={short(value)}" for name, value in hyperparameters.items())


def short(value: Any) -> str:
    """Returns a value, floats with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def listed(words: Sequence[str]) -> str:
    """Returns words as a sentence lists them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
