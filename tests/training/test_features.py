"""Features of frozen networks: where a network is divided, what is kept on disk, and what training makes of it."""

import contextlib
import itertools
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.augmentation import Augmentation
from searchcnn.backend import start_keras
from searchcnn.data import Dataset, Split, Views
from searchcnn.results import save_model
from searchcnn.search import InterruptedTrialError, Trial
from searchcnn.spaces import SearchSpace
from searchcnn.study import StudyConfig
from searchcnn.study.rules import RULES, Rules
from searchcnn.training.normalization import Normalization
from searchcnn.training.pipeline import make_arrays

start_keras()

import keras  # noqa: E402

from searchcnn.training import Trainer, features  # noqa: E402
from searchcnn.training.features import FeatureCache, Images, split_frozen  # noqa: E402

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


def make_network(body: Callable[[Any], Any]) -> Any:
    keras.utils.set_random_seed(3)
    images = keras.Input((8, 8, 1))
    return keras.Model(images, body(images))


def make_sequential(*start: Any) -> Any:
    keras.utils.set_random_seed(3)
    end = [layers.ReLU(), layers.Flatten(name="last"), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((8, 8, 1)), *start, frozen(layers.Conv2D(4, 3)), *end])


def make_grown() -> Any:
    """Returns a sequential model of the kind that calls its layers again for each that is added."""
    model = keras.Sequential()
    for layer in (keras.Input((8, 8, 1)), *make_sequential().layers):
        model.add(layer)
    return model


@pytest.fixture
def images(few: Dataset) -> Any:
    return make_arrays(few.train)[0][:32]


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
    model = make_network(body)
    check_division(model, images)


@pytest.mark.parametrize("make", [make_sequential, make_grown], ids=["at once", "layer by layer"])
def test_a_sequential_network_is_divided(make: Callable[[], Any], images: Any) -> None:
    model = make()
    check_division(model, images)
    assert split_frozen(make_sequential(layers.RandomFlip())) is None


def check_division(model: Any, images: Any) -> None:
    parts = split_frozen(model)
    assert parts is not None
    first, rest = parts
    last = next(layer for layer in model.layers if layer.name == "last")
    assert first.layers[-1] is last
    features = first.predict(images, verbose=0)
    np.testing.assert_array_equal(np.asarray(first(images, training=True)), first(images, training=False))
    np.testing.assert_allclose(
        rest.predict(features, verbose=0), model.predict(images, verbose=0), rtol=1e-5, atol=1e-6
    )
    before = model.predict(images, verbose=0)
    rest.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    rest.fit(features, np.arange(len(images)) % 10, epochs=2, verbose=0)
    after = model.predict(images, verbose=0)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(rest.predict(features, verbose=0), after, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first.predict(images, verbose=0), features)
    assert split_frozen(model) is not None  # a second time, for the next phase of training


@pytest.mark.parametrize(
    "body",
    [
        *(nothing_frozen, all_frozen, no_weights_before, augmented, dropped, noisy, nested_with_dropout),
        *(trained_branch,),
    ],
)
def test_a_network_that_is_not_divided(body: Callable[[Any], Any]) -> None:
    assert split_frozen(make_network(body)) is None


def test_several_outputs(images: Any) -> None:
    start = keras.Input((8, 8, 1))
    x = frozen(layers.Conv2D(4, 3, name="last"))(start)
    y = frozen(layers.Conv2D(4, 3))(x)
    model = keras.Model(start, [head(y), head(x)])
    parts = split_frozen(model)
    assert parts is not None
    assert parts[0].layers[-1].name == "last"  # not the second: one head branches off before it
    for mine, its in zip(parts[1](parts[0](images)), model(images), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)
    assert split_frozen(keras.Model(start, [head(y), x])) is None


def test_layers_that_are_part_of_another_network_too(images: Any) -> None:
    convolution, other = frozen(layers.Conv2D(4, 3)), keras.Input((9, 9, 1))
    keras.Model(other, head(convolution(other)))
    start = keras.Input((8, 8, 1))
    check_division(keras.Model(start, head(convolution(start), "last")), images)


# The cache


class Watch:
    """Hears which part of features is computed."""

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
    parts = split_frozen(make_network(one_frozen))
    assert parts is not None
    return parts[0]


