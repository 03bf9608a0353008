"""Compares results: a study's search spaces with each other, and a score with published ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from searchcnn.results import Leaderboard
from searchcnn.text import format_count, format_score, join_words
from searchcnn.views.tables import FittingTable, make_space_table

if TYPE_CHECKING:
    from searchcnn.store import SpaceSummary, StudySummary, TrialSummary

MAX_TIES = 5
"""Number of trials as good as the best one that are listed."""


def compare_spaces(summary: StudySummary) -> Iterator[str | FittingTable]:
    """Yields a table of a study's search spaces and a sentence about them; nothing if there is only one."""
    spaces = summary.spaces
    if len(spaces) > 1 and summary.finished_count:
        yield make_space_table(spaces, summary.config.objective.metric)
        yield format_verdict(spaces)


def format_verdict(spaces: Sequence[SpaceSummary]) -> str:
    """Says which search space won, against which others, and how much their best networks cost compared with its own.

    Args:
        spaces: The search spaces, the best first.
    """
    winner, *others = spaces
    if winner.best is None:
        return f"no complete trial yet of {join_words([space.name for space in spaces])}"
    score = format_score(winner.best.value)
    is_level = any(other.best and format_score(other.best.value) == score for other in others)
    rivals = [_format_rival(winner.best, other.name, other.best) for other in others if other.best]
    missing = [other.name for other in others if not other.best]
    if not rivals:
        return f"only {winner.name} has a complete trial: {score}"
    without = f"; no complete trial of {join_words(missing)}" if missing else ""
    verb = "was the first at" if is_level else "won:"
    return f"{winner.name} {verb} {score} against {join_words(rivals)}{without}"


def _format_rival(best: TrialSummary, name: str, other: TrialSummary) -> str:
    ratio = other.facts["macs"] / max(1, best.facts["macs"])
    return f"{name} {format_score(other.value)} (with {ratio:.2g}x the MACs)"


def describe_ties(board: Leaderboard) -> Iterator[str]:
    """Yields which trial is as good as the best one, as far as the validation images can tell, at the least work."""
    best = board.summary.best
    if best is None or board.images is None or not board.ties:
        return
    cheapest, *others = board.ties
    noise = f"within the noise of {format_count(board.images, 'validation image')}"
    score = f"Trial {cheapest.number} is as good{_format_work(cheapest, best)}: {format_score(cheapest.value)}, {noise}"
    yield f"{score}; so {_list_trials(others)}" if others else score


def _format_work(trial: TrialSummary, best: TrialSummary) -> str:
    """Returns which part of another network's multiply-accumulates a network takes; empty if it is not less."""
    part = trial.facts.get("macs", math.inf) / max(1, best.facts.get("macs", 0))
    if part >= 0.995:
        return ""
    return f" at {part:.0%} of the work" if part > 0.5 else f" at 1/{round(1 / max(part, 1e-9))} of the work"


def _list_trials(trials: Sequence[TrialSummary]) -> str:
    numbers = [str(trial.number) for trial in trials]
    if len(numbers) > MAX_TIES:
        return f"are {len(numbers)} more"
    return f"are trials {join_words(numbers)}" if len(numbers) > 1 else f"is trial {numbers[0]}"


def compare_with_published(accuracy: float, published: Mapping[str, float]) -> Iterator[str]:
    """Yields one line for each published score, the best first, with the difference of ours."""
    for name, score in rank_published(published):
        gap = round(accuracy - score, 4)
        ours = f"{abs(gap):.4f} {'higher' if gap > 0 else 'lower'}" if gap else "the same"
        yield f"published: {name} {score:.4f} (ours is {ours})"


def rank_published(published: Mapping[str, float]) -> list[tuple[str, float]]:
    """Returns the names of published networks with their scores, the best first."""
    return sorted(published.items(), key=lambda item: -item[1])
