"""Writes the report of a study: one HTML page that needs neither a network nor other files."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import searchcnn
from searchcnn.errors import UsageError
from searchcnn.files import guard_writing, replace_file
from searchcnn.report.contents import Contents
from searchcnn.results.gallery import COUNTS, MISLABELLED, RIGHT, UNSURE, WRONG, Picture
from searchcnn.text import (
    TIMES,
    format_amount,
    format_count,
    format_duration,
    format_interval,
    format_note,
    format_score,
    format_value,
    join_words,
)
from searchcnn.views.comparison import compare_with_published, describe_ties, format_verdict, rank_published
from searchcnn.views.summary import describe_calibration, describe_gain, format_counts

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from searchcnn.report.points import Points

MAX_TRIALS = 50
"""Number of trials that the table shows: the best ones."""
MAX_FAILURES = 20
"""Number of failures that are listed."""
MAX_PAIRS = 10
"""Number of confused pairs of classes that are listed."""
MAX_SPACES = 3
"""Number of search spaces whose hyperparameters are analysed."""
BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML needs no quotes for."""
KINDS = {"Conv": "conv", "Pooling": "pool", "Dense": "dense", "frozen": "conv", "layers": "conv"}
"""Colours of layers in the drawing of a network, by a word in what they are."""
JPEG_SIDE = 40
"""Pixels from which on pictures are photos to JPEG; smaller ones are kept as they are."""
TITLES = {
    MISLABELLED: "Likely filed under the wrong class",
    WRONG: "Most confident mistakes",
    UNSURE: "What it is least sure of, among the others",
    RIGHT: "What it is most sure of, and right",
}
"""What each kind of pictures is called."""
FRAME = 120
"""Pixels of the longer side of a picture in the page."""
GLOW = (255, 60, 0)
"""Colour of the places where the network sees the class, red, green and blue."""
GLOWING = 170
"""How opaque it is at most, of 255."""


@dataclass(frozen=True)
class Block:
    """A layer in the drawing of a network.

    Attributes:
        text: What it is.
        kind: What colour it has: "conv", "pool", "dense" or "other".
        width: Its width in pixels, by the number of its channels.
        height: Its height in pixels, by the number of places.
    """

    text: str
    kind: str
    width: int
    height: int


