"""The checks of a search space: each returns what it has found in words, or raises what is wrong and what to do."""

import inspect
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from searchcnn.backend import clear_keras
from searchcnn.data import Split
from searchcnn.errors import InfeasibleError, PluginError, SearchcnnError, nearest
from searchcnn.graph import as_array
from searchcnn.pixels import detect_range
from searchcnn.results import save_model
from searchcnn.results.export import predict
from searchcnn.results.verification import verify
from searchcnn.search import Cost, check_limits
from searchcnn.search.hyperparameters import Parameter, conflict
from searchcnn.spaces import SearchSpace
from searchcnn.testing.relevance import is_dead, is_leaking, pairs
from searchcnn.testing.result import CheckFailedError, CheckSkippedError
from searchcnn.testing.sample import GivenPoint, Sample
from searchcnn.testing.signature import difference
from searchcnn.testing.subject import Image, Subject
from searchcnn.testing.surroundings import reseeded
from searchcnn.text import amount, listed, point
from searchcnn.training import Recipe, classifier
from searchcnn.training.callbacks import BatchStatistics, lagging
from searchcnn.training.fit import fit_phase, has_own_fit, phases
from searchcnn.training.network import is_compiled, sums_to_one, without_heads
from searchcnn.training.normalization import Normalization
from searchcnn.training.recipe import NORMALIZATIONS

ODD_SIZE = (37, 29)
"""Height and width in pixels, which no pooling divides evenly."""
LARGE_SIZE = (224, 224)
"""Height and width in pixels of ImageNet's images, for networks that were made for them."""
MOST_INFEASIBLE = 0.5
"""Part of the random points that may be infeasible."""
LEAST_WITHIN = 0.1
"""Part of the random networks that must be within the limits."""
BATCH, STEPS = 8, 3
"""Images of a training step, and steps: where weights begin with zeros, those before them learn from the second on."""
USUAL_STEPS = 100
"""Batches of an epoch."""
REFERENCES = ("reference:", "http://", "https://", "own work")
"""One of these in a docstring names where a search space comes from."""


def check_images(subject: Subject) -> str:
    """Builds the default network for the smallest images, odd sizes, gray and colour; outputs are probabilities."""
    shapes = list(_shapes(subject))
    for shape in shapes:
        _check_classifier(subject, shape)
    return listed(["x".join(map(str, shape)) for shape in shapes])


def check_samples(subject: Subject) -> str:
    """Builds random points: each has a network or a reason why not; most have one."""
    survey = subject.survey
    if broken := [one for one in survey if one.error and not one.is_infeasible]:
        raise CheckFailedError(
            f"{len(broken)} of {len(survey)} random points fail: {broken[0].error}; mend it, or raise "
            f"InfeasibleError(reason) where there is no network. It fails with {point(broken[0].values)}"
        )
    infeasible = [one for one in survey if not one.is_network]
    if silent := [one for one in infeasible if not one.reason]:
        raise CheckFailedError(
            f"InfeasibleError without a reason; raise InfeasibleError('image too small', ...). "
            f"It was raised with {point(silent[0].values)}"
        )
    reasons = listed(
        [f"{reason} {count}" for reason, count in Counter(one.reason for one in infeasible).most_common(3)]
    )
    if len(infeasible) > MOST_INFEASIBLE * len(survey):
        raise CheckFailedError(
            f"{len(infeasible)} of {len(survey)} random points are infeasible ({reasons}): a search would waste most "
            f"trials; narrow the ranges, or fit the network to the image. The first: {point(infeasible[0].values)}"
        )
    return f"{len(survey)} points" + (f", {len(infeasible)} infeasible ({reasons})" if infeasible else "")


def check_stability(subject: Subject) -> str:
    """Builds points twice: same values, same hyperparameters, same network; a name has one range everywhere."""
    _check_declarations([subject.default, *subject.survey])
    for sample in subject.networks[: subject.repeated]:
        _check_same(*_twice(subject, sample), "two builds with the same values")
    return f"{min(subject.repeated, len(subject.networks))} points built twice"


