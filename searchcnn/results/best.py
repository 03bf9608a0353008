"""The best model of a study: on disk from the first complete trial on, replaced whenever a better one is found."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from searchcnn.data import PIXEL_SCALE, Dataset
from searchcnn.results.card import make_card, read_card, write_card
from searchcnn.results.export import SAMPLE, predict, save_model
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
        save_model(self.path, evaluation.network, self._dataset.input_shape, self._card(trial, evaluation.value))
        self._expected = self._predictions(evaluation.network)

    def rehearse(self, network: Any) -> None:
        """Saves a network elsewhere and verifies it.

        Raises:
            StudyFailedError: If plain Keras cannot load it or predicts something else.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.path.name
            save_model(path, network, self._dataset.input_shape, {})
            verify(path, self._images, self._predictions(network))

    @property
    def is_verified(self) -> bool:
        """Whether there is nothing left to verify: the card of the saved model says so, or there is no model."""
        return not self.path.exists() or read_card(self.path).get("verified", False)

    def verify(self) -> None:
        """Checks that plain Keras loads the saved model and predicts what the trained network does.

        The card says so afterwards. Of a model that an earlier run has saved and left unverified, the network is gone;
        it is compared with itself, loaded here.

        Raises:
            StudyFailedError: If it does not load or predicts something else.
        """
        card = read_card(self.path)
        expected = self._expected
        if expected is None:
            expected = predict(keras.models.load_model(self.path), self._images)
        verify(self.path, self._images, expected)
        write_card(self.path, {**card, "verified": True})

    def _predictions(self, network: Any) -> npt.NDArray[np.float32]:
        outputs = network(self._images.astype(np.float32) * PIXEL_SCALE)
        first: npt.NDArray[np.float32] = keras.ops.convert_to_numpy(
            outputs[0] if isinstance(outputs, list | tuple) else outputs
        )
        return first

    def _card(self, trial: Trial, value: float) -> dict[str, Any]:
        data, objective = self._dataset, self._config.search.objective
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
            data={"name": data.name, "fingerprint": data.fingerprint},
            input_shape=data.input_shape,
            classes=data.class_names,
            scores={"validation": {objective.removeprefix("val_"): value, "images": len(data.validation)}},
        )