def write_report(contents: Contents, path: Path) -> None:
    """Writes the report of a study.

    Args:
        contents: What it says.
        path: The file.

    Raises:
        UsageError: If there is something else than a file.
        StoreError: If it cannot be written.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file; name one to write, such as report.html")
    page = make_page(contents)
    with guard_writing(path), replace_file(path) as new:
        new.write_text(page, encoding="utf-8")


def make_page(contents: Contents) -> str:
    """Returns the report of a study as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from searchcnn.report.points import compare_points

    points, scores = compare_points(contents)[:MAX_SPACES], contents.validation or contents.test_scores
    environment = Environment(
        loader=PackageLoader("searchcnn.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"amount": format_amount, "duration": format_duration, "score": format_score}
    environment.filters |= {"value": format_value, "note": format_note}
    return environment.get_template("page.html").render(
        contents=contents,
        summary=contents.summary,
        card=contents.card,
        best=contents.best,
        metric=contents.metric,
        points=points,
        figures={name: _dump(figure) for name, figure in {**_make_figures(contents), **_plot_points(points)}.items()},
        plotly=_pack_plotly(),
        tiles=list(_make_tiles(contents)),
        sentences=list(_make_sentences(contents)),
        scores=scores,
        sample=_describe_sample(contents),
        pairs=scores.list_confusions(MAX_PAIRS) if scores else [],
        galleries=_make_galleries(contents),
        blocks=_draw_blocks(contents.card.get("network", ())),
        failures=_list_failures(contents),
        gaps=contents.board.gaps,
        leaders=contents.leaders[:MAX_TRIALS],
        settings="\n".join(_write_settings(contents.summary.config.model_dump(mode="json"))),
        times=TIMES,
        version=searchcnn.__version__,
        python=platform.python_version(),
    )


def _pack_plotly() -> str:
    """Returns Plotly's script, compressed: the browser unpacks it."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _make_figures(contents: Contents) -> dict[str, go.Figure]:
    """Returns the plots by name; the template has a place for each."""
    from searchcnn.report import figures

    plots = {"time": figures.plot_time(contents)} if contents.summary.spent else {}
    if contents.trained:
        plots |= {"history": figures.plot_history(contents), "curves": figures.plot_curves(contents)}
        plots |= {f"tradeoff-{name}": figures.plot_tradeoff(contents, name) for name in figures.MEASURES}
    if contents.test_scores is not None:
        plots["confusion-test"] = figures.plot_confusion(contents.test_scores)
    if (scores := contents.validation or contents.test_scores) is not None:
        plots["confusion"] = figures.plot_confusion(scores)
        plots["confidence"] = figures.plot_confidence(scores)
    return plots


def _plot_points(points: Sequence[Points]) -> dict[str, go.Figure]:
    """Returns the plots of the hyperparameters of each search space."""
    from searchcnn.report import figures

    plots = {}
    for number, space in enumerate(points):
        plots[f"importances-{number}"] = figures.plot_importances(space)
        plots[f"slices-{number}"] = figures.plot_slices(space)
    return plots


def _dump(figure: go.Figure) -> str:
    """Returns a plot as JSON for a script in a page, without the looks that Plotly gives it: the page has its own."""
    figure.layout.template = None
    text: str = figure.to_json()
    return text.replace("<", "\\u003c")


def _make_tiles(contents: Contents) -> Iterator[tuple[str, str, str]]:
    """Yields the figures that matter most: what it is, its value, and what is to be known of it."""
    summary, best, name = contents.summary, contents.best, contents.metric.removeprefix("val_")
    if best is not None:
        yield f"validation {name}", format_score(best.value), _describe_certainty(contents, best.value or 0.0)
        command = f"not read yet: searchcnn evaluate {summary.name}"
        accuracy = format_score(contents.test["accuracy"]) if contents.test else "\N{EN DASH}"
        yield "test accuracy", accuracy, _describe_test(contents.test) or command
    if summary.config.published:
        network, score = rank_published(summary.config.published)[0]
        yield "published", format_score(score), f"test accuracy of {network}"
    stopped = sum(not trial.is_ranked for trial in contents.trained)
    yield "networks trained", str(len(contents.trained)), f"{stopped} of them stopped early"
    yield "time", format_duration(summary.seconds), f"of {summary.state} search" if summary.running else ""
    if best is not None:
        macs = f"{format_amount(best.facts.get('macs'))} multiply-accumulates per image"
        yield "parameters", format_amount(best.facts.get("params")), macs


def _describe_certainty(contents: Contents, score: float) -> str:
    """Returns on how many images the best score was measured and, of an accuracy, how certain that makes it."""
    facts = contents.card.get("scores", {}).get("validation", {})
    images = facts.get("images")
    if not images:
        return ""
    folds = f" in {facts['folds']} folds" if facts.get("folds") else ""
    interval = f"{format_interval(score, images)}, " if contents.metric == "val_accuracy" else ""
    return f"{interval}on {images:,} images{folds}"


def _describe_test(test: Mapping[str, Any] | None) -> str:
    if test is None:
        return ""
    times = format_count(test.get("times_read", 1), "time")
    return f"{format_interval(test['accuracy'], test['images'])}, on {test['images']:,} images, read {times}"


def _make_sentences(contents: Contents) -> Iterator[str]:
    """Yields what the search has found, in words."""
    for sentence in _describe_results(contents):
        yield f"{sentence[0].upper()}{sentence[1:].rstrip('.')}"


def _describe_results(contents: Contents) -> Iterator[str]:
    summary, best, scores = contents.summary, contents.best, contents.validation
    yield format_counts(summary)
    if len(summary.spaces) > 1 and summary.finished_count:
        yield format_verdict(summary.spaces)
    if best is None:
        yield "No trial is complete yet, so there is no model."
        return
    yield from (line.strip() for line in describe_gain(summary, best))
    yield from describe_ties(contents.board)
    if contents.test:
        yield from compare_with_published(contents.test["accuracy"], summary.config.published)
    if scores is not None:
        if pairs := scores.list_confusions(3):
            texts = [f"{pair.label} for {pair.predicted} ({pair.images}, {pair.share:.1%})" for pair in pairs]
            yield f"Of {_describe_sample(contents)}, it takes most often {join_words(texts)}"
        if errors := contents.label_errors:
            predictions = contents.fold_predictions or scores.predictions
            images = "images of training and validation" if contents.fold_predictions else "validation images"
            yield f"{len(errors):,} of {len(predictions):,} {images} may be filed under the wrong class"
        yield from (line.removeprefix("Sure:").strip() for line in describe_calibration(contents.card))


def _describe_sample(contents: Contents) -> str:
    """Returns how many validation images are known to be taken for what."""
    if contents.validation is None:
        return ""
    images, whole = contents.validation.images, contents.board.images
    sample = f"a random sample of {images:,} of " if whole and images < whole else ""
    return f"{sample}{format_count(max(images, whole or 0), 'validation image')}"


def _make_galleries(contents: Contents) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the pictures of each kind, with their titles."""
    kinds = {
        title: [one for one in contents.pictures if one.kind == kind][: COUNTS[kind]] for kind, title in TITLES.items()
    }
    kinds[f"{TITLES[WRONG]} on the test images"] = list(contents.test_pictures)
    return [(title, [_show(picture) for picture in shown]) for title, shown in kinds.items() if shown]


def _show(picture: Picture) -> dict[str, Any]:
    """Returns a picture as the template has it: its facts, and its images as data that a page holds."""
    height, width = picture.pixels.shape[:2]
    is_small = max(height, width) < JPEG_SIDE
    image = Image.fromarray(picture.pixels[..., 0] if picture.pixels.shape[-1] == 1 else picture.pixels)
    scale = FRAME / max(height, width)
    facts: dict[str, Any] = {"style": f"width: {round(scale * width)}px; height: {round(scale * height)}px"}
    facts |= {"image": _encode(image, "PNG" if is_small else "JPEG"), "is_small": is_small, "glow": ""}
    if picture.activation is not None:
        alpha = (GLOWING * picture.activation).astype(np.uint8)
        colour = np.broadcast_to(np.array(GLOW, np.uint8), (*alpha.shape, 3))
        facts["glow"] = _encode(Image.fromarray(np.dstack([colour, alpha])), "PNG")
    return {**vars(picture), **facts}


def _encode(image: Image.Image, kind: str) -> str:
    """Returns an image as a ``data:`` URL; it holds pixels and nothing else."""
    file = io.BytesIO()
    image.save(file, kind, quality=80, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _draw_blocks(network: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Returns the layers of a network as blocks: tall where there are many places, wide where there are channels."""
    shapes = [line for line in network if len(line["shape"]) in (1, 3) and all(line["shape"])]
    if not shapes:
        return []
    tallest = max(math.sqrt(math.prod(line["shape"][:-1])) for line in shapes)
    return [
        Block(
            line["text"],
            next((kind for word, kind in KINDS.items() if word in line["text"]), "other"),
            round(4 + 5 * math.log2(line["shape"][-1])),
            round(8 + 112 * math.sqrt(math.prod(line["shape"][:-1])) / tallest),
        )
        for line in shapes
    ]


def _list_failures(contents: Contents) -> list[tuple[str, int, str]]:
    """Returns why trials have failed or were not trained: the reason, the number of trials, and one of them."""
    found: dict[str, list[str]] = {}
    for trial in contents.summary.trials:
        if trial.state in ("FAIL", "PRUNED") and not trial.epochs:
            reason, detail = str(trial.facts.get("reason", "unknown")), str(trial.facts.get("detail", ""))
            found.setdefault(reason, []).append(f"trial {trial.number}, {trial.space}: {detail}".rstrip(": "))
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    return [(reason, len(trials), trials[0]) for reason, trials in ranked[:MAX_FAILURES]]


def _write_settings(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yields the lines of a study file that says all that a study was begun with, as TOML."""
    for key, value in config.items():
        name = prefix + (key if BARE.fullmatch(key) else json.dumps(key))
        if isinstance(value, dict):
            yield from _write_settings(value, f"{name}.")
        elif value is not None:
            yield f"{name} = {json.dumps(value)}"
