"""Features of frozen networks: where a network is divided, what is kept on disk, and what training makes of it."""

import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset, Split, arrays
from searchcnn.files import replacing
from searchcnn.results import save_model
from searchcnn.search import InterruptedTrialError, Trial
from searchcnn.spaces import SearchSpace
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402

from searchcnn.training import Trainer, features  # noqa: E402
from searchcnn.training.features import FeatureCache, divide  # noqa: E402

Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
layers = keras.layers
MODULE = "searchcnn.training.features"
FOLDER = "features"


def frozen(layer: Any) -> Any:
    layer.trainable = False
    return layer


def head(x: Any, name: str | None = None) -> Any:
    return layers.Dense(10, activation="softmax")(layers.Flatten(name=name)(x))


def one_frozen(images: Any) -> Any:
    return head(layers.ReLU()(frozen(layers.Conv2D(4, 3))(images)), "last")


def nested_with_statistics(images: Any) -> Any:
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    return head(frozen(inner)(images, training=False), "last")


def random_later(images: Any) -> Any:
    x = frozen(layers.Conv2D(4, 3, name="last"))(images)
    x = layers.Dropout(0.5)(x)
    return head(frozen(layers.Conv2D(4, 3))(x))


def trained_statistics(images: Any) -> Any:
    """Batch normalisation without weights of its own is not trained, and yet changes."""
    x = frozen(layers.Conv2D(4, 3, name="last"))(images)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    return head(frozen(layers.Conv2D(4, 3))(x))


def dropout_of_no_rate(images: Any) -> Any:
    x = layers.Dropout(0.0)(images)
    drop = layers.Dropout(0.5)
    x = frozen(layers.Conv2D(4, 3))(drop(x))
    drop.rate = 0.0
    return head(x, "last")


def residual(images: Any) -> Any:
    x = frozen(layers.Conv2D(4, 3, padding="same"))(images)
    y = frozen(layers.Conv2D(4, 3, padding="same"))(x)
    x = layers.Add(name="last")([x, y])
    return head(layers.Add()([x, layers.Conv2D(4, 3, padding="same")(x)]))


def preprocessed(images: Any) -> Any:
    x = keras.ops.flip(layers.Rescaling(2.0, -1.0)(layers.Concatenate()([images, images])), axis=-1)
    return head(frozen(layers.Conv2D(4, 3))(x), "last")


def shared(images: Any) -> Any:
    convolution = frozen(layers.Conv2D(1, 3, padding="same"))
    a = convolution(images)
    b = frozen(layers.Conv2D(1, 3, padding="same"))(a)
    return head(layers.Add()([convolution(a), b]), "last")


def nothing_frozen(images: Any) -> Any:
    return head(layers.Conv2D(4, 3)(images))


def all_frozen(images: Any) -> Any:
    return frozen(layers.Dense(10, activation="softmax"))(frozen(layers.Flatten())(images))


def no_weights_before(images: Any) -> Any:
    return head(layers.MaxPooling2D()(layers.Rescaling(2.0)(images)))


def augmented(images: Any) -> Any:
    return one_frozen(layers.RandomFlip()(images))


def dropped(images: Any) -> Any:
    return one_frozen(layers.Dropout(0.5)(images))


def noisy(images: Any) -> Any:
    return one_frozen(layers.GaussianNoise(0.5)(images))


def nested_with_dropout(images: Any) -> Any:
    """Keras overrides `training=False` while it trains a functional model: the dropout is at work."""
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Dropout(0.5)])
    return head(frozen(inner)(images, training=False))


def trained_branch(images: Any) -> Any:
    x = layers.Conv2D(4, 3)(images)
    y = frozen(layers.Conv2D(4, 3))(images)
    return head(layers.Add()([x, y]))


def network(body: Callable[[Any], Any]) -> Any:
    keras.utils.set_random_seed(3)
    images = keras.Input((8, 8, 1))
    return keras.Model(images, body(images))


def sequential(*start: Any) -> Any:
    keras.utils.set_random_seed(3)
    end = [layers.ReLU(), layers.Flatten(name="last"), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((8, 8, 1)), *start, frozen(layers.Conv2D(4, 3)), *end])


