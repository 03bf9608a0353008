"""Writes the last lines of `searchcnn optimize`: what was found, and how to go on."""

from __future__ import annotations

import contextlib
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from searchcnn.results.card import find_card, is_foreign
from searchcnn.text import (
    describe_endings,
    format_amount,
    format_count,
    format_duration,
    format_interval,
    format_point,
    format_score,
)
from searchcnn.views.comparison import compare_spaces, rank_published

if TYPE_CHECKING:
    from searchcnn.job import Job
    from searchcnn.store import StudySummary, TrialSummary
    from searchcnn.views.tables import FittingTable


EXHAUSTED = "The grid is finished: each of its points was tried."
"""Stands where a larger budget is proposed to other studies."""
LEAST_SHARE = 0.005
"""Share of the time that is worth to be named."""
MAX_NAMED = 3
"""Number of likely label errors that are named."""
ENDED_STATES = "COMPLETE", "PRUNED", "FAIL"
OTHER_SEARCH = " of another search with that name, in another database"
"""Describes a model that comes from none of the study's trials."""


def summarize_study(study: Job, arguments: Sequence[str] | None, stopped: bool) -> Iterator[str | FittingTable]:
    """Yields the lines, and a table of the search spaces if there are several.

    Args:
        study: The study that was searched.
        arguments: The arguments that the user gave to `searchcnn`; None in a script or a notebook.
        stopped: Whether the user stopped the search.
    """
    from searchcnn.store import read_summary

    summary = read_summary(study.url, study.name)
    yield format_counts(summary)
    yield from describe_time(summary)
    yield from compare_spaces(summary)
    best = summary.best
    if best is None and (stopped or summary.running):  # else that is an error, which is said as one
        yield "No trial is complete yet, so there is no model."
    if best is not None:
        metric = study.config.objective.metric
        macs = f"{format_amount(best.facts['macs'])} multiply-accumulates (MACs)"
        size = f"{format_amount(best.facts['params'])} parameters, {macs}"
        yield f"Best: trial {best.number}, {metric} {format_score(best.value)}, {best.facts['space']}, {size}"
        yield f"      {format_point(best.facts['hyperparameters'])}"
        yield from _describe_certainty(study, best)
        yield from describe_gain(summary, best)
        yield from _describe_tuning(summary)
        yield f"Model: {study.workspace.shorten(study.model)}{_describe_model(study, summary)}"
        yield from describe_calibration(find_card(study.model))
        yield from _describe_labels(study)
    if (report := study.workspace.report(study.name)).exists():
        yield f"Report: {study.workspace.shorten(report)}"
    if study.config.published:
        published = (f"{name} {score:.4f}" for name, score in rank_published(study.config.published))
        yield f"To beat: {', '.join(published)}"
    if arguments is None:
        yield from _suggest_calls(study, summary, stopped)
    else:
        yield from _suggest_commands(study, summary, arguments, stopped)


def describe_time(summary: StudySummary) -> Iterator[str]:
    """Yields where the time of a study went, if that is known."""
    parts = [f"{share:.0%} {activity}" for activity, share in summary.spent.items() if share >= LEAST_SHARE]
    if len(parts) > 1:
        yield f"Time: {', '.join(parts)}"


def _suggest_commands(study: Job, summary: StudySummary, arguments: Sequence[str], stopped: bool) -> Iterator[str]:
    if stopped:
        yield f"Stopped. Go on with:  {shlex.join(['searchcnn', *arguments])}"
    elif summary.best is not None:
        storage = ["--storage", study.storage] if study.storage else []
        yield f"Test it:    {shlex.join(['searchcnn', 'evaluate', study.name, *storage])}"
        if study.config.data.path is not None:
            yield f"Use it:     {shlex.join(['searchcnn', 'predict', study.name, 'IMAGE...'])}"
        if summary.is_exhausted:
            yield EXHAUSTED
        elif "worker" not in arguments[:1]:  # a worker takes the budget that it finds
            yield f"Go on with: {shlex.join(['searchcnn', *_remove_budget(arguments), *_double_budget(study)])}"


def _suggest_calls(study: Job, summary: StudySummary, stopped: bool) -> Iterator[str]:
    if stopped:
        yield "Stopped. Go on with:  study.optimize(...) as before"
    elif summary.best is not None:
        yield "Test it:    study.evaluate()"
        if study.config.data.path is not None:
            yield "Use it:     study.predict('IMAGE')"
        if summary.is_exhausted:
            yield EXHAUSTED
            return
        options = _double_budget(study)
        budget = zip(options[::2], options[1::2], strict=True)
        values = (f"{name.removeprefix('--')}={value if name == '--trials' else repr(value)}" for name, value in budget)
        yield f"Go on with: study.optimize({', '.join(values)})"


def _describe_certainty(study: Job, best: TrialSummary) -> Iterator[str]:
    """Yields how certain the best accuracy is, if it is one and the card says on how many images it was measured."""
    card = find_card(study.workspace.best_model(study.name))
    with contextlib.suppress(KeyError, TypeError):
        score = card["scores"]["validation"]
        images, folds = int(score["images"]), score.get("folds")
        if study.config.objective.metric == "val_accuracy" and best.value is not None and images:
            split = f" in {folds} folds" if folds else ""
            yield f"      on {images:,} images{split}: {format_interval(best.value, images)}"


