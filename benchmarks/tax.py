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
from typing import Any

from searchcnn import Study
from searchcnn.backend import own_process, start_keras
from searchcnn.events import ignore
from searchcnn.sources import load_dataset
from searchcnn.spaces import load_spaces
from searchcnn.spaces.creation import create_spaces
from searchcnn.store import SCORES, STRETCHES


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
    """What bare fits take.

    Attributes:
        networks: Number of networks.
        epochs: Epochs that they were trained.
        validations: How often the search has validated them.
        tracing: Building, compiling and tracing, once for each network.
        training: All batches but the first.
        validating: As often as the search did, without tracing.
    """

    networks: int = 0
    epochs: int = 0
    validations: int = 0
    tracing: Clock = field(default_factory=Clock)
    training: Clock = field(default_factory=Clock)
    validating: Clock = field(default_factory=Clock)


def read_cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def list_trained(study: Study) -> dict[int, tuple[Mapping[str, Any], int, int]]:
    """Returns hyperparameters, epochs and validations of each network that has ended a stretch, by trial."""
    curves = study.read_curves()
    trained = {}
    for trial in study.trials:
        if stretches := trial.facts.get(STRETCHES, [])[: len(trial.facts.get(SCORES, []))]:
            trained[trial.number] = trial.hyperparameters, sum(stretches), len(curves[trial.number])
    return trained


def fit_bare(study: Study) -> Bare:
    """Trains the networks of a study once more, with Keras alone."""
    start_keras()
    from searchcnn.backend import clear_keras
    from searchcnn.search.hyperparameters import CheckedHyperParameters
    from searchcnn.training import Trainer
    from searchcnn.training.fit import VALIDATION_BATCH, Stretch, compile_candidate
    from searchcnn.training.pipeline import make_batches
    from searchcnn.training.precision import train_fast

    job = study.make_begun_job()
    dataset = load_dataset(job.workspace.locate(job.config.data), job.config.seed, ignore, job.config.mirrors)
    spaces = create_spaces(load_spaces(job.config.spaces, job.workspace, job.plugins), job.config, dataset)
    trainer, bare = Trainer(job.config, dataset, spaces), Bare()
    for values, epochs, validations in list_trained(study).values():
        clear_keras()
        with bare.tracing.runs():
            candidate = trainer.sample(CheckedHyperParameters(dict(values))).divide((epochs,), trainer.parts)
            recipe = candidate.recipe
            normalization = trainer.inputs.make_normalization(recipe.normalization)
            form = compile_candidate(
                candidate, Stretch(dataset.train, dataset.validation, 0, normalization=normalization)
            )
            changes = {"augmentation": recipe.augmentation, "seed": 0, "parts": trainer.parts}
            batches = make_batches(dataset.train, recipe.batch_size, **changes, **form)
            validation = make_batches(dataset.validation, VALIDATION_BATCH, **form)
            candidate.model.evaluate(validation.take(1), verbose=0)
        with train_fast(candidate.model, recipe.precision) as callbacks:
            with bare.tracing.runs():
                candidate.model.fit(batches.take(1), verbose=0, callbacks=callbacks)
            with bare.training.runs():
                candidate.model.fit(batches, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks)
        with bare.validating.runs():
            for _ in range(validations):
                candidate.model.evaluate(validation, verbose=0)
        bare.networks, bare.epochs = bare.networks + 1, bare.epochs + epochs
        bare.validations += validations
    return bare


def describe_tax(search: float, bare: float) -> str:
    return f"search {search:7.1f} s, bare {bare:7.1f} s, tax {search / bare - 1:6.1%}"


def main() -> None:
    own_process()
    minutes, name, images = [*sys.argv[1:], *("10", "fashion_mnist", "")[len(sys.argv) - 1 :]]
    search = Clock()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(name, workspace=folder) if not images else Study("tax", data=images, like=name, workspace=folder)
        with search.runs():
            study.optimize(timeout=60 * float(minutes), workers=1)
        bare = fit_bare(study)
    print(f"{bare.networks} networks, {bare.epochs} epochs, {bare.validations} validations")
    for unit in ("cpu", "wall"):
        parts = {name: getattr(getattr(bare, name), unit) for name in ("tracing", "training", "validating")}
        print(f"{unit}: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items()))
        taken = getattr(search, unit)
        print(f"  training and tracing:            {describe_tax(taken, parts['tracing'] + parts['training'])}")
        print(f"  training, tracing and validating: {describe_tax(taken, sum(parts.values()))}")


if __name__ == "__main__":
    main()
