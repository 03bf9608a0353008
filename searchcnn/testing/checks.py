"""The checks of a search space: each returns its findings in words, or raises what is wrong and how to fix it."""

import inspect
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from searchcnn.search.hyperparameters import Parameter, find_conflict
from searchcnn.testing.relevance import is_dead, is_leaking, pick_pairs
from searchcnn.testing.result import CheckFailedError, CheckSkippedError
from searchcnn.testing.sample import GivenPoint, Sample
from searchcnn.testing.signature import find_difference
from searchcnn.testing.subject import Image, Subject
from searchcnn.testing.surroundings import find_reseeded
from searchcnn.text import format_amount, format_point, join_words
from searchcnn.training import Recipe, make_classifier
from searchcnn.training.callbacks import BatchStatistics, explain_lag
from searchcnn.training.candidate import Candidate
from searchcnn.training.fit import Stretch, fit_phase
from searchcnn.training.last_layer import is_compiled
from searchcnn.training.network import cut_heads, sums_to_one
from searchcnn.training.normalization import Normalization
from searchcnn.training.recipe import NORMALIZATIONS

ODD_SIZE = (37, 29)
"""Height and width in pixels, which no pooling divides evenly."""
LARGE_SIZE = (224, 224)
"""Height and width in pixels of ImageNet's images, for networks that were designed for them."""
MAX_INFEASIBLE = 0.5
"""Fraction of the random points that may be infeasible."""
LEAST_WITHIN = 0.1
"""Fraction of the random networks that must be within the limits."""
BATCH, STEPS = 8, 3
"""Images of a training step, and steps: weights before ones that begin as zeros learn only from the second step on."""
USUAL_STEPS = 100
"""Batches of a typical epoch."""
REFERENCES = ("reference:", "http://", "https://", "own work")
"""A docstring that contains one of these says where a search space comes from."""


def check_images(subject: Subject) -> str:
    """Builds the default network for the smallest images, odd sizes, gray and colour; outputs are probabilities."""
    shapes = list(_list_shapes(subject))
    for shape in shapes:
        _check_classifier(subject, shape)
    return join_words(["x".join(map(str, shape)) for shape in shapes])


def check_samples(subject: Subject) -> str:
    """Builds random points: each has a network or a reason why not; most have a network."""
    survey = subject.survey
    if broken := [sample for sample in survey if sample.error and not sample.is_infeasible]:
        raise CheckFailedError(
            f"{len(broken)} of {len(survey)} random points fail: {broken[0].error}; fix it, or raise "
            f"InfeasibleError(reason) where there is no network. It fails with {format_point(broken[0].values)}"
        )
    infeasible = [sample for sample in survey if not sample.is_network]
    if silent := [sample for sample in infeasible if not sample.reason]:
        raise CheckFailedError(
            f"InfeasibleError without a reason; raise InfeasibleError('image too small', ...). "
            f"It was raised with {format_point(silent[0].values)}"
        )
    reasons = join_words(
        [f"{reason} {count}" for reason, count in Counter(sample.reason for sample in infeasible).most_common(3)]
    )
    if len(infeasible) > MAX_INFEASIBLE * len(survey):
        raise CheckFailedError(
            f"{len(infeasible)} of {len(survey)} random points are infeasible ({reasons}): a search would waste most "
            "trials; narrow the ranges, or fit the network to the image. "
            f"The first one: {format_point(infeasible[0].values)}"
        )
    return f"{len(survey)} points" + (f", {len(infeasible)} infeasible ({reasons})" if infeasible else "")


def check_stability(subject: Subject) -> str:
    """Builds points twice: same values, same hyperparameters, same network; a name has one range everywhere."""
    _check_declarations([subject.default, *subject.survey])
    for sample in subject.networks[: subject.repeated]:
        _check_same(*_build_twice(subject, sample), "two builds with the same values")
    return f"{min(subject.repeated, len(subject.networks))} points built twice"