def describe_calibration(card: Mapping[str, Any]) -> Iterator[str]:
    """Yields what calibrating a model has changed, and how far it can be relied on, given its card."""
    facts, sure = card.get("calibration"), card.get("sure")
    if facts:
        changes = [
            f"{name} {facts[f'{name}_before']:.3f} to {facts[f'{name}_after']:.3f}" for name in ("error", "loss")
        ]
        yield f"Sure:  probabilities are calibrated on {facts['images']:,} validation images: {', '.join(changes)}"
    if sure:
        where = f"where it is {sure['threshold']:.1%} sure or more: {sure['share']:.0%} of the validation images"
        yield f"{'      ' if facts else 'Sure: '} {sure['accuracy']:.1%} right {where}"


def _describe_labels(study: Job) -> Iterator[str]:
    """Yields which validation images are likely filed under the wrong class, if that is known of the best model."""
    from searchcnn.results import find_label_errors, read_predictions

    card = find_card(study.model)
    predictions = read_predictions(study.workspace.predictions(study.name, "validation"), card.get("sha256", ""))
    errors = find_label_errors(predictions) if predictions else []
    if predictions is None or not errors:
        return
    images = f"{len(errors):,} of {format_count(len(predictions), 'validation image')}"
    yield f"Look at: {images} that may be filed under the wrong class, most likely"
    for error in errors[:MAX_NAMED]:
        yield f"      {error.name}: filed under {error.label}, looks like {error.suggested} ({error.probability:.1%})"


def describe_gain(summary: StudySummary, best: TrialSummary) -> Iterator[str]:
    """Yields what further trials have brought over the first known point, which is what was there without a search."""
    first, others = summary.trials[0], summary.finished_count - 1
    if not first.facts.get("origin") or first.value is None or others < 1:
        return
    if best.number == first.number:
        yield f"      the first known point; {format_count(others, 'further trial')} brought nothing better"
    else:
        epochs = f" after {format_count(first.epochs, 'epoch')} of {best.epochs}" if first.epochs < best.epochs else ""
        yield f"      the first known point, trial {first.number}, had {format_score(first.value)}{epochs}"


def _describe_tuning(summary: StudySummary) -> Iterator[str]:
    """Yields what fine-tuning has gained, if networks were fine-tuned and heads were solved."""
    tuned = next((trial for trial in summary.ranking if trial.facts.get("tuned")), None)
    head = next((trial for trial in summary.ranking if "solved" in trial.facts and not trial.facts.get("tuned")), None)
    if tuned is None or head is None or tuned.value is None or head.value is None:
        return
    yield (
        f"Fine-tuning: {format_score(tuned.value)} (trial {tuned.number}, {format_duration(tuned.seconds)}), "
        f"{tuned.value - head.value:+.4f} over the best softmax on features (trial {head.number}, "
        f"{format_duration(head.seconds)})"
    )


def format_counts(summary: StudySummary) -> str:
    """Returns how many points were tried, how each has ended, and the time they took."""
    states = Counter(trial.state for trial in summary.trials)
    waiting = f"; {states['WAITING']} waiting" if states["WAITING"] else ""
    running = states["RUNNING"]
    state = "running" if summary.running else "interrupted; the same command continues"
    unfinished = f"; {running} {state}" if running else ""
    points = format_count(summary.finished_count, "point")
    ended = count_endings(summary.trials) or "none has ended"
    return f"{points} in {format_duration(summary.seconds)}: {ended}{unfinished}{waiting}"


def count_endings(trials: Iterable[TrialSummary]) -> str:
    """Returns how many trials were trained, and why others were not; empty before one has ended."""
    ended = [trial for trial in trials if trial.state in ENDED_STATES]
    unusable = [str(trial.facts.get("reason", "")) for trial in ended if trial.is_unusable]
    states = Counter(trial.state for trial in ended if not trial.is_unusable)
    complete, pruned, failed = (states[state] for state in ENDED_STATES)
    trained = f"{complete + pruned} trained ({complete} to the end, {pruned} stopped early)"
    if not pruned:
        trained = f"{complete} trained to the end" if complete else ""
    parts = trained, describe_endings(unusable), f"{failed} failed" if failed else ""
    return ", ".join(part for part in parts if part)


def _describe_model(study: Job, summary: StudySummary) -> str:
    model = study.workspace.best_model(study.name)
    if not model.exists():
        return " is missing; a better trial will write it again, or search again with --name"
    verified = find_card(model).get("verified")
    proof = "loads with plain Keras: verified" if verified else "will be verified when the search continues"
    return f"{explain_mismatch(model, summary)} ({proof})"


def explain_mismatch(model: Path, summary: StudySummary) -> str:
    """Says which trial a study's model comes from if that is not the best one; empty if it is, or is unknown."""
    card, best = find_card(model), summary.best
    if is_foreign(card, summary):
        return OTHER_SEARCH
    if best is None or card.get("trial") in (None, best.number):
        return ""
    return f" of trial {card['trial']}; that of trial {best.number} is missing"


def _remove_budget(arguments: Sequence[str]) -> list[str]:
    others, rest = [], iter(arguments)
    for argument in rest:
        if argument in ("--trials", "--timeout"):
            next(rest)
        elif not argument.startswith(("--trials=", "--timeout=")):
            others.append(argument)
    return others


def _double_budget(study: Job) -> list[str]:
    budget = study.config.budget
    trials = ["--trials", str(2 * budget.trials)] if budget.trials else []
    return trials + (["--timeout", format_duration(2 * budget.timeout)] if budget.timeout else [])
