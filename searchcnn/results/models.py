"""The models of a study's best trials, and the best of them: on disk as soon as a trial is complete."""

import contextlib
import math
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data import Dataset
from searchcnn.errors import StoreError, StudyFailedError
from searchcnn.files import discard, guard_writing, replace_file
from searchcnn.job import Job
from searchcnn.results.calibration import temper
from searchcnn.results.card import get_card_path, get_trial_path, hash_file, make_card, read_card, write_card
from searchcnn.results.examination import Examination, examine
from searchcnn.results.export import SAMPLE, load_model, predict, save_model
from searchcnn.results.gallery import write_pictures
from searchcnn.results.neighbors import write_neighbors
from searchcnn.results.outline import draw_classifier
from searchcnn.results.stored import write_predictions
from searchcnn.results.verification import estimate_seconds, verify, verify_here, verify_meanwhile
from searchcnn.saved import names_only_keras
from searchcnn.search import Evaluation, Trial
from searchcnn.store import StoredStudy
from searchcnn.training import Checkpoints

TRIES = 10
"""How often a process tries to make a network the best model while others do the same."""
EXAMINATION_SECONDS = 6.0
"""How long the best model may be examined at the end of a search that has a timeout."""
REPORT_SECONDS = 3.0
"""How long it takes to write the report then."""
LEAST_SECONDS = 1.0
"""How long it may do so however little time is left."""
PAUSE = 0.1
"""Seconds between two attempts to read a model that another process may be replacing."""


