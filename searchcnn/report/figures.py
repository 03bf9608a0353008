"""The plots of a report, by Plotly; those of hyperparameters are Optuna's."""

from __future__ import annotations

import html
import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from searchcnn.results.scores import BINS, Scores
from searchcnn.text import format_amount, format_duration, format_score
from searchcnn.views.summary import LEAST_SHARE

if TYPE_CHECKING:
    from searchcnn.events import Epoch
    from searchcnn.report.contents import Contents
    from searchcnn.report.points import Points
    from searchcnn.store import TrialSummary

BLUE, ORANGE, GREEN, GREY = "#4269d0", "#e8871a", "#3ca951", "#9498a0"
"""Colours that can be told apart on light and dark pages, and by those who are colour-blind."""
SPACES = (BLUE, ORANGE, GREEN, "#a463f2", "#ff725c", "#6cc5b0", "#9c6b4e", "#ff8ab7", "#97bbf5", GREY)
"""Colours of search spaces and of activities."""
WIDE = 30
"""Ratio of the largest and the smallest cost above which an axis has a number at powers of ten only."""
SHORT = 4
"""Ratio below which an axis has more numbers than 1, 2 and 5."""
FEW = 10
"""Number of trials or epochs up to which an axis names each."""
LEAST_IMAGES = 5
"""Number of images from which on a bin of confidence says something."""
HEIGHT = 340
"""Pixels of a plot, if it needs no other height."""
FADED = 0.35
"""Opacity of what was stopped early."""
MAX_CLASSES = 60
"""Number of classes that a confusion matrix shows at most; of more, those that are confused most."""
MAX_NUMBERS = 16
"""Number of classes up to which its cells hold numbers."""
MAX_SLICES = 6
"""Number of hyperparameters whose values are shown one by one: those that matter most."""
MEASURES = {"params": "parameters", "macs": "multiply-accumulates per image", "seconds": "seconds of training"}
"""What accuracy is weighed against."""


def plot_history(contents: Contents) -> go.Figure:
    """Plots the score of each trained network in the order in which they were begun, and the best so far."""
    trials, objective = contents.trained, contents.summary.config.objective
    figure = go.Figure()
    for complete, name in ((False, "stopped early"), (True, "trained to the end")):
        shown = [trial for trial in trials if trial.is_ranked is complete]
        figure.add_scatter(
            x=[trial.number for trial in shown],
            y=[trial.value for trial in shown],
            text=[_describe(trial) for trial in shown],
            mode="markers",
            name=name,
            marker={"color": BLUE if complete else GREY, "size": 9 if complete else 7},
            hovertemplate="%{text}<extra></extra>",
        )
    values = [trial.value for trial in trials if trial.value is not None]
    best = itertools.accumulate(values, lambda one, other: objective.choose_best([one, other]))
    x = [trial.number for trial in trials]
    figure.add_scatter(x=x, y=list(best), mode="lines", name="best so far", line={"color": ORANGE, "shape": "hv"})
    return _count_up(_finish(figure, "trial", contents.metric))


def plot_curves(contents: Contents) -> go.Figure:
    """Plots the learning curves: those that were stopped early are faded, the best one is shown with its training."""
    figure, best, metric = go.Figure(), contents.best, contents.metric
    groups = {"stopped early": (False, GREY, FADED), "trained to the end": (True, BLUE, 0.7)}
    for name, (complete, colour, opacity) in groups.items():
        numbers = [trial.number for trial in contents.trained if trial.is_ranked is complete and trial is not best]
        x, y, trials = _join_curves([contents.curves.get(number, ()) for number in numbers], numbers, metric)
        figure.add_scatter(
            x=x, y=y, customdata=trials, mode="lines+markers", name=name, opacity=opacity, connectgaps=False,
            line={"color": colour, "width": 1.2}, marker={"size": 3},
            hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4f}<extra></extra>",
        )  # fmt: skip
    if best is not None:
        _add_best_curve(figure, contents, best)
    return _count_up(_finish(figure, "epoch", metric))