def grown() -> Any:
    """Returns a sequential model of the kind that calls its layers once more for each that is added."""
    model = keras.Sequential()
    for layer in (keras.Input((8, 8, 1)), *sequential().layers):
        model.add(layer)
    return model


@pytest.fixture
def images(few: Dataset) -> Any:
    return arrays(few.train)[0][:32]


@pytest.mark.parametrize(
    "body",
    [
        *(one_frozen, nested_with_statistics, residual),
        *(
            pytest.param(body, marks=pytest.mark.slow)
            for body in (random_later, trained_statistics, dropout_of_no_rate, preprocessed, shared)
        ),
    ],
)
def test_a_network_is_divided_behind_what_never_changes(body: Callable[[Any], Any], images: Any) -> None:
    model = network(body)
    check_division(model, images)


@pytest.mark.parametrize("make", [sequential, grown], ids=["at once", "layer by layer"])
def test_a_sequential_network_is_divided(make: Callable[[], Any], images: Any) -> None:
    model = make()
    check_division(model, images)
    assert divide(sequential(layers.RandomFlip())) is None


def check_division(model: Any, images: Any) -> None:
    parts = divide(model)
    assert parts is not None
    first, rest = parts
    last = next(layer for layer in model.layers if layer.name == "last")
    assert first.layers[-1] is last
    kept = first.predict(images, verbose=0)
    np.testing.assert_array_equal(np.asarray(first(images, training=True)), first(images, training=False))
    np.testing.assert_allclose(rest.predict(kept, verbose=0), model.predict(images, verbose=0), rtol=1e-5, atol=1e-6)
    before = model.predict(images, verbose=0)
    rest.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    rest.fit(kept, np.arange(len(images)) % 10, epochs=2, verbose=0)
    after = model.predict(images, verbose=0)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(rest.predict(kept, verbose=0), after, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first.predict(images, verbose=0), kept)
    assert divide(model) is not None  # a second time, for the next phase of training


@pytest.mark.parametrize(
    "body",
    [
        *(nothing_frozen, all_frozen, no_weights_before, augmented, dropped, noisy, nested_with_dropout),
        *(trained_branch,),
    ],
)
def test_a_network_that_is_not_divided(body: Callable[[Any], Any]) -> None:
    assert divide(network(body)) is None


def test_several_outputs(images: Any) -> None:
    start = keras.Input((8, 8, 1))
    x = frozen(layers.Conv2D(4, 3, name="last"))(start)
    y = frozen(layers.Conv2D(4, 3))(x)
    model = keras.Model(start, [head(y), head(x)])
    parts = divide(model)
    assert parts is not None
    assert parts[0].layers[-1].name == "last"  # not the second: one head branches off before it
    for mine, its in zip(parts[1](parts[0](images)), model(images), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)
    assert divide(keras.Model(start, [head(y), x])) is None


def test_layers_that_are_part_of_another_network_too(images: Any) -> None:
    convolution, other = frozen(layers.Conv2D(4, 3)), keras.Input((9, 9, 1))
    keras.Model(other, head(convolution(other)))
    start = keras.Input((8, 8, 1))
    check_division(keras.Model(start, head(convolution(start), "last")), images)


# The cache


