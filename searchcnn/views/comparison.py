"""What a result is compared with: the study's other search spaces, and what others have published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from searchcnn.text import listed, objective
from searchcnn.views.tables import space_table

if TYPE_CHECKING:
    from searchcnn.store import SpaceSummary, StudySummary, TrialSummary


def compared_spaces(summary: StudySummary) -> Iterator[str | Table]:
    """Yields a table of a study's search spaces and one sentence about them; nothing where there is only one."""
    spaces = summary.spaces
    if len(spaces) > 1 and summary.finished_count:
        yield space_table(spaces, summary.config.search.objective)
        yield verdict(spaces)


def verdict(spaces: Sequence[SpaceSummary]) -> str:
    """Returns which search space won, over what, and what the others' best networks cost beside its own.

    Args:
        spaces: The search spaces, the best first.
    """
    won, *others = spaces
    if won.best is None:
        return f"no complete trial yet of {listed([space.name for space in spaces])}"
    score = objective(won.best.value)
    is_level = any(other.best and objective(other.best.value) == score for other in others)
    beaten = [_beside(won.best, other.name, other.best) for other in others if other.best]
    without = [other.name for other in others if not other.best]
    against = f" against {listed(beaten)}"
    if not beaten:
        return f"only {won.name} has a complete trial: {score}"
    missing = f"; no complete trial of {listed(without)}" if without else ""
    return f"{won.name} {'was the first at' if is_level else 'won:'} {score}{against}{missing}"


def _beside(best: TrialSummary, name: str, other: TrialSummary) -> str:
    ratio = other.facts["macs"] / max(1, best.facts["macs"])
    return f"{name} {objective(other.value)} (with {ratio:.2g}x the MACs)"


def beside_published(accuracy: float, published: Mapping[str, float]) -> Iterator[str]:
    """Yields one line for each published score, the best first: what it is, and how far ours is from it."""
    for name, score in best_first(published):
        gap = round(accuracy - score, 4)
        ours = f"{abs(gap):.4f} {'higher' if gap > 0 else 'lower'}" if gap else "the same"
        yield f"published: {name} {score:.4f} (ours is {ours})"


def best_first(published: Mapping[str, float]) -> list[tuple[str, float]]:
    """Returns published scores with the names of their networks, the best first."""
    return sorted(published.items(), key=lambda item: -item[1])