def _add_best_curve(figure: go.Figure, contents: Contents, best: TrialSummary) -> None:
    epochs, metric = contents.curves.get(best.number, ()), contents.metric
    training = metric.removeprefix("val_")
    for name, dash, label in ((metric, "solid", "validation"), (training, "dash", "training")):
        points = [(epoch.number, epoch.metrics[name]) for epoch in epochs if name in epoch.metrics]
        figure.add_scatter(
            x=[number for number, _ in points], y=[value for _, value in points], mode="lines+markers",
            name=f"best, {label}", line={"color": ORANGE, "width": 3, "dash": dash}, marker={"size": 5},
            hovertemplate=f"trial {best.number}, {label}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
    parting = find_parting(epochs, metric, contents.board.images)
    if parting is not None and len(epochs) > 1:
        figure.add_vline(
            parting, line={"dash": "dot", "color": GREY}, annotation_text="training and validation part",
            annotation_position="bottom right",
        )  # fmt: skip


def find_parting(epochs: Sequence[Epoch], metric: str, images: int | None) -> int | None:
    """Returns the epoch from which on an accuracy on training images stays above that on validation images.

    Only differences count of more than two standard errors of the latter.

    Args:
        epochs: The learning curve.
        metric: The accuracy on validation images.
        images: Number of validation images; None if that is not known.

    Returns:
        None if they do not part, or the metric is not an accuracy.
    """
    if not images or "accuracy" not in metric:
        return None
    parting = None
    for epoch in epochs:
        validation, training = epoch.metrics.get(metric), epoch.metrics.get(metric.removeprefix("val_"))
        if validation is None or training is None:
            continue
        noise = 2 * math.sqrt(max(validation * (1 - validation), 0.0) / images)
        parting = (parting or epoch.number) if training - validation > noise else None
    return parting


def _join_curves(
    curves: Iterable[Sequence[Epoch]], numbers: Iterable[int], metric: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Returns the points of many curves as one line with gaps: epochs, scores, and numbers of the trials."""
    rows: list[tuple[float, float, int]] = []
    for curve, number in zip(curves, numbers, strict=True):
        rows += [(epoch.number, epoch.metrics[metric], number) for epoch in curve if metric in epoch.metrics]
        rows.append((math.nan, math.nan, number))
    x, y, trials = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(x, np.float32), np.array(y, np.float32), np.array(trials, np.int32)


def plot_time(contents: Contents) -> go.Figure:
    """Plots where the time went, in one bar."""
    figure = go.Figure()
    spent = {activity: share for activity, share in contents.summary.spent.items() if share >= LEAST_SHARE}
    for number, (activity, share) in enumerate(spent.items()):
        seconds = format_duration(share * contents.summary.worked)
        figure.add_bar(
            y=[""], x=[100 * share], name=activity, orientation="h", marker={"color": _choose_colour(number)},
            text=f"{activity} {share:.0%}" if share >= 0.08 else "", textposition="inside", insidetextanchor="middle",
            hovertemplate=f"{activity}: {share:.1%}, {seconds}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", height=170, legend_traceorder="normal")
    figure.update_yaxes(visible=False)
    figure.update_xaxes(range=[0, 100], ticksuffix=" %")
    return _finish(figure, "", "")


def plot_tradeoff(contents: Contents, measure: str) -> go.Figure:
    """Plots the scores of networks against what they cost.

    Args:
        contents: The study.
        measure: One of `MEASURES`.
    """
    figure = go.Figure()
    for number, space in enumerate(dict.fromkeys(trial.space for trial in contents.trained)):
        for complete in (False, True):
            shown = [trial for trial in contents.trained if trial.space == space and trial.is_ranked is complete]
            if not shown:
                continue
            costs = [trial.seconds if measure == "seconds" else trial.facts.get(measure) for trial in shown]
            figure.add_scatter(
                x=costs, y=[trial.value for trial in shown], text=[_describe(trial) for trial in shown], mode="markers",
                name=space if complete else f"{space}, stopped early", legendgroup=space,
                opacity=1.0 if complete else FADED, marker={"color": _choose_colour(number), "size": 9},
                showlegend=complete, hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip
    ticks = _choose_ticks([cost for trace in figure.data for cost in trace.x if cost])
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[format_amount(tick) for tick in ticks])
    return _finish(figure, MEASURES[measure], contents.metric)


def plot_importances(points: Points) -> go.Figure:
    """Plots how much each hyperparameter matters, as Optuna measures it (PED-ANOVA, Watanabe et al. 2023)."""
    names, shares = list(points.importances)[::-1], list(points.importances.values())[::-1]
    figure = go.Figure()
    figure.add_bar(
        x=shares, y=[html.escape(name) for name in names], orientation="h", marker={"color": BLUE},
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(tickformat=".0%")
    figure.update_layout(height=80 + 24 * len(names))
    return _finish(figure, "importance", "")


def plot_slices(points: Points) -> go.Figure:
    """Plots the scores of the networks of a search space over each hyperparameter that matters."""
    from optuna.visualization import plot_slice

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = plot_slice(points.study, params=list(points.importances)[:MAX_SLICES], target_name="score")
    figure.update_traces(marker={"color": BLUE, "colorbar": None, "showscale": False, "line": None, "size": 7})
    figure.update_layout(title=None, height=300)
    return _finish(figure)


def plot_confusion(scores: Scores) -> go.Figure:
    """Plots the confusion matrix: a row for each class, a column for each class that is predicted."""
    matrix = np.array(scores.matrix)
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[:MAX_CLASSES])
    names = [html.escape(scores.classes[index].name) for index in kept]
    counts = matrix[np.ix_(kept, kept)]
    shares = counts / np.maximum(matrix[kept].sum(axis=1, keepdims=True), 1)
    figure = go.Figure()
    figure.add_heatmap(
        x=names, y=names, z=shares.round(4), customdata=counts, colorscale="Blues", zmin=0, zmax=1, showscale=False,
        text=np.where(counts > 0, counts, "").astype(str) if len(kept) <= MAX_NUMBERS else None, texttemplate="%{text}",
        hovertemplate="%{y} taken for %{x}: %{customdata} images, %{z:.1%} of %{y}<extra></extra>", xgap=1, ygap=1,
    )  # fmt: skip
    figure.update_xaxes(type="category", side="bottom")
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(height=max(380, 90 + 24 * len(kept)))
    return _finish(figure, "predicted", "class")


def plot_confidence(scores: Scores) -> go.Figure:
    """Plots how often the model is right against how sure it is, in bins of its confidence (Guo et al. 2017)."""
    predictions = scores.predictions
    bins = np.minimum((predictions.confidence * BINS).astype(int), BINS - 1)
    is_right = predictions.predicted == predictions.labels
    counts = np.bincount(bins, minlength=BINS)
    least = min(LEAST_IMAGES, counts.max())
    rows = [
        (float(predictions.confidence[bins == number].mean()), float(is_right[bins == number].mean()), int(count))
        for number, count in enumerate(counts)
        if count >= least
    ]
    x, y, images = zip(*rows, strict=True)
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="honest", line={"color": GREY, "dash": "dot"})
    figure.add_scatter(
        x=x, y=y, customdata=images, mode="lines+markers", name="this model", line={"color": BLUE},
        marker={"size": [6 + 18 * math.sqrt(count / sum(images)) for count in images]},
        hovertemplate="%{x:.0%} sure, %{y:.0%} right: %{customdata} images<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", range=[min(0.95, *x) - 0.05, 1.02])
    figure.update_yaxes(tickformat=".0%", range=[min(0.95, *x, *y) - 0.05, 1.05])
    return _finish(figure, "how sure it is", "how often it is right")


def _describe(trial: TrialSummary) -> str:
    """Returns what is shown where the pointer is on a trial."""
    network = f"{format_amount(trial.facts.get('params'))} parameters, {format_amount(trial.facts.get('macs'))} MACs"
    training = f"{trial.epochs} epochs, {format_duration(trial.seconds)}"
    return f"trial {trial.number}: {format_score(trial.value)}<br>{html.escape(trial.space)}, {network}<br>{training}"


def _choose_ticks(costs: Sequence[float]) -> list[float]:
    """Returns the numbers of a logarithmic axis: 1, 2, 5, 10, ...; powers of ten if it is long, more if it is short."""
    if not costs:
        return []
    low, high = min(costs), max(costs)
    steps: Sequence[float] = (1,) if high > WIDE * low else (1, 2, 5) if high > SHORT * low else (1, 1.5, 2, 3, 4, 5, 7)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps]


def _count_up(figure: go.Figure) -> go.Figure:
    """Lets an axis of trials or epochs have whole numbers."""
    numbers = [float(number) for trace in figure.data for number in trace.x if number == number]  # gaps are NaN
    figure.update_xaxes(tickformat="d")
    if max(numbers, default=0.0) <= FEW:
        figure.update_xaxes(dtick=1)
    return figure


def _choose_colour(number: int) -> str:
    return SPACES[number % len(SPACES)]


def _finish(figure: go.Figure, x: str | None = None, y: str | None = None) -> go.Figure:
    """Names the axes of a plot, unless it has names for them, and gives it the looks that all have."""
    if x is not None:
        figure.update_xaxes(title=x)
        figure.update_yaxes(title=y)
    figure.update_layout(
        height=figure.layout.height or HEIGHT,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