def check_relevance(subject: Subject) -> str:
    """Changes each hyperparameter in several points: the network changes, too, unless it was switched off."""
    if has_own_fit(subject.space):
        raise CheckSkippedError("the space has its own fit(), in which any hyperparameter may matter")
    tried = list(pairs(subject.networks, subject.samples))
    dead: dict[str, Sample] = {}
    for sample, hp in tried:
        if hp.name not in dead and is_dead(subject, sample, hp):
            dead[hp.name] = sample
    _check_none_is_dead(dead)
    for sample in subject.networks[: subject.repeated]:
        for hp in sample.declared:
            if is_leaking(subject, sample, hp):
                raise CheckFailedError(
                    f"hyperparameter '{hp.name}' changes the network although a conditional scope switches it off; "
                    f"use the value that hp.{type(hp).__name__}() returns inside the scope. With {point(sample.values)}"
                )
    return f"{len({hp.name for _, hp in tried})} hyperparameters, {len(tried)} changes"


def check_baselines(subject: Subject) -> str:
    """Builds the baselines: they name hyperparameters that there are, with values of their ranges."""
    assert subject.default
    known = {hp.name: hp for sample in subject.networks for hp in sample.declared}
    baselines = subject.loaded.baselines(subject.space)
    sizes = [_baseline(subject, name, values, known) for name, values in baselines.items()]
    return listed(sizes) if sizes else "none"


def check_training(subject: Subject) -> str:
    """Trains the default network for a few steps: the loss is finite, weights and statistics change fast enough."""
    assert subject.default
    split = _images(subject)
    hp = GivenPoint()
    model = subject.build(hp)
    recipe = Recipe(1, 1, BATCH) if is_compiled(model) else Recipe(1, 1, BATCH, "adam", 1e-3)
    still: set[str] = set()
    for phase in phases(subject.space, hp, model, recipe.compiles):
        before = {weight.path: _array(weight) for weight in model.trainable_weights}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Gradients do not exist")  # is said below, and what to do
            returned = fit_phase(
                subject.space,
                hp,
                model,
                recipe.during(phase, 1),
                split,
                split,
                seed=0,
                callbacks=[BatchStatistics()],
                normalization=_normalization(model),
            )
        _check_loss(returned)
        still |= {path for path, old in before.items() if np.array_equal(old, _weight(model, path))}
    if still:
        raise CheckFailedError(
            f"{len(still)} weights stay as they are in training: {', '.join(sorted(still)[:4])}; no gradient reaches "
            "them: connect their layers to the output, or make them not trainable"
        )
    if slow := lagging(model, USUAL_STEPS):
        raise CheckFailedError(slow)
    return f"{STEPS} steps on {BATCH} images"


def check_pixels(subject: Subject) -> str:
    """Probes the default network: it gets pixels scaled to 0..1, unless it scales them itself."""
    assert subject.default
    found = detect_range(subject.build(GivenPoint()))
    return f"it scales pixels itself and gets {found}" if found else "it gets pixels scaled to 0..1"


def check_saving(subject: Subject) -> str:
    """Saves the default network: plain Keras loads it in a fresh process, and it predicts the same."""
    assert subject.default
    model = subject.build(GivenPoint())
    images = _images(subject).images
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{subject.loaded.name}.keras"
        finished = classifier(model, subject.image, _normalization(model))
        save_model(path, finished, {})
        try:
            verify(path, images, predict(finished, images))
        except SearchcnnError as error:
            raise CheckFailedError(str(error).replace(f"{path}: ", "")) from None
    return "loads with plain Keras and predicts the same"


def check_size(subject: Subject) -> str:
    """Counts weights and multiply-accumulates: the default network and some random ones are within the limits."""
    limits = subject.limits
    try:
        check_limits(subject.default.cost, limits)
    except InfeasibleError as error:
        raise CheckFailedError(f"the default network is over a limit, {error}: give smaller defaults") from None
    networks = [one for one in subject.survey if one.is_network]
    within = sum(_is_within(one.cost, limits) for one in networks)
    if within < LEAST_WITHIN * len(networks):
        raise CheckFailedError(
            f"{within} of {len(networks)} random networks have at most {amount(limits.max_params)} parameters and "
            f"{amount(limits.max_macs)} MACs: a search would waste most trials; give smaller ranges"
        )
    return f"default {_size(subject.default)}; {within} of {len(networks)} random ones within the limits"