def check_relevance(subject: Subject) -> str:
    """Changes each hyperparameter in several points: the network changes too, unless it is switched off there."""
    if subject.space.has_own_fit:
        raise CheckSkippedError("the space has its own fit(), in which any hyperparameter may matter")
    pairs = list(pick_pairs(subject.networks, subject.samples))
    dead: dict[str, Sample] = {}
    for sample, hp in pairs:
        if hp.name not in dead and is_dead(subject, sample, hp):
            dead[hp.name] = sample
    _check_none_is_dead(dead)
    for sample in subject.networks[: subject.repeated]:
        for hp in sample.declared:
            if is_leaking(subject, sample, hp):
                raise CheckFailedError(
                    f"hyperparameter '{hp.name}' changes the network although a conditional scope switches it off; "
                    f"use the value that hp.{type(hp).__name__}() returns inside the scope. "
                    f"With {format_point(sample.values)}"
                )
    return f"{len({hp.name for _, hp in pairs})} hyperparameters, {len(pairs)} changes"


def check_baselines(subject: Subject) -> str:
    """Builds the baselines: they name hyperparameters that exist, with values in their ranges."""
    assert subject.default
    declared = {hp.name: hp for sample in subject.networks for hp in sample.declared}
    baselines = subject.loaded.baselines(subject.space)
    sizes = [_check_baseline(subject, name, values, declared) for name, values in baselines.items()]
    return join_words(sizes) if sizes else "none"


def check_training(subject: Subject) -> str:
    """Trains the default network for a few steps: the loss is finite, weights and statistics change fast enough."""
    assert subject.default
    split = _make_images(subject)
    hp = GivenPoint()
    model = subject.build(hp)
    recipe = Recipe(1, 1, BATCH) if is_compiled(model) else Recipe(1, 1, BATCH, optimizer="adam", learning_rate=1e-3)
    unchanged: set[str] = set()
    candidate = Candidate(subject.space, hp, model, recipe)
    stretch = Stretch(split, split, 0, [BatchStatistics()], normalization=_choose_normalization(model))
    for phase in candidate.phases():
        before = {weight.path: _copy_weight(weight) for weight in model.trainable_weights}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Gradients do not exist")  # the message below says what to do about it
            returned = fit_phase(candidate.during(phase, 1), stretch)
        _check_loss(returned)
        unchanged |= {path for path, old in before.items() if np.array_equal(old, _copy_weight_at(model, path))}
    if unchanged:
        raise CheckFailedError(
            f"{len(unchanged)} weights do not change in training: {', '.join(sorted(unchanged)[:4])}; no gradient "
            "reaches them: connect their layers to the output, or make them not trainable"
        )
    if slow := explain_lag(model, USUAL_STEPS):
        raise CheckFailedError(slow)
    return f"{STEPS} steps on {BATCH} images"


def check_pixels(subject: Subject) -> str:
    """Probes the default network: it gets pixels scaled to 0..1, unless it scales them itself."""
    assert subject.default
    pixels = detect_range(subject.build(GivenPoint()))
    return f"it scales pixels itself and gets {pixels}" if pixels else "it gets pixels scaled to 0..1"


def check_saving(subject: Subject) -> str:
    """Saves the default network: plain Keras loads it in a fresh process, and it predicts the same."""
    assert subject.default
    model = subject.build(GivenPoint())
    images = _make_images(subject).images
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{subject.loaded.name}.keras"
        network = make_classifier(model, subject.image, _choose_normalization(model))
        save_model(path, network, {})
        try:
            verify(path, images, predict(network, images))
        except SearchcnnError as error:
            raise CheckFailedError(str(error).replace(f"{path}: ", "")) from None
    return "loads with plain Keras and predicts the same"


def check_size(subject: Subject) -> str:
    """Counts weights and multiply-accumulates: the default network and some random ones are within the limits."""
    limits = subject.limits
    try:
        check_limits(subject.default.cost, limits)
    except InfeasibleError as error:
        raise CheckFailedError(f"the default network is over a limit, {error}: choose smaller defaults") from None
    networks = [sample for sample in subject.survey if sample.is_network]
    within = sum(_is_within(sample.cost, limits) for sample in networks)
    if within < LEAST_WITHIN * len(networks):
        raise CheckFailedError(
            f"{within} of {len(networks)} random networks have at most {format_amount(limits.max_params)} parameters "
            f"and {format_amount(limits.max_macs)} MACs: a search would waste most trials; choose smaller ranges"
        )
    return f"default {_format_size(subject.default)}; {within} of {len(networks)} random ones within the limits"