def make_maps() -> Any:
    """Returns a network whose features are maps."""
    keras.utils.set_random_seed(3)
    start = keras.Input((8, 8, 1))
    return keras.Model(start, layers.Conv2D(4, 3)(start))


SIZE = 96 * 6 * 6 * 4 * 4
"""Bytes of the features of the validation images."""


def list_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


def compute_features(
    cache: FeatureCache, network: Any, split: Split, watch: Watch | None = None, name: str = "a"
) -> Any:
    """Returns the features of one part of the images, which is taken for both: a cache keeps them once."""
    images = Images(split, name)
    seen, unseen = cache.compute_cached(network, watch or Watch(), [images], images)
    np.testing.assert_array_equal(seen.images, unseen.images)
    return seen.images


def test_features_are_computed_once(few: Dataset, folder: Path, first: Any) -> None:
    watch = Watch()
    train, validation = Images(few.train, "train"), Images(few.validation, "validation")
    splits = FeatureCache("data", 10**9, folder).compute_cached(first, watch, [train], validation)
    assert watch.heard == pytest.approx([number / 11 for number in range(1, 12)])
    for features_of, split in zip(splits, (few.train, few.validation), strict=True):
        assert features_of.images.dtype == np.float32
        assert features_of.images.shape == (len(split), 144)
        assert not isinstance(features_of.images, np.memmap)
        np.testing.assert_array_equal(features_of.labels, split.labels)
        expected = first.predict(make_arrays(split)[0], verbose=0)
        np.testing.assert_allclose(features_of.images, expected, rtol=1e-5, atol=1e-6)

    again = FeatureCache("data", 10**9, folder).compute_cached(first, watch, [train], validation)
    assert len(watch.heard) == 11
    for one, other in zip(again, splits, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
    assert len(list_files(folder)) == 2


def test_features_belong_to_the_network_the_images_and_their_part(few: Dataset, folder: Path, first: Any) -> None:
    watch = Watch()

    def once(data: str = "data", part: str = "train") -> None:
        compute_features(FeatureCache(data, 10**9, folder), first, few.validation, watch, part)

    asks: tuple[Callable[[], None], ...] = (
        once,
        lambda: once("other data"),
        lambda: once(part="validation"),
    )
    for number, each in enumerate(asks, 1):
        each()
        each()
        assert len(list_files(folder)) == number
    first.set_weights([2 * weight for weight in first.get_weights()])
    once()
    assert len(list_files(folder)) == 4
    assert len(watch.heard) == 4 * 3


def test_networks_of_the_same_weights_that_compute_something_else(few: Dataset, folder: Path) -> None:
    cache = FeatureCache("data", 10**9, folder)
    largest = []
    for scale in (1.0, 2.0):
        start = keras.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, kernel_initializer="ones")(layers.Rescaling(scale)(start))
        largest.append(compute_features(cache, keras.Model(start, x), few.validation).max())
    assert largest[1] == pytest.approx(2 * largest[0])


def test_weights_that_the_first_images_do_not_show(few: Dataset, folder: Path) -> None:
    dark = few.validation.images.copy()
    dark[:50] = 0
    cache, split = FeatureCache("data", 10**9, folder), Split(dark, few.validation.labels)
    largest = []
    for kernel in (keras.initializers.Constant(1.0), keras.initializers.Constant(2.0)):
        start = keras.Input((8, 8, 1))
        network = keras.Model(start, layers.Conv2D(4, 3, kernel_initializer=kernel)(start))
        largest.append(compute_features(cache, network, split).max())
    assert largest[1] == pytest.approx(2 * largest[0])


def test_images_as_the_network_takes_them(few: Dataset, folder: Path, first: Any) -> None:
    """Other pixels are other features, also where the network and the images are the same."""
    cache, split = FeatureCache("data", 10**9, folder), few.validation
    for kind in ("scale", "standardize"):
        normalization = Normalization.of(kind, images=few.train.images)
        images = Images(split, "a", normalization)
        features_of, _ = cache.compute_cached(first, Watch(), [images], images)
        expected = first.predict(make_arrays(split, normalization=normalization)[0], verbose=0)
        np.testing.assert_allclose(features_of.images, expected, rtol=1e-4, atol=1e-5)


