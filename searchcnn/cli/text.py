"""Numbers, times and trials as people read them."""

from collections.abc import Mapping
from typing import Any

from searchcnn.words import amount, listed, point, short

__all__ = ["STYLES", "amount", "duration", "listed", "note", "objective", "point", "short"]

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
