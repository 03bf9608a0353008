"""The last lines of `searchcnn optimize`: what was found and how to go on."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from searchcnn.text import amount, duration, interval, objective, point
from searchcnn.views.comparison import best_first, compared_spaces

if TYPE_CHECKING:
    from searchcnn.run import Study
    from searchcnn.store import StudySummary, TrialSummary


OTHER_SEARCH = " of another search of that name, in another database"
"""What is said of a model that none of the study's trials has left."""


def closing_lines(study: Study, arguments: Sequence[str], stopped: bool) -> Iterator[str | Table]:
    """Yields the lines, and the table of the search spaces where there are several.

    Args:
        study: The study that was searched.
        arguments: What the user gave to `searchcnn`.
        stopped: Whether the user stopped it.
    """
    from searchcnn.store import read_summary

    summary = read_summary(study.url, study.name)
    yield counts(summary)
    yield from compared_spaces(summary)
    best = summary.best
    if best is None:
        yield "No trial is complete yet, so there is no model."
    else:
        metric = study.config.search.objective
        size = f"{amount(best.facts['params'])} parameters, {amount(best.facts['macs'])} MACs"
        yield f"Best: trial {best.number}, {metric} {objective(best.value)}, {best.facts['space']}, {size}"
        yield f"      {point(best.facts['hyperparameters'])}"
        yield from _certainty(study, best)
        yield from _tuning(summary)
        yield f"Model: {_relative(study)}{_state_of_model(study, summary)}"
    if study.config.published:
        published = (f"{name} {score:.4f}" for name, score in best_first(study.config.published))
        yield f"To beat: {', '.join(published)}"
    if stopped:
        yield f"Stopped. Go on with:  {shlex.join(['searchcnn', *arguments])}"
    elif best is not None:
        storage = ["--storage", study.storage] if study.storage else []
        yield f"Test it:    {shlex.join(['searchcnn', 'evaluate', study.name, *storage])}"
        if study.config.data.path is not None:
            yield f"Use it:     {shlex.join(['searchcnn', 'predict', study.name, 'IMAGE...'])}"
        if "worker" not in arguments[:1]:  # a worker takes the budget that it finds
            yield f"Go on with: {shlex.join(['searchcnn', *_without_budget(arguments), *_larger_budget(study)])}"


def _certainty(study: Study, best: TrialSummary) -> Iterator[str]:
    """Yields how sure the best accuracy is, if it is one and the card says on how many images it was measured."""
    measured: Any = _card(study.workspace.best_model(study.name))
    with contextlib.suppress(KeyError, TypeError):
        measured = measured["scores"]["validation"]
        images, folds = int(measured["images"]), measured.get("folds")
        if study.config.search.objective == "val_accuracy" and best.value is not None and images:
            how = f" in {folds} folds" if folds else ""
            yield f"      on {images:,} images{how}: {interval(best.value, images)}"


def _tuning(summary: StudySummary) -> Iterator[str]:
    """Yields what fine-tuning has bought, where networks were fine-tuned and heads were solved."""
    tuned = next((trial for trial in summary.ranking if trial.facts.get("tuned")), None)
    head = next((trial for trial in summary.ranking if "solved" in trial.facts and not trial.facts.get("tuned")), None)
    if tuned is None or head is None or tuned.value is None or head.value is None:
        return
    yield (
        f"Fine-tuning: {objective(tuned.value)} (trial {tuned.number}, {duration(tuned.seconds)}), "
        f"{tuned.value - head.value:+.4f} over the best softmax on features (trial {head.number}, "
        f"{duration(head.seconds)})"
    )


def counts(summary: StudySummary) -> str:
    """Returns how many trials ended how, and the time they took."""
    states = Counter(trial.state for trial in summary.trials)
    ended = ", ".join(f"{states[state]} {state.lower()}" for state in ("COMPLETE", "PRUNED", "FAIL") if states[state])
    waiting = f"; {states['WAITING']} waiting" if states["WAITING"] else ""
    running = states["RUNNING"]
    how = "at work" if summary.running else f"interrupted, go{'es' if running == 1 else ''} on with the same command"
    interrupted = f"; {running} {how}" if running else ""
    trials = f"{summary.finished_count} trial{'' if summary.finished_count == 1 else 's'}"
    return f"{trials} in {duration(summary.seconds)}: {ended or 'none ended'}{interrupted}{waiting}"


def _state_of_model(study: Study, summary: StudySummary) -> str:
    model = study.workspace.best_model(study.name)
    if not model.exists():
        return " is not here; a better trial writes it anew, or search again with --name"
    verified = _card(model).get("verified")
    proof = "loads with plain Keras: verified" if verified else "verified when the search goes on"
    return f"{whose(model, summary)} ({proof})"


def whose(model: Path, summary: StudySummary) -> str:
    """Returns whose network a study's model is where it is not the best trial's; empty where it is, or is not known."""
    card, best = _card(model), summary.best
    if best is None or "trial" not in card:
        return ""
    known = [(trial.number, trial.value) for trial in summary.ranking]
    if (card["trial"], _score(card, summary.config.search.objective)) not in known:
        return OTHER_SEARCH
    return "" if card["trial"] == best.number else f" of trial {card['trial']}; that of trial {best.number} is not here"


def _card(model: Path) -> dict[str, Any]:
    """Reads a model's card, as far as that is possible; `searchcnn.results` would import Keras."""
    with contextlib.suppress(OSError, ValueError):
        card = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
        return card if isinstance(card, dict) else {}
    return {}


def _score(card: dict[str, Any], objective: str) -> object:
    """Returns what a card says of its network's objective; None where it says nothing."""
    with contextlib.suppress(KeyError, TypeError):
        return card["scores"]["validation"][objective.removeprefix("val_")]
    return None


def _relative(study: Study) -> str:
    path = study.workspace.best_model(study.name)
    return str(path.relative_to(study.workspace.root) if path.is_relative_to(study.workspace.root) else path)


def _without_budget(arguments: Sequence[str]) -> list[str]:
    kept, options = [], iter(arguments)
    for argument in options:
        if argument in ("--trials", "--timeout"):
            next(options)
        elif not argument.startswith(("--trials=", "--timeout=")):
            kept.append(argument)
    return kept


def _larger_budget(study: Study) -> list[str]:
    budget = study.config.budget
    trials = ["--trials", str(2 * budget.trials)] if budget.trials else []
    return trials + (["--timeout", duration(2 * budget.timeout)] if budget.timeout else [])