class Models:
    """Keeps the networks of a study's best trials as Keras files with cards.

    Args:
        job: What is searched, and where its best model is: a copy of one of the others.
        dataset: Its images.
        stored: Its rows in the database, which rank the trials.
        checkpoints: Those of its trials, which are of no use when these have ended.
        plugins: Location and fingerprint of each search space, by name.
    """

    def __init__(
        self,
        job: Job,
        dataset: Dataset,
        stored: StoredStudy,
        checkpoints: Checkpoints,
        plugins: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.path = job.model
        self._job = job
        self._config = job.config
        self._dataset = dataset
        self._stored = stored
        self._checkpoints = checkpoints
        self._plugins = plugins
        self._images = dataset.validation.images[:SAMPLE]
        self._expected: dict[tuple[int, str], npt.NDArray[np.float32]] = {}
        self._is_promoted = False

    def get_file(self, trial: int) -> Path:
        """Returns the file of the network of the trial with this number."""
        return get_trial_path(self.path, trial)

    def save(self, trial: Trial, evaluation: Evaluation) -> None:
        """Saves a trial's network.

        Raises:
            StoreError: If it cannot be written; the trial has not ended then, and continues next time.
        """
        path = self.get_file(trial.number)
        with guard_writing(path):
            save_model(path, evaluation.network, self._make_card(trial, evaluation))
            identity = _identify(read_card(path))
        self._expected[identity] = self._predict_sample(evaluation.network)
        self._is_promoted = False

    def save_if_ranked(self, trial: Trial, evaluation: Evaluation) -> None:
        """Saves a trial's network if it is among the best so far.

        Raises:
            StoreError: If it cannot be written; the trial has not ended then, and continues next time.
        """
        if self._stored.rank(trial.stored, evaluation.value, trial.facts) < self._config.search.keep_models:
            self.save(trial, evaluation)
            self._stored.add_model(trial.stored, self.get_file(trial.number), evaluation.value)

    def has_weights(self, trial: int) -> bool:
        """Whether a trial can be trained on from its checkpoint, given its number."""
        return self._checkpoints.get_path(trial).exists()

    def tidy(self, is_over: bool = False) -> None:
        """Makes the best trial's network the best model, and deletes what ended trials have left and nobody needs.

        Networks are looked at only if one has been saved since the last time. Several processes may do so at the same
        time: each checks again when it is done.

        Args:
            is_over: Whether the search is over: of the trials that wait to be trained on, the best are kept.

        Raises:
            StoreError: If the best model cannot be written.
        """
        kept = self._rank() if is_over else [number for number, _, _ in self._stored.list_planned()]
        self._checkpoints.drop(set(self._stored.list_finished()) - set(kept))
        if self._is_promoted:
            return
        with guard_writing(self.path):
            self._promote_best()
            unranked = set(self._stored.list_finished()) - set(self._rank())
            files = [self.get_file(number) for number in unranked]
            discard(self.get_file(0).parent, {name for file in files for name in (file.name, get_card_path(file).name)})
        self._is_promoted = True

    def _rank(self) -> list[int]:
        """Returns the numbers of the trials whose networks are kept, the best one first."""
        return self._stored.list_best(self._config.search.keep_models)

    def _promote_best(self) -> None:
        for _ in range(TRIES):
            files = ((number, _read_identity(self.get_file(number))) for number in self._rank())
            best, identity = next((file for file in files if file[1]), (None, None))
            if best is None or _read_identity(self.path) == identity:
                return
            with contextlib.suppress(FileNotFoundError, StoreError):  # another process may have deleted or replaced it
                self._copy_to_best(best)

    def _copy_to_best(self, trial: int) -> None:
        source = self.get_file(trial)
        card = read_card(source)
        with replace_file(self.path) as new:
            shutil.copyfile(source, new)  # not a link: if one of them is damaged, the other is not
        write_card(self.path, card)

    @contextlib.contextmanager
    def rehearse_saving(self, networks: Iterable[Any]) -> Iterator[None]:
        """Saves classifiers in a temporary folder, and verifies them: in another process while the body runs.

        What is all Keras' own is loaded in this process instead, which takes a third of the time.

        Raises:
            StudyFailedError: If plain Keras cannot load it or predicts something else.
            StoreError: If it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            with guard_writing(Path(tempfile.gettempdir())):
                folder = stack.enter_context(tempfile.TemporaryDirectory())
            files: dict[Path, npt.NDArray[np.float32]] = {}
            for number, network in enumerate(networks):
                path = Path(folder, f"{number}{self.path.suffix}")
                with guard_writing(path):
                    save_model(path, network, {})
                if names_only_keras(path):
                    verify_here(path, network, self._images)
                else:
                    files[path] = self._predict_sample(network)
            with verify_meanwhile(files, self._images) if files else contextlib.nullcontext():
                yield

    @property
    def seconds_to_conclude(self) -> float:
        """How long `examine`, `verify` and the report will take."""
        return EXAMINATION_SECONDS + estimate_seconds() + REPORT_SECONDS

    @property
    def is_verified(self) -> bool:
        """Whether there is nothing left to verify: the card of the saved model says so, or there is no model.

        Raises:
            StoreError: If the model is damaged, and there is no good copy to replace it.
        """
        card = self._read_card()
        return card is None or bool(card.get("verified"))

    def verify(self) -> None:
        """Checks that plain Keras loads the saved model and predicts what the trained network does.

        Its card says so afterwards. If an earlier run saved the model without verifying it, the trained network is
        gone: the model is loaded here and compared with itself. If another process replaces the model meanwhile, it is
        left to that process.

        Raises:
            StudyFailedError: If it does not load or predicts something else.
            StoreError: If the model is damaged, or the card or the files for the check cannot be written.
        """
        card = self._read_card()
        if card is None:
            return
        try:
            self._verify(card)
        except (StudyFailedError, StoreError):
            if self._read_card() == card:
                raise
            return
        with guard_writing(get_card_path(self.path)):
            if self._read_card() == card:
                write_card(self.path, {**card, "verified": True})

    def _verify(self, card: Mapping[str, Any]) -> None:
        expected = self._expected.get(_identify(card))  # another process may have trained the same trial on
        if expected is None:
            expected = predict(load_model(self.path), self._images)
        elif "calibration" in card:
            expected = temper(expected, card["calibration"]["temperature"])
        with guard_writing(Path(tempfile.gettempdir())):
            verify(self.path, self._images, expected)

    def examine(self, seconds_left: float = math.inf) -> None:
        """Calibrates the best model, and keeps beside it what is found out about it with the validation images.

        That is what it predicts for them, how sure it has to be to be relied on, which images are unlike all that it
        knows, and pictures for the report. It is left alone if it was fitted to these images, too. Where the time is
        not enough for all of them, a random sample of them has to do.

        Args:
            seconds_left: How long this, `verify` and the report may take, about.

        Raises:
            StoreError: If the model is damaged, or cannot be written.
        """
        card = self._read_card()
        if card is None or self._config.data.folds:
            return
        network = load_model(self.path)
        deadline = time.monotonic() + max(LEAST_SECONDS, seconds_left - estimate_seconds() - REPORT_SECONDS)
        found = examine(network, self._dataset, self._config.seed, deadline, "calibration" in card)
        with guard_writing(self.path):
            if self._read_card() == card:  # no other process has replaced it
                self._keep(network, card, found)

    def _keep(self, network: Any, card: dict[str, Any], found: Examination) -> None:
        """Keeps what was found out about the best model."""
        card["sure"] = asdict(found.certainty) if found.certainty else None
        if found.calibration is None:
            write_card(self.path, card)
        else:
            card["calibration"] = {**asdict(found.calibration), "of": card["sha256"]}
            save_model(self.path, network, card)
        model, workspace, name = hash_file(self.path), self._job.workspace, self._job.name
        images = len(self._dataset.validation)
        write_predictions(workspace.predictions(name, "validation"), found.predictions, model, images)
        write_pictures(workspace.pictures(name, "validation"), found.pictures, model)
        if found.neighbors is not None:
            write_neighbors(self.path, found.neighbors, model)

    def _read_card(self) -> dict[str, Any] | None:
        """Reads the card of the best model; None if there is no model."""
        for _ in range(TRIES):
            if not self.path.exists():
                return None
            with contextlib.suppress(StoreError):
                return read_card(self.path)
            time.sleep(PAUSE)  # another process may have replaced the model, and be about to replace its card
        raise StoreError(
            f"{self.path} or its card is damaged, and no trial in {self.get_file(0).parent} can replace it; delete it, "
            "and a better trial will write it again, or search again with --name"
        )

    def _predict_sample(self, network: Any) -> npt.NDArray[np.float32]:
        return predict(network, self._images)  # compiled, as in the check: 16-bit numbers are rounded the same way

    def _make_card(self, trial: Trial, evaluation: Evaluation) -> dict[str, Any]:
        data, objective, folds = self._dataset, self._config.objective.metric, self._config.data.folds
        images = len(data.validation) + (len(data.train) if folds else 0)
        sample = {"images": images, "folds": folds} if folds else {"images": images}
        return make_card(
            study=self._job.name,
            trial=trial.number,
            space=trial.facts["space"],
            plugin=self._plugins[trial.facts["space"]],
            options=self._config.options.get(trial.facts["space"], {}),
            hyperparameters=trial.facts["hyperparameters"],
            params=trial.facts["params"],
            macs=trial.facts["macs"],
            seed=self._config.seed,
            training=self._config.training.model_dump(),
            recipe=evaluation.recipe,
            data={"name": data.name, "fingerprint": data.fingerprint},
            input_shape=data.input_shape,
            preparation=asdict(data.preparation),
            classes=data.class_names,
            network=[asdict(line) for line in draw_classifier(evaluation.network)],
            scores={"validation": {objective.removeprefix("val_"): evaluation.value, **sample}},
            fitted_to=["train", "validation"] if folds else ["train"],
        )


def _read_identity(model: Path) -> tuple[int, str] | None:
    """Returns the trial and the fingerprint of a model before it was calibrated; None if it is missing or damaged."""
    with contextlib.suppress(StoreError):
        return _identify(read_card(model))
    return None


def _identify(card: Mapping[str, Any]) -> tuple[int, str]:
    """Returns the trial and the fingerprint of a model before it was calibrated."""
    return card.get("trial", -1), card.get("calibration", {}).get("of", card["sha256"])