def check_isolation(subject: Subject) -> str:
    """Builds leave the process as it was, and other networks too."""
    samples = [subject.default, *subject.survey[: subject.repeated]]
    for sample in samples:
        subject.point(sample.values)
    if subject.changes:
        raise CheckFailedError(
            f"building changes {'; '.join(subject.changes)}: other search spaces would be built differently; leave it "
            "alone, or put it back before build() returns"
        )
    if seeded := reseeded(lambda: subject.point({})):
        raise CheckFailedError(
            f"building seeds {listed(seeded)}: all trials would get the same weights; leave seeds alone"
        )
    _check_between(subject)
    return f"{len(samples)} builds"


def check_documentation(subject: Subject) -> str:
    """Reads the docstring: it says what is searched and names a reference."""
    text = _docstring(subject.loaded.target)
    if not text:
        raise CheckFailedError("no docstring; say in the first line of the class's docstring what is searched")
    reference = getattr(subject.space, "reference", "") if isinstance(subject.space, SearchSpace) else ""
    if not reference and not any(mark in text.lower() for mark in REFERENCES):
        raise CheckFailedError(
            "no reference; set `reference` to the paper or source, or write 'Reference: ...' or 'own work' in the "
            "docstring"
        )
    return reference or "in the docstring"


CHECKS: Mapping[str, Callable[[Subject], str]] = {
    "documentation": check_documentation,
    "images": check_images,
    "samples": check_samples,
    "stability": check_stability,
    "relevance": check_relevance,
    "baselines": check_baselines,
    "pixels": check_pixels,
    "training": check_training,
    "saving": check_saving,
    "size": check_size,
    "isolation": check_isolation,
}
"""All checks, by name."""


def _normalization(model: Any) -> Normalization:
    return Normalization.of(NORMALIZATIONS[detect_range(model) or "0..1"], images=None)


def _shapes(subject: Subject) -> Iterator[Image]:
    yield subject.image
    if not subject.has_sizes:
        return
    height, width = subject.space.min_size
    known = subject.space.channels
    channels = [count for count in (1, 3) if count in (known or (1, 3))] or list(known[:1])
    for count in channels:
        yield max(height | 1, ODD_SIZE[0]), max(width | 1, ODD_SIZE[1]), count
    yield height, width, channels[0]


def _check_classifier(subject: Subject, shape: Image) -> None:
    space = subject.create(shape)
    remedy = ""  # what is wrong for the usual images is not their shape
    if shape != subject.image:
        remedy = (
            "; build it from self.input_shape and self.num_classes, pad, pool less, or set the class's min_size or "
            "channels to what it can handle"
        )
    try:
        model = subject.build(GivenPoint(), space)
        images = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
        outputs = without_heads(model)(images, training=False)
    except InfeasibleError as error:
        raise CheckFailedError(f"images {_named(shape)}: the default point is infeasible: {error}{remedy}") from None
    except (Exception, SystemExit) as error:
        raise CheckFailedError(f"images {_named(shape)}: {subject.explain(error)}{remedy}") from error
    _check_probabilities(outputs, shape)


def _check_probabilities(probabilities: Any, shape: Image) -> None:
    outputs = as_array(probabilities)
    sums = outputs.sum(axis=-1)
    if not np.isfinite(outputs).all() or outputs.min() < 0 or not sums_to_one(probabilities):
        raise CheckFailedError(
            f"images {_named(shape)}: the first output is no probabilities: its sums are {sums.min():.4g} to "
            f"{sums.max():.4g}, its smallest value {outputs.min():.4g}; end the network with a softmax activation"
        )


def _check_none_is_dead(dead: Mapping[str, Sample]) -> None:
    """Refuses hyperparameters that change nothing at a point, given by name with that point."""
    for name, sample in dead.items():
        others = {key: value for key, value in sample.values.items() if key != name}
        more = [f"'{other}'" for other in dead if other != name]
        raise CheckFailedError(
            f"hyperparameter '{name}' changes nothing here: a search would waste trials on it. Ask for it under "
            f"an `if`, or a conditional scope, only where it matters; or use it. The others: {point(others)}"
            + (f". The same goes for {listed(more)}" if more else "")
        )


def _check_declarations(samples: list[Sample]) -> None:
    if conflicting := next((one for one in samples if one.conflicts), None):
        raise CheckFailedError(conflicting.conflicts[0])
    known: dict[str, Any] = {}
    for sample in samples:
        if pair := conflict(known, sample.declared):
            raise CheckFailedError(
                f"hyperparameter '{pair[1].name}' has several meanings, {pair[0]!r} and {pair[1]!r}; give each its own "
                f"name. The latter with {point(sample.values)}"
            )


