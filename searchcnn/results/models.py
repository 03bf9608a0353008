"""The models of a study's best trials, and the best of them: on disk from the first complete trial on."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data import Dataset
from searchcnn.errors import StoreError, StudyFailedError
from searchcnn.files import discard, guard_writing, replace_file
from searchcnn.results.card import card_path, make_card, read_card, write_card
from searchcnn.results.export import SAMPLE, load_model, predict, save_model
from searchcnn.results.verification import verify, verifying
from searchcnn.search import Evaluation, Trial
from searchcnn.study import StudyConfig

TRIES = 10
"""How often a process tries to make a network the best model while others do the same."""
PAUSE = 0.1
"""Seconds between two looks at a model that another process may be replacing."""


class Models:
    """Keeps the networks of a study's best trials as Keras files with cards.

    Args:
        path: The file of the best one, a copy of one of the others.
        study: The study's name.
        config: The study's configuration.
        dataset: Its images.
        plugins: Where each search space comes from, by name: its location and fingerprint.
    """

    def __init__(
        self, path: Path, study: str, config: StudyConfig, dataset: Dataset, plugins: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.path = path
        self._study = study
        self._config = config
        self._dataset = dataset
        self._plugins = plugins
        self._images = dataset.validation.images[:SAMPLE]
        self._expected: dict[int, npt.NDArray[np.float32]] = {}
        self._is_settled = False

    def file(self, trial: int) -> Path:
        """Returns the file of a trial's network, given its number."""
        return self.path.parent / "models" / f"trial-{trial:04}.keras"

    def keep(self, trial: Trial, evaluation: Evaluation) -> None:
        """Saves a trial's network.

        Raises:
            StoreError: If it cannot be written; the trial has not ended then, and goes on next time.
        """
        path = self.file(trial.number)
        with guard_writing(path):
            save_model(path, evaluation.network, self._card(trial, evaluation))
        self._expected[trial.number] = self._predictions(evaluation.network)
        self._is_settled = False

    def settle(self, ranking: Callable[[], Sequence[int]], finished: Callable[[], Sequence[int]]) -> None:
        """Makes the best trial's network the best model, and deletes those of trials that are not among the best.

        It does nothing where no network was saved since the last time.

        Several processes may do so at the same time: each looks again when it is done.

        Args:
            ranking: Returns the numbers of the best trials, the best one first.
            finished: Returns the numbers of all trials that have ended.

        Raises:
            StoreError: If the best model cannot be written.
        """
        if self._is_settled:
            return
        with guard_writing(self.path):
            self._promote_best(ranking)
            files = [self.file(number) for number in set(finished()) - set(ranking())]
            discard(self.file(0).parent, {name for file in files for name in (file.name, card_path(file).name)})
        self._is_settled = True

    def _promote_best(self, ranking: Callable[[], Sequence[int]]) -> None:
        for _ in range(TRIES):
            files = ((number, _identity(self.file(number))) for number in ranking())
            best, identity = next((file for file in files if file[1]), (None, None))
            if best is None or _identity(self.path) == identity:
                return
            with contextlib.suppress(FileNotFoundError, StoreError):  # another process has deleted or replaced it
                self._promote(best)

    def _promote(self, trial: int) -> None:
        source = self.file(trial)
        card = read_card(source)
        with replace_file(self.path) as new:
            shutil.copyfile(source, new)  # no link: what damages one of them leaves the other
        write_card(self.path, card)

    @contextlib.contextmanager
    def rehearsing(self, network: Any) -> Iterator[None]:
        """Saves a classifier elsewhere, and verifies it while the body runs.

        Raises:
            StudyFailedError: If plain Keras cannot load it or predicts something else.
            StoreError: If it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            with guard_writing(Path(tempfile.gettempdir())):
                path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / self.path.name
                save_model(path, network, {})
            stack.enter_context(verifying(path, self._images, lambda: self._predictions(network)))
            yield

    @property
    def is_verified(self) -> bool:
        """Whether there is nothing left to verify: the card of the saved model says so, or there is no model.

        Raises:
            StoreError: If the model is damaged; there was no good copy of it to mend it with.
        """
        card = self._read()
        return card is None or bool(card.get("verified"))

    def verify(self) -> None:
        """Checks that plain Keras loads the saved model and predicts what the trained network does.

        The card says so afterwards. Of a model that an earlier run has saved and left unverified, the network is gone;
        it is compared with itself, loaded here. A model that another process replaces meanwhile is left to that one.

        Raises:
            StudyFailedError: If it does not load or predicts something else.
            StoreError: If the model is damaged, or the card, or what the check needs, cannot be written.
        """
        card = self._read()
        if card is None:
            return
        try:
            self._verify(card)
        except (StudyFailedError, StoreError):
            if self._read() == card:
                raise
            return
        with guard_writing(card_path(self.path)):
            if self._read() == card:
                write_card(self.path, {**card, "verified": True})

    def _verify(self, card: Mapping[str, Any]) -> None:
        expected = self._expected.get(card.get("trial", -1))
        if expected is None:
            expected = predict(load_model(self.path), self._images)
        with guard_writing(Path(tempfile.gettempdir())):
            verify(self.path, self._images, expected)

    def _read(self) -> dict[str, Any] | None:
        """Reads the card of the best model; None if there is no model."""
        for _ in range(TRIES):
            if not self.path.exists():
                return None
            with contextlib.suppress(StoreError):
                return read_card(self.path)
            time.sleep(PAUSE)  # another process may have replaced the model, and be about to replace its card
        raise StoreError(
            f"{self.path} or its card is damaged, and no trial in {self.file(0).parent} can replace it; delete it, and "
            "a better trial writes it anew, or search again with --name"
        )

    def _predictions(self, network: Any) -> npt.NDArray[np.float32]:
        return predict(network, self._images)  # compiled, as in the check: numbers of 16 bits are rounded alike

    def _card(self, trial: Trial, evaluation: Evaluation) -> dict[str, Any]:
        data, objective, folds = self._dataset, self._config.search.objective, self._config.data.folds
        measured = len(data.validation) + (len(data.train) if folds else 0)
        where = {"images": measured, "folds": folds} if folds else {"images": measured}
        return make_card(
            study=self._study,
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
            scores={"validation": {objective.removeprefix("val_"): evaluation.value, **where}},
            fitted_to=["train", "validation"] if folds else ["train"],
        )


def _identity(model: Path) -> tuple[int, str] | None:
    """Returns a model's trial and fingerprint; None if it or its card is missing or damaged."""
    with contextlib.suppress(StoreError):
        card = read_card(model)
        return card.get("trial", -1), card["sha256"]
    return None
