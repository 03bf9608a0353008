"""Images per second: decoding and the input pipeline, beside `keras.utils.image_dataset_from_directory`.

Also what the pipeline costs a training: epochs on real batches beside epochs on one batch that is repeated.

Run: python benchmarks/images.py FOLDER_OR_ARCHIVE [passes]      an archive is unpacked into a temporary folder
"""

import contextlib
import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()

import keras
import tensorflow as tf

from searchcnn.augmentation import Augmentation
from searchcnn.data import Dataset
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig
from searchcnn.training.pipeline import make_batches

BATCH = 64
AUGMENTED = Augmentation(flip=True, shift=0.1)


def measure_seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def run_through(data: Any) -> None:
    for _ in data:
        pass


def load_with_keras(folder: Path, size: tuple[int, int]) -> Any:
    batches = keras.utils.image_dataset_from_directory(folder, image_size=size, batch_size=BATCH, verbose=False)
    return batches.prefetch(tf.data.AUTOTUNE)


def make_network(dataset: Dataset) -> Any:
    net = keras.Sequential([keras.Input(dataset.input_shape)])
    for filters in (16, 32, 64):
        net.add(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        net.add(keras.layers.MaxPooling2D())
    net.add(keras.layers.GlobalAveragePooling2D())
    net.add(keras.layers.Dense(dataset.num_classes, activation="softmax"))
    net.compile("adam", "sparse_categorical_crossentropy")
    return net


def repeat_batch(dataset: Dataset) -> Any:
    """Returns one batch, over and over, as often as an epoch has batches."""
    images, labels = next(iter(make_batches(dataset.train, BATCH, seed=0)))[:2]
    steps = -(-len(dataset.train) // BATCH)
    batch = tf.data.Dataset.from_tensors((images, labels)).cache().repeat(steps)
    return batch.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def show(what: str, images: int, times: list[float]) -> None:
    rates = sorted(images / time for time in times)
    print(f"{what:<52} {statistics.median(rates):>9,.0f} images/s  ({rates[0]:,.0f} to {rates[-1]:,.0f})", flush=True)


@contextlib.contextmanager
def unpack(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
        (top,) = Path(folder).iterdir()
        yield top


def main(folder: Path, passes: int) -> None:
    start = time.perf_counter()
    dataset = load_dataset(DataConfig(path=str(folder)), 0)
    cold = time.perf_counter() - start
    streamed = load_dataset(DataConfig(path=str(folder), in_memory=0.0), 0)
    again = measure_seconds(lambda: load_dataset(DataConfig(path=str(folder)), 0))
    total = sum(len(part) for part in (dataset.train, dataset.validation, dataset.test))
    print(f"{total:,} images of {dataset.input_shape}; second start {again:.2f} s")
    show("decoding, once, into the cache", total, [cold])
    theirs = load_with_keras(folder / "train", dataset.input_shape[:2])
    count, ours = sum(len(labels) for _, labels in theirs), len(dataset.train)
    inputs = {
        "image_dataset_from_directory, each pass": (count, theirs),
        "ours, in memory": (ours, make_batches(dataset.train, BATCH, seed=0)),
        "ours, from disk": (ours, make_batches(streamed.train, BATCH, seed=0)),
        "ours, in memory, flip and shift": (ours, make_batches(dataset.train, BATCH, seed=0, augmentation=AUGMENTED)),
    }
    times: dict[str, list[float]] = {name: [] for name in inputs}
    for _ in range(passes):
        for name, (_, data) in inputs.items():
            times[name].append(measure_seconds(lambda data=data: run_through(data)))
    for name, (number, _) in inputs.items():
        show(f"pipeline: {name}", number, times[name])
    compare_training(dataset, streamed, passes)


def compare_training(dataset: Dataset, streamed: Dataset, passes: int) -> None:
    net = make_network(dataset)
    inputs = {
        "one batch, repeated": repeat_batch(dataset),
        "in memory": make_batches(dataset.train, BATCH, seed=0),
        "from disk": make_batches(streamed.train, BATCH, seed=0),
        "in memory, flip and shift": make_batches(dataset.train, BATCH, seed=0, augmentation=AUGMENTED),
    }
    times: dict[str, list[float]] = {name: [] for name in inputs}
    for turn in range(passes + 1):
        for name, data in inputs.items():
            took = measure_seconds(lambda data=data: net.fit(data, epochs=1, shuffle=False, verbose=0))
            if turn:  # the first one compiles
                times[name].append(took)
    for name, took in times.items():
        show(f"training: {name}", len(dataset.train), took)
    best = {name: min(took) for name, took in times.items()}
    for name in list(inputs)[1:]:
        print(f"training: {name}, beside one repeated batch: {best[name] / best['one batch, repeated'] - 1:+.1%}")


if __name__ == "__main__":
    with unpack(Path(sys.argv[1])) as images:
        main(images, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
