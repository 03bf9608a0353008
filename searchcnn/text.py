"""Numbers, times, lists and trials in words, as people read them."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

TIMES = "\N{MULTIPLICATION SIGN}"
ENDINGS: Mapping[str, str] = {
    "max_": "too large",
    "out of memory": "too large for the memory",
    "invalid graph": "no valid network",
    "nearly trial": "nearly like another",
    "timeout": "cut by the timeout",
}
"""Why a point is not trained, in words, by what the reason begins with; other reasons are words."""
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_amount(number: float | None) -> str:
    """Returns a number with a unit.

    >>> format_amount(62_346), format_amount(1_250_000), format_amount(None)
    ('62.3k', '1.25M', '')
    """
    if number is None:
        return ""
    for size, unit in UNITS:
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def format_point(hyperparameters: Mapping[str, Any]) -> str:
    """Returns hyperparameters and their values in one line."""
    return "  ".join(f"{name}={format_value(value)}" for name, value in hyperparameters.items())


def format_value(value: Any) -> str:
    """Returns a value as text; floats have three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def join_words(words: Sequence[str]) -> str:
    """Joins words as in a sentence.

    >>> join_words(["a"]), join_words(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def split_numbers(text: str) -> tuple[tuple[str, int, str], ...]:
    """Returns what sorts texts in natural order: the numbers in them by their size.

    >>> sorted(["10", "2", "b"], key=split_numbers)
    ['2', '10', 'b']
    """
    parts = re.findall(r"(\D*)(\d*)", text)
    return tuple((words, int(digits or 0), digits) for words, digits in parts)


def format_count(number: int, noun: str) -> str:
    """Returns a number of things.

    >>> format_count(1, "trial"), format_count(2000, "class")
    ('1 trial', '2,000 classes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def format_duration(seconds: float) -> str:
    """Returns a time span in words.

    >>> format_duration(9.21), format_duration(75), format_duration(3 * 3600 + 62)
    ('9.2s', '1m15s', '3h01m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def format_gain(value: float | None, facts: Mapping[str, Any]) -> str:
    """Returns how much fine-tuning has improved a trial over a softmax layer on fixed features.

    >>> format_gain(0.92, {"solved": 0.9, "tuned": True}), format_gain(0.9, {})
    ('+0.0200 by fine-tuning', '')

    Args:
        value: The value of the trial's objective.
        facts: What is known about the trial.
    """
    if value is None or not facts.get("tuned"):
        return ""
    return f"{value - facts['solved']:+.4f} by fine-tuning"


def compute_interval(accuracy: float, images: int) -> tuple[float, float]:
    """Returns the ends of the 95 % confidence interval of an accuracy on a number of images (Wilson 1927)."""
    from scipy.stats import binomtest

    low, high = binomtest(round(accuracy * images), images).proportion_ci(method="wilson")
    return float(low), float(high)


def format_interval(accuracy: float, images: int) -> str:
    """Returns the 95 % interval of an accuracy that was measured on a number of images (Wilson 1927).

    >>> format_interval(0.95, 20)
    '95 % interval 0.764 to 0.991'
    """
    low, high = compute_interval(accuracy, images)
    return f"95 % interval {low:.3f} to {high:.3f}"


def format_score(value: float | None) -> str:
    """Returns a value of a metric, four digits after the point."""
    return "" if value is None else f"{value:.4f}"


def describe_endings(reasons: Iterable[str]) -> str:
    """Returns why points were not trained, and how many for each reason, the most frequent first.

    >>> describe_endings(["max_params", "nearly trial 3", "max_macs"])
    '2 too large, 1 nearly like another'
    """
    words = (next((word for key, word in ENDINGS.items() if reason.startswith(key)), reason) for reason in reasons)
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())


def format_note(facts: Mapping[str, Any]) -> str:
    """Returns what is worth noting about a trial: why it ended, where it comes from."""
    reason, detail = facts.get("reason", ""), facts.get("detail", "")
    if reason in ("pruner", "timeout"):
        reason = ""
    ending = "cut by the timeout" if facts.get("stopped") == "timeout" else ""
    failure = f"{reason}: {detail}" if reason and detail else reason
    return ", ".join(part for part in (failure, ending, facts.get("origin", "")) if part)
