"""Numbers, times and trials as people read them."""

import math
import time
from collections.abc import Mapping
from typing import Any

from searchcnn.text import amount, listed, point, short

__all__ = [
    "STYLES",
    "Remaining",
    "amount",
    "duration",
    "gain",
    "interval",
    "listed",
    "note",
    "objective",
    "point",
    "short",
]

STYLES: Mapping[str, str] = {
    "COMPLETE": "green",
    "PRUNED": "yellow",
    "FAIL": "red",
    "RUNNING": "cyan",
    "WAITING": "dim",
}
"""Colour of each trial state."""


def duration(seconds: float) -> str:
    """Returns a time span.

    >>> duration(9.21), duration(75), duration(3 * 3600 + 62)
    ('9.2s', '1m15s', '3h01m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


class Remaining:
    """How long something will still take, by what was done since it was first asked.

    Args:
        done: The part that was done then, 0..1.
    """

    def __init__(self, done: float) -> None:
        self._done = done
        self._began = time.monotonic()
        self.is_told = False

    @property
    def elapsed(self) -> float:
        """Seconds since it was first asked."""
        return time.monotonic() - self._began

    def seconds(self, done: float) -> float:
        """Returns the seconds that are left, given the part that is done; infinity before anything is."""
        return self.elapsed * (1 - done) / (done - self._done) if done > self._done else math.inf


def gain(value: float | None, facts: Mapping[str, Any]) -> str:
    """Returns what the epochs of a trial have added to its softmax layer on features.

    >>> gain(0.92, {"solved": 0.9, "tuned": True}), gain(0.9, {})
    ('+0.0200 by fine-tuning', '')

    Args:
        value: The trial's objective.
        facts: What is known of it.
    """
    if value is None or not facts.get("tuned"):
        return ""
    return f"{value - facts['solved']:+.4f} by fine-tuning"


def interval(accuracy: float, images: int) -> str:
    """Returns the 95 % interval of an accuracy that was measured on so many images (Wilson 1927).

    >>> interval(0.95, 20)
    '95 % interval 0.764 to 0.991'
    """
    from scipy.stats import binomtest

    low, high = binomtest(round(accuracy * images), images).proportion_ci(method="wilson")
    return f"95 % interval {low:.3f} to {high:.3f}"


def objective(value: float | None) -> str:
    """Returns an objective, four digits after the point."""
    return "" if value is None else f"{value:.4f}"


def note(facts: Mapping[str, Any]) -> str:
    """Returns what is remarkable about a trial: where it comes from, why it ended."""
    reason, detail = facts.get("reason", ""), facts.get("detail", "")
    if reason in ("pruner", "timeout"):
        reason = ""
    ending = "cut by the timeout" if facts.get("stopped") == "timeout" else ""
    why = f"{reason}: {detail}" if reason and detail else reason
    return ", ".join(part for part in (facts.get("origin", ""), why, ending) if part)
