"""The last lines of `searchcnn optimize`: what was found and how to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from searchcnn.cli.text import amount, duration, objective, point

if TYPE_CHECKING:
    from searchcnn.optimization import Study
    from searchcnn.store import StudySummary


def closing_lines(study: Study, command: str, stopped: bool) -> Iterator[str]:
    """Yields the lines.

    Args:
        study: The study that was searched.
        command: What continues it.
        stopped: Whether the user stopped it.
    """
    from searchcnn.store import read_summary

    summary = read_summary(study.url, study.name)
    yield counts(summary)
    best = summary.best
    if best is None:
        yield "No trial is complete yet, so there is no model."
    else:
        metric = study.config.search.objective
        size = f"{amount(best.facts['params'])} parameters, {amount(best.facts['macs'])} MACs"
        yield f"Best: trial {best.number}, {metric} {objective(best.value)}, {best.facts['space']}, {size}"
        yield f"      {point(best.facts['hyperparameters'])}"
        yield f"Model: {_relative(study)} (loads with plain Keras: verified)"
    if stopped:
        yield f"Stopped. Go on with:  {command}"
    elif best is not None:
        yield f"Test it:    searchcnn evaluate {study.name}"
        yield f"Go on with: {command} {_larger_budget(study)}"


def counts(summary: StudySummary) -> str:
    """Returns how many trials ended how, and the time they took."""
    states = Counter(trial.state for trial in summary.trials)
    ended = ", ".join(f"{states[state]} {state.lower()}" for state in ("COMPLETE", "PRUNED", "FAIL") if states[state])
    waiting = f"; {states['WAITING']} waiting" if states["WAITING"] else ""
    return f"{summary.finished} trials in {duration(summary.seconds)}: {ended or 'none ended'}{waiting}"


def _relative(study: Study) -> str:
    path = study.workspace.best_model(study.name)
    return str(path.relative_to(study.workspace.root) if path.is_relative_to(study.workspace.root) else path)


def _larger_budget(study: Study) -> str:
    budget = study.config.budget
    trials = f"--trials {2 * budget.trials}" if budget.trials else ""
    timeout = f"--timeout {duration(2 * budget.timeout)}" if budget.timeout else ""
    return f"{trials} {timeout}".strip()