def test_the_least_recently_used_make_room(few: Dataset, folder: Path, first: Any) -> None:
    watch = Watch()
    cache = FeatureCache("data", 3 * SIZE + 1000, folder)

    def computed(part: str) -> bool:
        """Whether they had to be computed."""
        heard = len(watch.heard)
        compute_features(cache, first, few.validation, watch, part)
        for age, file in enumerate(sorted(list_files(folder), key=lambda file: -file.stat().st_mtime_ns)):
            os.utime(file, (10**9 - age, 10**9 - age))  # in the same order, a long time ago
        return len(watch.heard) > heard

    assert [computed(part) for part in "abc"] == [True] * 3
    assert not computed("a")
    assert computed("d")
    assert not computed("a")
    assert not computed("c")
    assert computed("b")
    assert len(list_files(folder)) == 3


def test_what_a_killed_process_has_left_makes_room_first(few: Dataset, folder: Path, first: Any) -> None:
    folder.mkdir()
    left = [folder / ".123.abc.npy", folder / "abc.part"]  # of an earlier version, and of this one
    for path in left:
        path.write_bytes(bytes(10**6))
        os.utime(path, (0, 0))
    compute_features(FeatureCache("data", 10**6, folder), first, few.validation)
    assert not any(path.exists() for path in left)
    assert len(list_files(folder)) == 1


def test_locks_of_other_processes_stay(few: Dataset, folder: Path, first: Any) -> None:
    """They take no room; a process that computes must not lose its own."""
    folder.mkdir()
    lock = folder / "abc.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    cache = FeatureCache("data", 2 * SIZE, folder)
    for part in "abc":
        compute_features(cache, first, few.validation, name=part)
    assert lock.exists()


def test_what_fits(few: Dataset, folder: Path, first: Any) -> None:
    images = Images(few.validation, "a")
    assert FeatureCache("data", SIZE, folder).fits(first, images)
    assert not FeatureCache("data", SIZE - 1, folder).fits(first, images)
    assert not FeatureCache("data", SIZE, folder).fits(first, images, images)
    assert not FeatureCache("data", 0, folder).fits(first, images)


