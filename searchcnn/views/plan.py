"""The plan for the time, in words."""

from searchcnn.events import Planned
from searchcnn.text import format_count, format_duration


def format_plan(plan: Planned, ago: float = 0.0) -> str:
    """Returns what the plan for the time is.

    Args:
        plan: What was decided.
        ago: Seconds since then.

    >>> format_plan(Planned(networks=12, promoted=4, is_last=False, seconds=100, last_seconds=300))
    'exploring: 12 networks, 4 of them went on; in 1m40s the best is trained to the end, for 5m00s'
    >>> format_plan(Planned(networks=27, promoted=9, is_last=True, seconds=0, last_seconds=290), ago=50)
    'the best of 27 networks is trained to the end: 4m00s left'
    >>> format_plan(Planned(networks=1, promoted=0, is_last=False))
    'exploring: 1 network; then the best are trained to the end'
    """
    networks = format_count(plan.networks, "network")
    if plan.is_last:
        left = "" if plan.last_seconds is None else f": {_format_rest(plan.last_seconds, ago)} left"
        return f"the best of {networks} is trained to the end{left}"
    went_on = f", {plan.promoted} of them went on" if plan.promoted else ""
    if plan.seconds is None or plan.last_seconds is None:
        return f"exploring: {networks}{went_on}; then the best are trained to the end"
    until, last = _format_rest(plan.seconds, ago), format_duration(plan.last_seconds)
    return f"exploring: {networks}{went_on}; in {until} the best is trained to the end, for {last}"


def _format_rest(seconds: float, ago: float) -> str:
    return format_duration(max(0.0, seconds - ago))