def _twice(subject: Subject, sample: Sample) -> tuple[Sample, Sample]:
    """Tries a point out twice, each time in a space of its own."""
    return subject.point(sample.values, subject.create()), subject.point(sample.values, subject.create())


def _check_same(one: Sample, other: Sample, what: str) -> None:
    advice = "derive everything from hp, self.input_shape and self.num_classes, nothing from chance or earlier builds"
    names, others = ([(hp.name, hp.get_config()) for hp in sample.declared] for sample in (one, other))
    if str(names) != str(others):
        changed = [pair[0] for pair in names if pair not in others] + [pair[0] for pair in others if pair not in names]
        raise CheckFailedError(
            f"{what} ask for different hyperparameters or defaults ({listed(list(dict.fromkeys(changed)))}); {advice}. "
            f"With {point(one.values)}"
        )
    if one.signature != other.signature:
        raise CheckFailedError(
            f"{what} give different networks: {difference(one.signature, other.signature)}; {advice}. "
            f"With {point(one.values)}"
        )


def _baseline(subject: Subject, name: str, values: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    for key, value in values.items():
        if key not in known:
            raise CheckFailedError(f"baseline '{name}': there is no hyperparameter '{key}'{nearest(key, known)}")
        try:
            Parameter(known[key]).to_optuna(value)
        except PluginError as error:
            raise CheckFailedError(f"baseline '{name}': {error}; give a value of its range, or widen that") from None
    found, _ = first_network(subject, values)
    if not found.is_network:
        raise CheckFailedError(f"baseline '{name}' has no network: {found.error}")
    if unused := [key for key in values if key not in found.values]:
        raise CheckFailedError(
            f"baseline '{name}': '{unused[0]}' is not asked for with its other values, {point(found.values)}; "
            "leave it out, or mend the others"
        )
    return f"{name} {amount(found.cost.params)}"


def first_network(subject: Subject, values: Mapping[str, Any]) -> tuple[Sample, Image]:
    """Tries a point out for the usual images, then for larger ones.

    Returns:
        The first that has a network, and the shape of its images.
    """
    found = subject.point(values)
    if found.is_infeasible and subject.has_sizes:
        image = (*LARGE_SIZE, subject.image[2])
        larger = subject.point(values, subject.create(image))
        if larger.is_network:
            return larger, image
    return found, subject.image


def _images(subject: Subject) -> Split:
    """Returns random images, pixels 0..255, with random labels."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (BATCH * STEPS, *subject.image), dtype=np.uint8)
    return Split(images, chance.integers(0, subject.classes, len(images)))


def _check_loss(returned: Any) -> None:
    history = getattr(returned, "history", None) or {}
    if not np.isfinite(history.get("loss", [0.0])).all():
        raise CheckFailedError(
            f"the loss becomes {history['loss'][-1]} within {STEPS} steps; normalise, or begin with smaller weights"
        )


def _weight(model: Any, path: str) -> Any:
    return _array(next(weight for weight in model.weights if weight.path == path))


def _array(weight: Any) -> Any:
    """Returns a copy of a weight, which does not change with it."""
    return np.array(keras.ops.convert_to_numpy(weight))


def _is_within(price: Cost, limits: Any) -> bool:
    try:
        check_limits(price, limits)
    except InfeasibleError:
        return False
    return True


def _size(sample: Sample) -> str:
    return f"{amount(sample.cost.params)} parameters, {amount(sample.cost.macs)} MACs"


def _check_between(subject: Subject) -> None:
    """Builds a point, another one, clears Keras, and builds the first one again."""
    if len(subject.networks) < 2:
        return
    first, other = subject.networks[0], subject.networks[-1]
    try:
        _check_same(*_twice(subject, first), "two builds")
    except CheckFailedError:
        raise CheckSkippedError("networks are not stable; mend that first") from None
    before = subject.point(first.values)
    subject.point(other.values)
    clear_keras()
    _check_same(before, subject.point(first.values), "builds with the same values, with another one between them,")


def _docstring(target: Any) -> str:
    own = target if isinstance(target, type) or inspect.isroutine(target) else type(target)
    return (own.__doc__ or "").strip()


def _named(shape: Image) -> str:
    return "x".join(map(str, shape))
