"""The engine tax: how much longer a search takes than bare fits of the stretches that it has trained.

A search runs for some minutes; then each of its networks is built, compiled and fitted once more with Keras alone, for
as many epochs, on the same batches, with nothing around it. Seconds of the processor are what counts on a machine that
is shared with others. Run it on the cores that the search is to have:

    taskset -c 0 python benchmarks/tax.py [minutes] [study] [images.npz]
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from searchcnn import Study
from searchcnn.backend import own_process, start_keras
from searchcnn.events import ignore
from searchcnn.sources import load_dataset
from searchcnn.spaces import load_spaces
from searchcnn.spaces.creation import create_spaces
from searchcnn.store import SCORES, STRETCHES

if TYPE_CHECKING:
    from searchcnn.training import Trainer


@dataclass
class Clock:
    """Seconds of an activity, by the clock and of the processor, those of processes that have ended included."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def runs(self) -> Iterator[None]:
        wall, cpu = time.monotonic(), read_cpu_seconds()
        yield
        self.wall += time.monotonic() - wall
        self.cpu += read_cpu_seconds() - cpu


@dataclass
class Bare:
    """What bare fits take: building and tracing each network once; all batches; validating as often as the search."""

    networks: int = 0
    epochs: int = 0
    validations: int = 0
    tracing: Clock = field(default_factory=Clock)
    training: Clock = field(default_factory=Clock)
    validating: Clock = field(default_factory=Clock)

    def count(self, epochs: int, validations: int) -> None:
        self.networks += 1
        self.epochs += epochs
        self.validations += validations


def read_cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def list_trained(study: Study) -> list[tuple[Mapping[str, Any], int, int]]:
    """Returns hyperparameters, epochs and validations of each network that has ended a stretch."""
    curves, trained = study.read_curves(), []
    for trial in study.trials:
        if scores := trial.facts.get(SCORES):
            epochs = sum(trial.facts[STRETCHES][: len(scores)])
            trained.append((trial.hyperparameters, epochs, len(curves[trial.number])))
    return trained


def make_trainer(study: Study) -> "Trainer":
    """Returns what builds the networks of a study."""
    start_keras()
    from searchcnn.training import Trainer

    job = study.make_begun_job()
    dataset = load_dataset(job.workspace.locate(job.config.data), job.config.seed, ignore, job.config.mirrors)
    spaces = load_spaces(job.config.spaces, job.workspace, job.plugins)
    return Trainer(job.config, dataset, create_spaces(spaces, job.config, dataset))


def fit_bare(trainer: "Trainer", bare: Bare, values: Mapping[str, Any], epochs: int, validations: int) -> None:
    """Trains a network once more, with Keras alone."""
    from searchcnn.backend import clear_keras
    from searchcnn.search.hyperparameters import CheckedHyperParameters
    from searchcnn.training.fit import VALIDATION_BATCH, Stretch, compile_candidate
    from searchcnn.training.pipeline import make_batches
    from searchcnn.training.precision import train_fast

    clear_keras()
    train, validation = trainer.inputs.dataset.train, trainer.inputs.dataset.validation
    with bare.tracing.runs():
        candidate = trainer.sample(CheckedHyperParameters(dict(values))).divide((epochs,), trainer.parts)
        model, recipe = candidate.model, candidate.recipe
        normalization = trainer.inputs.make_normalization(recipe.normalization)
        form = compile_candidate(candidate, Stretch(train, validation, seed=0, normalization=normalization))
        changes = {"augmentation": recipe.augmentation, "seed": 0, "parts": trainer.parts}
        batches = make_batches(train, recipe.batch_size, **changes, **form)
        measured = make_batches(validation, VALIDATION_BATCH, **form)
        model.evaluate(measured.take(1), verbose=0)
    with train_fast(model, recipe.precision) as callbacks:
        options = {"verbose": 0, "shuffle": False, "callbacks": callbacks}
        with bare.tracing.runs():
            model.fit(batches.take(1), **options)
        with bare.training.runs():
            model.fit(batches, epochs=epochs, **options)
    with bare.validating.runs():
        for _ in range(validations):
            model.evaluate(measured, verbose=0)
    bare.count(epochs, validations)


def describe_tax(search: float, bare: float) -> str:
    return f"search {search:7.1f} s, bare {bare:7.1f} s, tax {search / bare - 1:6.1%}"


def main() -> None:
    own_process()
    arguments = dict(enumerate(sys.argv[1:]))
    minutes, name, images = float(arguments.get(0, 10)), arguments.get(1, "fashion_mnist"), arguments.get(2)
    search, bare = Clock(), Bare()
    with tempfile.TemporaryDirectory() as folder:
        options = {"data": images, "like": name} if images else {}
        study = Study("tax" if images else name, workspace=folder, **options)
        with search.runs():
            study.optimize(timeout=60 * minutes, workers=1)
        trainer = make_trainer(study)
        for values, epochs, validations in list_trained(study):
            fit_bare(trainer, bare, values, epochs, validations)
    print(f"{bare.networks} networks, {bare.epochs} epochs, {bare.validations} validations")
    for unit in ("cpu", "wall"):
        parts = {name: getattr(getattr(bare, name), unit) for name in ("tracing", "training", "validating")}
        print(f"{unit}: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items()))
        taken = getattr(search, unit)
        print(f"  tracing and training:             {describe_tax(taken, parts['tracing'] + parts['training'])}")
        print(f"  tracing, training and validating: {describe_tax(taken, sum(parts.values()))}")


if __name__ == "__main__":
    main()
