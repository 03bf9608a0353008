"""The best model of a study: on disk from the first complete trial on, replaced whenever a better one is found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from searchcnn.data import PIXEL_SCALE, Dataset
from searchcnn.results.card import make_card
from searchcnn.results.export import SAMPLE, save_model
from searchcnn.results.verification import verify
from searchcnn.search import Evaluation, Trial
from searchcnn.study import StudyConfig


class BestModel:
    """Keeps the best network of a study as a Keras file with a card.

    Args:
        path: The file.
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
        self._expected: npt.NDArray[np.float32] | None = None

    def keep(self, trial: Trial, evaluation: Evaluation) -> None:
        """Saves a trial's network in the place of the old one."""
        self.save(evaluation.network, self._card(trial, evaluation.value))

    def save(self, network: Any, card: Mapping[str, Any]) -> None:
        """Saves a network, and remembers what it predicts."""
        outputs = network(self._images.astype(np.float32) * PIXEL_SCALE)
        self._expected = keras.ops.convert_to_numpy(outputs[0] if isinstance(outputs, list | tuple) else outputs)
        save_model(self.path, network, self._dataset.input_shape, card)

    def rehearse(self, network: Any, folder: Path) -> None:
        """Saves a network into a folder and verifies it, without touching the best model.

        Raises:
            StudyFailedError: If plain Keras cannot load it or predicts something else.
        """
        path, self.path = self.path, folder / self.path.name
        try:
            self.save(network, {})
            self.verify()
        finally:
            self.path, self._expected = path, None

    @property
    def is_unverified(self) -> bool:
        """Whether a model was saved here and not verified yet."""
        return self._expected is not None

    def verify(self) -> None:
        """Checks that plain Keras loads what was saved here and predicts the same as the trained network.

        Raises:
            StudyFailedError: If it does not.
        """
        if self._expected is not None:
            verify(self.path, self._images, self._expected)
            self._expected = None

    def _card(self, trial: Trial, value: float) -> dict[str, Any]:
        data, objective = self._dataset, self._config.search.objective
        return make_card(
            study=self._study,
            trial=trial.number,
            space=trial.facts["space"],
            plugin=self._plugins[trial.facts["space"]],
            hyperparameters=trial.facts["hyperparameters"],
            params=trial.facts["params"],
            macs=trial.facts["macs"],
            seed=self._config.seed,
            training=self._config.training.model_dump(),
            data={"name": data.name, "fingerprint": data.fingerprint},
            input_shape=data.input_shape,
            classes=data.class_names,
            scores={"validation": {objective.removeprefix("val_"): value, "images": len(data.validation)}},
        )