def test_maps_that_do_not_fit_are_kept_in_16_bits(few: Dataset, folder: Path) -> None:
    network, images = make_maps(), Images(few.validation, "a")
    whole, half = FeatureCache("data", SIZE, folder), FeatureCache("data", SIZE // 2, folder)
    assert half.fits(network, images)
    assert not FeatureCache("data", SIZE // 2 - 1, folder).fits(network, images)
    full, _ = FeatureCache("data", 2 * SIZE, folder).compute_cached(network, Watch(), [images], images)
    short, _ = FeatureCache("data", 2 * SIZE - 1, folder).compute_cached(network, Watch(), [images], images)
    assert (full.images.dtype, short.images.dtype) == (np.float32, np.float16)
    assert whole.fits(network, images)
    np.testing.assert_array_equal(short.images, full.images.astype(np.float16))


def test_numbers_too_large_for_16_bits_are_the_largest_of_them(few: Dataset, folder: Path) -> None:
    network, images = make_maps(), Images(few.validation, "a")
    network.set_weights([1e6 * weight for weight in network.get_weights()])
    short, _ = FeatureCache("data", SIZE, folder).compute_cached(network, Watch(), [images], images)
    assert short.images.dtype == np.float16
    assert short.images.max() == np.finfo(np.float16).max
    assert short.images.min() == np.finfo(np.float16).min


def test_a_network_for_images_of_any_size(few: Dataset, folder: Path) -> None:
    start = keras.Input((None, None, 1))
    model = keras.Model(start, layers.Conv2D(4, 3)(start))
    assert FeatureCache("data", SIZE, folder).fits(model, Images(few.validation, "a"))
    assert compute_features(FeatureCache("data", 2 * SIZE, folder), model, few.validation).shape == (96, 6, 6, 4)


def test_what_was_computed_before_a_stop_is_not_computed_again(few: Dataset, folder: Path, first: Any) -> None:
    cache = FeatureCache("data", 10**9, folder)
    with pytest.raises(InterruptedTrialError):
        compute_features(cache, first, few.validation, Watch(InterruptedTrialError()))
    assert list_files(folder) == []
    watch = Watch()
    resumed = compute_features(cache, first, few.validation, watch)
    assert watch.heard == pytest.approx([1 / 3, 1 / 2])  # of two parts that are the same
    whole = compute_features(FeatureCache("data", 10**9, folder.parent / "whole"), first, few.validation)
    np.testing.assert_array_equal(resumed, whole)
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("length", [0, 5, 127, 128, 128 + 18431, 128 + 18432, 128 + SIZE - 1, 128 + SIZE])
def test_a_process_may_be_killed_at_any_byte(few: Dataset, folder: Path, first: Any, length: int) -> None:
    """A batch has 18,432 bytes; the header of the file has 128."""
    cache = FeatureCache("data", 10**9, folder)
    whole = compute_features(cache, first, few.validation)
    (path,) = list_files(folder)
    path.with_suffix(".part").write_bytes(path.read_bytes()[:length])
    path.unlink()
    watch = Watch()
    np.testing.assert_array_equal(compute_features(cache, first, few.validation, watch), whole)
    assert len(watch.heard) == 3 - max(0, length - 128) // 18432
    assert list_files(folder) == [path]
    assert not list(folder.glob("*.part"))


def test_large_features_stay_on_disk(few: Dataset, folder: Path, first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache("data", 10**9, folder)
    whole = compute_features(cache, first, few.validation)
    monkeypatch.setattr(features, "IN_MEMORY", SIZE - 1)
    mapped = compute_features(cache, first, few.validation)
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
    whole = compute_features(cache, first, few.validation, watch)
    (path,) = list_files(folder)
    damage(path)
    for _ in range(2):
        np.testing.assert_array_equal(compute_features(cache, first, few.validation, watch), whole)
    assert len(watch.heard) == 2 * 3
    assert list_files(folder) == [path]


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Lets no file grow beyond some kilobytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error(few: Dataset, folder: Path, first: Any) -> None:
    cache = FeatureCache("data", 10**9, folder)
    with pytest.raises(OSError, match="too large"), full_disk():
        compute_features(cache, first, few.validation)
    assert list_files(folder) == []
    assert compute_features(cache, first, few.validation).nbytes == SIZE


@pytest.mark.parametrize("limit", [0, 10**9])
def test_what_cannot_be_kept_is_computed_for_this_time(few: Dataset, folder: Path, first: Any, limit: int) -> None:
    train, validation = Images(few.train, "train"), Images(few.validation, "validation")
    folder.touch()  # no folder can be made there
    watch = Watch()
    computed = FeatureCache("data", limit, folder).compute(first, watch, train, validation)
    assert watch.heard == pytest.approx([number / 11 for number in range(1, 12)])
    expected = FeatureCache("data", 10**9, folder.parent / "whole").compute(first, Watch(), train, validation)
    for one, other in zip(computed, expected, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert len(list_files(folder.parent / "whole")) == 2


# Several processes

COMPUTE = """
import sys, time
from pathlib import Path

from searchcnn.backend import start_keras
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig

start_keras()
import keras
from keras import layers
from searchcnn.training.features import FeatureCache, Images

folder, begin, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
split = load_dataset(DataConfig(name="digits", validation=0.2), 0).validation
keras.utils.set_random_seed(3)
start = keras.Input((8, 8, 1))
network = keras.Model(start, layers.Conv2D(4, 3)(start))
images = Images(split, "a")
one = network.predict_on_batch(images.read_batch(0))
compute = network.predict_on_batch


def counted(batch):
    print("batch", flush=True)
    time.sleep(seconds)
    return compute(batch)


network.predict_on_batch = counted
print("ready", flush=True)
while not begin.exists():
    time.sleep(0.01)
FeatureCache("data", 10**9, folder).compute_cached(network, lambda part: None, [images], images)
print("done", flush=True)
"""


def start_computing(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Returns a process that computes features once there is a file ``begin``, a batch in so many seconds at least."""
    arguments = [str(folder), str(folder.parent / "begin"), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", COMPUTE, *arguments], stdout=subprocess.PIPE, text=True
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_a_killed_process_goes_on_from_its_last_batch(digits: Dataset, folder: Path) -> None:
    (folder.parent / "begin").touch()
    with start_computing(folder, 0.2) as process:
        assert [read_line(process) for _ in range(5)] == ["ready", *["batch"] * 4]
        process.kill()
    (part,) = folder.glob("*.part")
    size = 32 * 6 * 6 * 4 * 4
    written = (part.stat().st_size - 128) // size
    assert written in (2, 3)
    with start_computing(folder, 0.0) as process:
        count = -(-len(digits.validation) // 32)
        lines = [read_line(process) for _ in range(2 + count - written)]
        assert lines == ["ready", *["batch"] * (count - written), "done"]
    (resumed,) = list_files(folder)
    whole = compute_features(FeatureCache("data", 10**9, folder.parent / "whole"), make_maps(), digits.validation)
    np.testing.assert_array_equal(np.load(resumed), whole)
    assert [path.name for path in list_files(folder.parent / "whole")] == [resumed.name]


@pytest.mark.slow
def test_two_processes_compute_the_same_features_once(digits: Dataset, folder: Path) -> None:
    with start_computing(folder, 0.1) as one, start_computing(folder, 0.1) as other:
        assert [read_line(one), read_line(other)] == ["ready"] * 2
        (folder.parent / "begin").touch()
        outputs = sorted(process.communicate()[0].split() for process in (one, other))
    count = -(-len(digits.validation) // 32)
    assert outputs == [["batch"] * count + ["done"], ["done"]]
    assert len(list_files(folder)) == 1


# Views


def test_the_first_view_is_the_images_themselves(few: Dataset) -> None:
    images = Images(few.train, "train")
    first, *others = images.make_views(Augmentation(flip=True, shift=0.2), 8)
    assert len(others) == 3
    np.testing.assert_array_equal(first.read_batch(32), images.read_batch(32))
    batches = [view.read_batch(32) for view in (first, *others)]
    for one, other in itertools.combinations(batches, 2):
        assert not np.array_equal(one, other)


@pytest.mark.parametrize(("epochs", "count"), [(1, 1), (3, 1), (4, 2), (7, 3), (8, 4), (99, 4)])
def test_more_epochs_have_more_views(few: Dataset, epochs: int, count: int) -> None:
    images = Images(few.train, "train")
    assert [view.view for view in images.make_views(Augmentation(flip=True), epochs)] == list(range(count))
    assert images.make_views(Augmentation(), epochs) == [images]


def test_views_are_kept_and_always_the_same(few: Dataset, folder: Path, first: Any) -> None:
    """Also where a process goes on in the middle of one; another augmentation has others."""
    train, validation = Images(few.train, "train"), Images(few.validation, "validation")

    def views(name: str, shift: float, watch: Watch) -> Any:
        cache = FeatureCache("data", 10**9, folder.parent / name)
        seen, _ = cache.compute_cached(first, watch, train.make_views(Augmentation(shift=shift), 4), validation)
        return seen.images

    whole, watch = views("whole", 0.2, Watch()), Watch()
    assert isinstance(whole, Views)

    class Stop(Watch):
        def __call__(self, part: float) -> None:
            super().__call__(part)
            if len(self.heard) == 11:
                raise InterruptedTrialError

    with pytest.raises(InterruptedTrialError):
        views("parts", 0.2, Stop())
    parts = views("parts", 0.2, watch)
    assert len(watch.heard) == 2 * 8 + 3 - 11
    for one, other in zip(whole._features, parts._features, strict=True):
        np.testing.assert_array_equal(one, other)
    files = {path.name for path in list_files(folder.parent / "parts")}
    assert len(files) == 3
    again = Watch()
    views("parts", 0.1, again)
    assert len(again.heard) == 8  # the first view and the validation images are the same
    assert files < {path.name for path in list_files(folder.parent / "parts")}


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
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder that trainers keep features in."""
    monkeypatch.setattr(features, "locate_cache", lambda kind: tmp_path / kind)
    return tmp_path / FOLDER


def train(
    config: StudyConfig, data: Dataset, begin: Begin, space: Any = None, rules: Rules = RULES, **arguments: Any
) -> tuple[Any, Any]:
    """Returns the evaluation of a trial and its learning curve."""
    space = space or Transfer()
    space.input_shape, space.num_classes = data.input_shape, data.num_classes
    trial = begin(config, **arguments)
    evaluation = Trainer(config, data, {"net": space}, rules=rules)(trial)
    return evaluation, trial._study.read_curve(trial.number)


@pytest.mark.parametrize("in_memory", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_training_on_features_is_training_on_images(
    study_config: Config,
    begin: Begin,
    few: Dataset,
    cache_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_memory: bool,
) -> None:
    if not in_memory:
        monkeypatch.setattr(features, "IN_MEMORY", 0)
    training = {"epochs": 3, "label_smoothing": 0.1, "l2": 0.001, "precision": "float32"}
    evaluation, curve = train(study_config(training=training), few, begin)
    assert len(list_files(cache_folder)) == 2
    assert [epoch.number for epoch in curve] == [1, 2, 3]
    expected, whole = train(study_config(training=training, limits={"feature_cache": 0}), few, begin)
    assert len(list_files(cache_folder)) == 2
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


def test_the_features_are_used(study_config: Config, begin: Begin, few: Dataset, cache_folder: Path) -> None:
    """Whoever puts other features on the disk trains on them."""
    config = study_config(training={"epochs": 2})
    good, _ = train(config, few, begin)
    for path in list_files(cache_folder):
        stored = np.lib.format.open_memmap(path, "r+")
        stored[:] = 0
        stored.flush()
    bad, _ = train(config, few, begin)
    assert good.value > 0.4
    assert bad.value < 0.25
    assert len(list_files(cache_folder)) == 2


def test_augmentation_keeps_nothing(study_config: Config, begin: Begin, few: Dataset, cache_folder: Path) -> None:
    evaluation, _ = train(study_config(), few, begin, Transfer(is_random=True))
    assert evaluation.value > 0
    assert list_files(cache_folder) == []


@pytest.mark.parametrize("trouble", ["no folder", "second file"])
def test_a_trial_goes_on_where_features_cannot_be_kept(
    study_config: Config, begin: Begin, few: Dataset, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    config = study_config()
    expected, whole = train(study_config(limits={"feature_cache": 0}), few, begin)
    if trouble == "no folder":
        cache_folder.write_text("a file")
    write, computed = features._write, []

    def fail(network: Any, images: Images, *rest: Any) -> None:
        computed.append(len(images.split))
        if len(computed) == 1:
            return write(network, images, *rest)
        with full_disk():
            return write(network, images, *rest)

    monkeypatch.setattr(features, "_write", fail)
    evaluation, curve = train(config, few, begin)
    assert [epoch.metrics for epoch in curve] == [epoch.metrics for epoch in whole]
    assert evaluation.value == expected.value
    assert computed == {"no folder": [], "second file": [256, 96]}[trouble]


@pytest.mark.slow
def test_images_that_are_changed_at_random_are_seen_in_views(
    study_config: Config, begin: Begin, few: Dataset, cache_folder: Path
) -> None:
    config = study_config(training={"epochs": 4, "shift": 0.1})
    evaluation, curve = train(config, few, begin)
    assert len(list_files(cache_folder)) == 3  # two views, and the images for validation
    assert evaluation.value > 0.4
    (images,) = [path for path in list_files(cache_folder) if np.load(path, mmap_mode="r").shape[0] == 96]
    views = sorted(path for path in list_files(cache_folder) if path != images)
    for path in views:  # whoever empties both trains on nothing
        stored = np.lib.format.open_memmap(path, "r+")
        stored[:] = 0
        stored.flush()
    assert train(config, few, begin)[0].value < 0.25
    assert len(curve) == 4


@pytest.mark.parametrize(("training", "rules"), [({"shift": 0.1}, Rules(2)), ({"shift": 0.1, "mixup": 0.2}, RULES)])
@pytest.mark.slow
def test_images_change_in_each_epoch_where_they_are_blended_or_an_earlier_version_has_begun(
    study_config: Config, begin: Begin, few: Dataset, cache_folder: Path, training: dict[str, float], rules: Rules
) -> None:
    how = {"epochs": 4, **training}
    _, curve = train(study_config(training=how), few, begin, rules=rules)
    assert list_files(cache_folder) == []
    _, live = train(study_config(training=how, limits={"feature_cache": 0}), few, begin)
    assert [epoch.metrics for epoch in curve] == [epoch.metrics for epoch in live]


def test_the_user_s_stop_while_features_are_computed(
    study_config: Config, begin: Begin, few: Dataset, cache_folder: Path
) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedTrialError):
        train(study_config(), few, begin, stop=stop)
    assert list_files(cache_folder) == []
