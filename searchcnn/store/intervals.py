"""Time that several processes have spent together."""

from collections.abc import Sequence


def covered(intervals: Sequence[tuple[float, float]]) -> float:
    """Returns the length of a union of intervals.

    >>> covered([(0, 2), (1, 3), (10, 11)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