class Watch:
    """Counts batches of images whose features are computed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[float] = []
        self._error = error

    def __call__(self, part: float) -> None:
        self.heard.append(part)
        if self._error:
            raise self._error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / FOLDER


@pytest.fixture
def first() -> Any:
    parts = divide(network(one_frozen))
    assert parts is not None
    return parts[0]


SIZE = 96 * 6 * 6 * 4 * 4
"""Bytes of the features of the validation images."""


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_features_are_computed_once(few: Dataset, folder: Path, first: Any) -> None:
    watch = Watch()
    split = FeatureCache("data", 10**9, folder).features(first, few.validation, "validation", watch)
    assert watch.heard == [64 / 96, 1.0]
    assert split.images.dtype == np.float32
    assert (split.images.shape, split.images.nbytes) == ((96, 144), SIZE)
    assert not isinstance(split.images, np.memmap)
    np.testing.assert_array_equal(split.labels, few.validation.labels)
    expected = first.predict(arrays(few.validation)[0], verbose=0)
    np.testing.assert_allclose(split.images, expected, rtol=1e-5, atol=1e-6)

    again = FeatureCache("data", 10**9, folder).features(first, few.validation, "validation", watch)
    assert len(watch.heard) == 2
    np.testing.assert_array_equal(again.images, split.images)
    assert len(files(folder)) == 1


def test_features_belong_to_the_network_the_images_and_their_part(few: Dataset, folder: Path, first: Any) -> None:
    watch = Watch()

    def ask(data: str = "data", part: str = "train") -> None:
        FeatureCache(data, 10**9, folder).features(first, few.validation, part, watch)

    asks: tuple[Callable[[], None], ...] = (
        ask,
        lambda: ask("other data"),
        lambda: ask(part="validation"),
    )
    for number, each in enumerate(asks, 1):
        each()
        each()
        assert len(files(folder)) == number
    first.set_weights([2 * weight for weight in first.get_weights()])
    ask()
    assert len(files(folder)) == 4


def test_networks_of_the_same_weights_that_compute_something_else(few: Dataset, folder: Path) -> None:
    cache = FeatureCache("data", 10**9, folder)
    largest = []
    for scale in (1.0, 2.0):
        start = keras.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, kernel_initializer="ones")(layers.Rescaling(scale)(start))
        largest.append(cache.features(keras.Model(start, x), few.validation, "validation", Watch()).images.max())
    assert largest[1] == pytest.approx(2 * largest[0])


def test_weights_that_the_first_images_do_not_show(few: Dataset, folder: Path) -> None:
    dark = few.validation.images.copy()
    dark[:50] = 0
    cache, split = FeatureCache("data", 10**9, folder), Split(dark, few.validation.labels)
    largest = []
    for kernel in (keras.initializers.Constant(1.0), keras.initializers.Constant(2.0)):
        start = keras.Input((8, 8, 1))
        network = keras.Model(start, layers.Conv2D(4, 3, kernel_initializer=kernel)(start))
        largest.append(cache.features(network, split, "validation", Watch()).images.max())
    assert largest[1] == pytest.approx(2 * largest[0])


def test_the_least_recently_used_make_room(few: Dataset, folder: Path, first: Any) -> None:
    watch = Watch()
    cache = FeatureCache("data", 3 * SIZE + 1000, folder)

    def ask(part: str) -> bool:
        """Whether they had to be computed."""
        heard = len(watch.heard)
        cache.features(first, few.validation, part, watch)
        for age, file in enumerate(sorted(files(folder), key=lambda file: -file.stat().st_mtime_ns)):
            os.utime(file, (10**9 - age, 10**9 - age))  # in the same order, a long time ago
        return len(watch.heard) > heard

    assert [ask(part) for part in "abc"] == [True] * 3
    assert not ask("a")
    assert ask("d")
    assert not ask("a")
    assert not ask("c")
    assert ask("b")
    assert len(files(folder)) == 3


def test_what_a_killed_process_has_left_makes_room_first(few: Dataset, folder: Path, first: Any) -> None:
    folder.mkdir()
    left = folder / ".123.abc.npy"
    left.write_bytes(bytes(10**6))
    os.utime(left, (0, 0))
    FeatureCache("data", 10**6, folder).features(first, few.validation, "a", Watch())
    assert not left.exists()
    assert len(files(folder)) == 1


def test_what_fits(few: Dataset, folder: Path, first: Any) -> None:
    assert FeatureCache("data", SIZE, folder).fits(first, few.validation)
    assert not FeatureCache("data", SIZE - 1, folder).fits(first, few.validation)
    assert not FeatureCache("data", SIZE, folder).fits(first, few.validation, few.validation)
    assert not FeatureCache("data", 0, folder).fits(first, few.validation)


def test_a_network_for_images_of_any_size(few: Dataset, folder: Path) -> None:
    start = keras.Input((None, None, 1))
    model = keras.Model(start, layers.Conv2D(4, 3)(start))
    cache = FeatureCache("data", SIZE, folder)
    assert cache.fits(model, few.validation)
    assert cache.features(model, few.validation, "a", Watch()).images.shape == (96, 6, 6, 4)


def test_stopping_leaves_nothing_and_the_next_time_all_is_computed(few: Dataset, folder: Path, first: Any) -> None:
    cache = FeatureCache("data", 10**9, folder)
    with pytest.raises(InterruptedTrialError):
        cache.features(first, few.validation, "a", Watch(InterruptedTrialError()))
    assert files(folder) == []
    watch = Watch()
    cache.features(first, few.validation, "a", watch)
    assert len(watch.heard) == 2


def test_large_features_stay_on_disk(few: Dataset, folder: Path, first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache("data", 10**9, folder)
    whole = cache.features(first, few.validation, "a", Watch()).images
    monkeypatch.setattr(features, "IN_MEMORY", SIZE - 1)
    mapped = cache.features(first, few.validation, "a", Watch()).images
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, whole)


def truncate(path: Path) -> None:
    os.truncate(path, SIZE // 2)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        lambda path: os.truncate(path, 0),
        lambda path: path.write_bytes(b"\x00" * SIZE),
        lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
        lambda path: path.write_bytes(path.read_bytes()[:10] + b"{" * 118),
        lambda path: np.save(path, np.zeros((3, 144), np.float32)),
        lambda path: np.save(path, np.zeros((96, 144), np.float64)),
        lambda path: np.save(path, np.array([{}])),
    ],
)
def test_a_damaged_file_is_computed_anew(few: Dataset, folder: Path, first: Any, damage: Callable[[Path], Any]) -> None:
    cache, watch = FeatureCache("data", 10**9, folder), Watch()
    whole = cache.features(first, few.validation, "a", watch).images
    (path,) = files(folder)
    damage(path)
    for _ in range(2):
        np.testing.assert_array_equal(cache.features(first, few.validation, "a", watch).images, whole)
    assert len(watch.heard) == 4
    assert files(folder) == [path]


def test_writers_at_the_same_time_do_not_clash(few: Dataset, folder: Path, first: Any) -> None:
    """Another process, which may have objects at the same places in memory, writes a file of another name."""
    seen: set[str] = set()

    class Look(Watch):
        def __call__(self, part: float) -> None:
            seen.update(file.name for file in files(folder))

    FeatureCache("data", 10**9, folder).features(first, few.validation, "a", Look())
    (path,) = files(folder)
    path.unlink()
    if (child := os.fork()) == 0:  # no Keras there
        with contextlib.suppress(BaseException), replacing(path) as new:
            (folder.parent / "child").write_text(new.name)
        os._exit(0)
    os.waitpid(child, 0)
    with replacing(path) as new:
        mine = new.name
        new.touch()
    assert seen == {mine}
    assert (folder.parent / "child").read_text() != mine


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Lets no file grow beyond some kilobytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_and_leaves_nothing(few: Dataset, folder: Path, first: Any) -> None:
    cache, watch = FeatureCache("data", 10**9, folder), Watch()
    with pytest.raises(OSError, match="too large"), full_disk():
        cache.features(first, few.validation, "a", watch)
    assert files(folder) == []
    assert cache.features(first, few.validation, "a", watch).images.nbytes == SIZE


# Training on features


class Transfer(SearchSpace):
    """A frozen part whose convolution is always the same, and a head."""

    def __init__(self, is_random: bool = False) -> None:
        super().__init__()
        self.is_random = is_random

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = layers.RandomTranslation(0.1, 0.1)(images) if self.is_random else images
        x = layers.Conv2D(8, 3, activation="relu", kernel_initializer=keras.initializers.HeNormal(1), name="base")(x)
        start = keras.Model(images, x, name="start")
        start.trainable = False
        y = layers.Flatten()(layers.MaxPooling2D()(start(images, training=False)))
        y = layers.Dense(32, activation="relu")(y)
        return keras.Model(images, layers.Dense(self.num_classes, activation="softmax")(y))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder that trainers keep features in."""
    monkeypatch.setattr(features, "cache", lambda kind: tmp_path / kind)
    return tmp_path / FOLDER