def check_isolation(subject: Subject) -> str:
    """Checks that builds leave the process, and other networks, unchanged."""
    samples = [subject.default, *subject.survey[: subject.repeated]]
    for sample in samples:
        subject.try_values(sample.values)
    if subject.changes:
        raise CheckFailedError(
            f"building changes {'; '.join(subject.changes)}: other search spaces would be built differently; leave it "
            "alone, or restore it before build() returns"
        )
    if seeded := find_reseeded(lambda: subject.try_values({})):
        raise CheckFailedError(
            f"building seeds {join_words(seeded)}: all trials would get the same weights; leave seeds alone"
        )
    _check_between(subject)
    return f"{len(samples)} builds"


def check_documentation(subject: Subject) -> str:
    """Reads the docstring: it says what is searched, and names a reference."""
    text = _read_docstring(subject.loaded.target)
    if not text:
        raise CheckFailedError("no docstring; say what is searched in the first line of the class's docstring")
    reference = subject.space.reference
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


def _choose_normalization(model: Any) -> Normalization:
    return Normalization.of(NORMALIZATIONS[detect_range(model) or "0..1"], images=None)


def _list_shapes(subject: Subject) -> Iterator[Image]:
    yield subject.image
    if not subject.has_sizes:
        return
    height, width = subject.space.min_size
    supported: Sequence[int] = subject.space.channels or (1, 3)
    channels = [count for count in (1, 3) if count in supported] or list(supported[:1])
    for count in channels:
        yield max(height | 1, ODD_SIZE[0]), max(width | 1, ODD_SIZE[1]), count
    yield height, width, channels[0]


def _check_classifier(subject: Subject, shape: Image) -> None:
    space = subject.create(shape)
    remedy = ""  # if the usual images fail, their shape is not the reason
    if shape != subject.image:
        remedy = (
            "; build it from self.input_shape and self.num_classes, pad, pool less, or set the class's min_size or "
            "channels to what it can handle"
        )
    try:
        model = subject.build(GivenPoint(), space)
        images = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
        outputs = cut_heads(model)(images, training=False)
    except InfeasibleError as error:
        raise CheckFailedError(
            f"images {_format_shape(shape)}: the default point is infeasible: {error}{remedy}"
        ) from None
    except (Exception, SystemExit) as error:
        raise CheckFailedError(f"images {_format_shape(shape)}: {subject.explain(error)}{remedy}") from error
    _check_probabilities(outputs, shape)


def _check_probabilities(probabilities: Any, shape: Image) -> None:
    outputs = as_array(probabilities)
    sums = outputs.sum(axis=-1)
    if not np.isfinite(outputs).all() or outputs.min() < 0 or not sums_to_one(probabilities):
        raise CheckFailedError(
            f"images {_format_shape(shape)}: the first output is not probabilities: its sums are {sums.min():.4g} to "
            f"{sums.max():.4g}, its smallest value {outputs.min():.4g}; end the network with a softmax activation"
        )


def _check_none_is_dead(dead: Mapping[str, Sample]) -> None:
    """Refuses hyperparameters that change nothing, given by name with a point at which they change nothing."""
    for name, sample in dead.items():
        values = {key: value for key, value in sample.values.items() if key != name}
        others = [f"'{other}'" for other in dead if other != name]
        raise CheckFailedError(
            f"hyperparameter '{name}' changes nothing here: a search would waste trials on it. Ask for it under "
            f"an `if`, or a conditional scope, only where it matters; or use it. The others: {format_point(values)}"
            + (f". The same goes for {join_words(others)}" if others else "")
        )


def _check_declarations(samples: list[Sample]) -> None:
    if conflicting := next((sample for sample in samples if sample.conflicts), None):
        raise CheckFailedError(conflicting.conflicts[0])
    declared: dict[str, Any] = {}
    for sample in samples:
        if pair := find_conflict(declared, sample.declared):
            raise CheckFailedError(
                f"hyperparameter '{pair[1].name}' has several meanings, {pair[0]!r} and {pair[1]!r}; give each its own "
                f"name. The latter with {format_point(sample.values)}"
            )


def _build_twice(subject: Subject, sample: Sample) -> tuple[Sample, Sample]:
    """Tries a point twice, each time in a new instance of the space."""
    return subject.try_values(sample.values, subject.create()), subject.try_values(sample.values, subject.create())