def train(config: StudyConfig, data: Dataset, begin: Begin, space: Any = None, **arguments: Any) -> tuple[Any, Any]:
    """Returns the evaluation of a trial and its learning curve."""
    space = space or Transfer()
    space.input_shape, space.num_classes = data.input_shape, data.num_classes
    trial = begin(config, **arguments)
    evaluation = Trainer(config, data, {"net": space})(trial)
    return evaluation, trial._study.curve(trial.number)


@pytest.mark.parametrize("in_memory", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_training_on_features_is_training_on_images(
    study_config: Config,
    begin: Begin,
    few: Dataset,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_memory: bool,
) -> None:
    if not in_memory:
        monkeypatch.setattr(features, "IN_MEMORY", 0)
    training = {"epochs": 3, "label_smoothing": 0.1, "l2": 0.001}
    evaluation, curve = train(study_config(training=training), few, begin)
    assert len(files(kept)) == 2
    assert [epoch.number for epoch in curve] == [1, 2, 3]
    expected, whole = train(study_config(training=training, limits={"feature_cache": 0}), few, begin)
    assert len(files(kept)) == 2
    for mine, its in zip(curve, whole, strict=True):
        assert mine.metrics.keys() == its.metrics.keys()
        assert mine.metrics["loss"] == pytest.approx(its.metrics["loss"], rel=1e-3)
        assert mine.metrics["val_loss"] == pytest.approx(its.metrics["val_loss"], rel=1e-3)
        assert mine.metrics["val_accuracy"] == pytest.approx(its.metrics["val_accuracy"], abs=0.011)
    assert evaluation.value == max(epoch.metrics["val_accuracy"] for epoch in curve) > 0.4
    for mine, its in zip(evaluation.network.get_weights(), expected.network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-2, atol=1e-3)

    save_model(tmp_path / "best.keras", evaluation.network, {})
    loaded = keras.models.load_model(tmp_path / "best.keras")
    predicted = loaded.predict(few.validation.images, verbose=0)
    np.testing.assert_allclose(
        predicted, evaluation.network.predict(few.validation.images, verbose=0), rtol=1e-4, atol=1e-5
    )
    assert (predicted.argmax(-1) == few.validation.labels).mean() == pytest.approx(evaluation.value)


def test_the_features_are_used(study_config: Config, begin: Begin, few: Dataset, kept: Path) -> None:
    """Whoever puts other features on the disk trains on them."""
    config = study_config(training={"epochs": 2})
    good, _ = train(config, few, begin)
    for path in files(kept):
        stored = np.lib.format.open_memmap(path, "r+")
        stored[:] = 0
        stored.flush()
    bad, _ = train(config, few, begin)
    assert good.value > 0.4
    assert bad.value < 0.25
    assert len(files(kept)) == 2


def test_augmentation_keeps_nothing(study_config: Config, begin: Begin, few: Dataset, kept: Path) -> None:
    evaluation, _ = train(study_config(), few, begin, Transfer(is_random=True))
    assert evaluation.value > 0
    assert files(kept) == []


@pytest.mark.parametrize("trouble", ["no folder", "second file"])
def test_a_trial_goes_on_where_features_cannot_be_kept(
    study_config: Config, begin: Begin, few: Dataset, kept: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    config = study_config()
    expected, whole = train(study_config(limits={"feature_cache": 0}), few, begin)
    if trouble == "no folder":
        kept.write_text("a file")
    compute, computed = features._compute, []

    def fail(network: Any, split: Split, path: Path, *rest: Any) -> None:
        computed.append(len(split))
        if len(computed) == 1:
            return compute(network, split, path, *rest)
        with full_disk():
            return compute(network, split, path, *rest)

    monkeypatch.setattr(features, "_compute", fail)
    evaluation, curve = train(config, few, begin)
    assert [epoch.metrics for epoch in curve] == [epoch.metrics for epoch in whole]
    assert evaluation.value == expected.value
    assert computed == {"no folder": [], "second file": [256, 96]}[trouble]


def test_the_user_s_stop_while_features_are_computed(
    study_config: Config, begin: Begin, few: Dataset, kept: Path
) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedTrialError):
        train(study_config(), few, begin, stop=stop)
    assert files(kept) == []