def _check_same(first: Sample, second: Sample, builds: str) -> None:
    advice = "derive everything from hp, self.input_shape and self.num_classes, nothing from chance or earlier builds"
    old, new = ([(hp.name, hp.get_config()) for hp in sample.declared] for sample in (first, second))
    if str(old) != str(new):
        changed = [hp[0] for hp in old if hp not in new] + [hp[0] for hp in new if hp not in old]
        raise CheckFailedError(
            f"{builds} ask for different hyperparameters or defaults ({join_words(list(dict.fromkeys(changed)))}); "
            f"{advice}. With {format_point(first.values)}"
        )
    if first.signature != second.signature:
        raise CheckFailedError(
            f"{builds} give different networks: {find_difference(first.signature, second.signature)}; {advice}. "
            f"With {format_point(first.values)}"
        )


def _check_baseline(subject: Subject, name: str, values: Mapping[str, Any], declared: Mapping[str, Any]) -> str:
    for key, value in values.items():
        if key not in declared:
            raise CheckFailedError(f"baseline '{name}': there is no hyperparameter '{key}'{nearest(key, declared)}")
        try:
            Parameter(declared[key]).to_optuna(value)
        except PluginError as error:
            raise CheckFailedError(f"baseline '{name}': {error}; choose a value in its range, or widen it") from None
    sample, _ = find_network(subject, values)
    if not sample.is_network:
        raise CheckFailedError(f"baseline '{name}' has no network: {sample.error}")
    if unused := [key for key in values if key not in sample.values]:
        raise CheckFailedError(
            f"baseline '{name}': '{unused[0]}' is not asked for with its other values, {format_point(sample.values)}; "
            "leave it out, or change the others"
        )
    return f"{name} {format_amount(sample.cost.params)}"


def find_network(subject: Subject, values: Mapping[str, Any]) -> tuple[Sample, Image]:
    """Tries a point for the usual images, then for larger ones.

    Returns:
        The first sample that has a network, and the shape of its images.
    """
    sample = subject.try_values(values)
    if sample.is_infeasible and subject.has_sizes:
        image = (*LARGE_SIZE, subject.image[2])
        larger = subject.try_values(values, subject.create(image))
        if larger.is_network:
            return larger, image
    return sample, subject.image


def _make_images(subject: Subject) -> Split:
    """Returns random images, pixels 0..255, with random labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH * STEPS, *subject.image), dtype=np.uint8)
    return Split(images, rng.integers(0, subject.classes, len(images)))


def _check_loss(returned: Any) -> None:
    history = getattr(returned, "history", None) or {}
    if not np.isfinite(history.get("loss", [0.0])).all():
        raise CheckFailedError(
            f"the loss becomes {history['loss'][-1]} within {STEPS} steps; normalise, or start with smaller weights"
        )


def _copy_weight_at(model: Any, path: str) -> Any:
    return _copy_weight(next(weight for weight in model.weights if weight.path == path))


def _copy_weight(weight: Any) -> Any:
    """Returns a copy of a weight, which does not change when the weight does."""
    return np.array(keras.ops.convert_to_numpy(weight))


def _is_within(cost: Cost, limits: Any) -> bool:
    try:
        check_limits(cost, limits)
    except InfeasibleError:
        return False
    return True


def _format_size(sample: Sample) -> str:
    return f"{format_amount(sample.cost.params)} parameters, {format_amount(sample.cost.macs)} MACs"


def _check_between(subject: Subject) -> None:
    """Builds a point, then another one, clears Keras, and builds the first one again."""
    if len(subject.networks) < 2:
        return
    first, other = subject.networks[0], subject.networks[-1]
    try:
        _check_same(*_build_twice(subject, first), "two builds")
    except CheckFailedError:
        raise CheckSkippedError("networks are not stable; fix that first") from None
    before = subject.try_values(first.values)
    subject.try_values(other.values)
    clear_keras()
    _check_same(before, subject.try_values(first.values), "builds with the same values, with another one between them,")


def _read_docstring(target: Any) -> str:
    definition = target if isinstance(target, type) or inspect.isroutine(target) else type(target)
    return (definition.__doc__ or "").strip()


def _format_shape(shape: Image) -> str:
    return "x".join(map(str, shape))
