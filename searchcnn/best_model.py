"""What a study does with its best model: score it, ask it, use it, save it elsewhere."""

from __future__ import annotations

import contextlib
import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from searchcnn.errors import DataError, StoreError, UsageError, nearest
from searchcnn.events import Hear, ignore
from searchcnn.job import Job
from searchcnn.proposal.request import Request
from searchcnn.report.plots import Plots
from searchcnn.session import try_report
from searchcnn.store import StudySummary
from searchcnn.study import StudyConfig, Workspace

if TYPE_CHECKING:
    from searchcnn.data import Dataset, Split
    from searchcnn.results import LabelError, Prediction, Predictions, Scores


class BestModel(Plots):
    """What a study does with its best model.

    Attributes:
        name: The study's name.
        workspace: The folder that it is kept in.
    """

    name: str
    workspace: Workspace
    _request: Request

    @property
    @abstractmethod
    def summary(self) -> StudySummary:
        """All that the database says of the study, as it is now."""

    @property
    @abstractmethod
    def _url(self) -> Any:
        """URL of its database."""

    @abstractmethod
    def _read(self) -> StudySummary | None:
        """Returns its summary; None before it was started."""

    @abstractmethod
    def make_begun_job(self, _hear: Hear = ignore) -> Job:
        """Returns the study as it is in the database."""

    @property
    def model_path(self) -> Path:
        """The file of its best model, once there is one."""
        return self.workspace.best_model(self.name)

    def evaluate(self, data: str | os.PathLike[str] | None = None) -> Scores:
        """Scores the best model on the test images, or on other ones.

        No search has seen the test images. Do this once, at the end: a test score that is used to choose a model is
        worthless. It stands in the report afterwards.

        Args:
            data: Where the study's images are now; or other images, of which the test part is taken if they have one,
                else all.

        Raises:
            StoreError: If there is no model, or it belongs to another search or other images.
            DataError: If the images cannot be read, or the model knows none of their classes.
        """
        from searchcnn.backend import start_keras

        summary = self.summary
        model = self._find_model()
        start_keras()
        from searchcnn.results import evaluate_on, read_card
        from searchcnn.sources import load_dataset

        if data is None:
            return self._evaluate_test(model, self._load_dataset(summary.config))
        images = summary.config.data.model_copy(update={"name": None, "path": os.fspath(data)})
        with contextlib.suppress(DataError):  # other images may have other classes, or too few images to be divided
            moved = load_dataset(images, summary.config.seed)
            if moved.fingerprint == read_card(model)["data"]["fingerprint"]:
                return self._evaluate_test(model, moved)
        return evaluate_on(model, os.fspath(data))

    def _evaluate_test(self, model: Path, dataset: Dataset) -> Scores:
        """Scores the best model on the test images, and shows them in the report."""
        from searchcnn.results import evaluate_model
        from searchcnn.results.gallery import TEST_COUNTS

        scores = evaluate_model(model, dataset, self.workspace.predictions(self.name, "test"))
        self._show(scores.predictions, "test", TEST_COUNTS, self.load_model())
        return scores

    def _show(self, predictions: Predictions, part: str, counts: Mapping[str, int], network: Any = None) -> None:
        """Shows images in the report: so many of each kind of picture, and where a network looks in them."""
        from searchcnn.results import read_card
        from searchcnn.results.activation import map_activations
        from searchcnn.results.gallery import choose_images, make_pictures, write_pictures

        chosen = choose_images(predictions, counts)
        images = predictions.images[np.array(list(chosen), np.int64)]
        maps = map_activations(network, images, predictions.predicted[list(chosen)]) if network and chosen else ()
        pictures = make_pictures(predictions, chosen, images, list(maps))
        write_pictures(self.workspace.pictures(self.name, part), pictures, read_card(self.model_path)["sha256"])
        try_report(self.workspace, self._url, self.name)

    def predict(self, images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Prediction]:
        """Classifies image files, or all images in folders, of any size and any format that Pillow reads.

        Args:
            images: A file or folder, or several.

        Raises:
            UsageError: If one of them does not exist, or a folder holds no image.
            StoreError: If there is no model.
        """
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results import classify, list_images

        values = [images] if isinstance(images, str | os.PathLike) else list(images)
        paths = [Path(path).expanduser() for path in values if isinstance(path, str | os.PathLike)]
        if len(paths) < len(values):
            raise UsageError("predict takes image files; for images in memory, use load_model().predict(images)")
        return list(classify(self._find_model(), list_images(paths)))

    def read_predictions(self, part: str, labels: bool = True) -> Predictions:
        """Returns what the best model predicts for the images of a part of the study's dataset.

        That is kept in ``studies/NAME/predictions``; what is not there is computed once, but for the test images: it is
        `evaluate` that reads them.

        Args:
            part: ``"train"``, ``"validation"`` or ``"test"``.
            labels: Whether the labels are wanted; without them, all are -1, and test images may be classified any time.

        Raises:
            UsageError: If there is no such part, or the model was trained on its validation images.
            StoreError: If there is no model, it belongs to another search or other images, or these are the test
                images, and this model was not evaluated.
            DataError: If the images cannot be read.
        """
        from searchcnn.data.dataset import PARTS
        from searchcnn.results import read_card, read_predictions

        if part not in PARTS:
            raise UsageError(f"no part '{part}'{nearest(part, PARTS)}; expected {', '.join(PARTS)}")
        config, model, target = self.summary.config, self._find_model(), self.workspace.predictions(self.name, part)
        if part == "validation" and config.data.folds:
            raise UsageError(
                f"study '{self.name}' has data.folds: its best model was trained on the validation images, too, and "
                "nothing follows from what it predicts for them; take the test images"
            )
        predictions = read_predictions(target, read_card(model)["sha256"], whole=True)
        if predictions is None and part == "test" and labels:
            raise StoreError(
                f"the best model of study '{self.name}' was not scored on the test images; do that once, at the end, "
                f"with `searchcnn evaluate {self.name}`"
            )
        if predictions is None:
            predictions = self._predict_part(model, config, part, None if part == "test" else target)
        return predictions if labels else replace(predictions, labels=np.full(len(predictions), -1))

    def _predict_part(self, model: Path, config: StudyConfig, part: str, target: Path | None) -> Predictions:
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results.evaluation import predict_part

        return replace(predict_part(model, self._load_dataset(config), part, target), images=None)

    def _load_dataset(self, config: StudyConfig) -> Dataset:
        from searchcnn.sources import load_dataset

        return load_dataset(self.workspace.locate(self._request.replace_images(config.data)), config.seed)

    def predict_unseen(self, folds: int | None = None, hear: Hear = ignore) -> Predictions:
        """Returns what networks predict for images that they were not trained on.

        Args:
            folds: None: what the best model predicts for the validation images. A number: the best trial's network is
                trained so many times, each time without one fold of the training and validation images, which it then
                predicts; that is kept, too.
            hear: Hears how long that will take, and how far it is.

        Raises:
            StoreError: If there is no model, or it belongs to other images.
            UsageError: If the number of folds cannot be, or the model was trained on its validation images.
            DataError: If the images cannot be read.
        """
        if folds is None and self.summary.config.data.folds:
            raise UsageError(
                f"study '{self.name}' has data.folds: its best model was trained on the validation images, too; ask "
                "for folds here, such as --folds 4"
            )
        if folds is None:
            return self.read_predictions("validation")
        from searchcnn.results import read_card, read_predictions

        kept = self.workspace.out_of_fold(self.name, folds)
        if (predictions := read_predictions(kept, read_card(self._find_model())["sha256"])) is not None:
            return predictions
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results.cross_prediction import predict_out_of_fold
        from searchcnn.results.gallery import FOLD_COUNTS

        predictions = predict_out_of_fold(self._make_moved_job(), self.summary, folds, hear)
        self._show(predictions, "folds", FOLD_COUNTS)
        return predictions

    def find_label_errors(self, folds: int | None = None, hear: Hear = ignore) -> list[LabelError]:
        """Returns the images that are likely filed under the wrong class, the most likely first.

        Args:
            folds: None: of the validation images. A number: of the training images, too; see `predict_unseen`.
            hear: Hears how long that will take, and how far it is.

        Raises:
            SearchcnnError: As `predict_unseen`.
        """
        from searchcnn.results import find_label_errors

        return find_label_errors(self.predict_unseen(folds, hear))

    def read_labelled_images(self) -> Split:
        """Returns the training images and then the validation images, with their labels and names.

        Raises:
            SearchcnnError: If they cannot be read.
        """
        dataset = self._load_dataset(self.summary.config)
        return dataset.train.join(dataset.validation)

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Copies the best model, and its model card, to a file; checks in a fresh process that plain Keras loads it.

        Args:
            path: Where to, ending in ``.keras``.

        Returns:
            The path.

        Raises:
            UsageError: If it cannot be written there.
            StoreError: If there is no model.
        """
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results import export_model

        target = Path(path).expanduser()
        export_model(self._find_model(), target)
        return target

    def load_model(self) -> Any:
        """Returns the best model, as ``keras.models.load_model`` does: from pixels 0..255 to class probabilities.

        Raises:
            StoreError: If there is none, or Keras cannot load it.
        """
        from searchcnn.backend import start_keras

        start_keras()
        from searchcnn.results.card import read_card
        from searchcnn.results.export import load_model

        model = self._find_model()
        read_card(model)
        return load_model(model)

    def _make_moved_job(self) -> Job:
        """Returns the study as it is in the database, with its images where they are now."""
        job = self.make_begun_job()
        data = self._request.replace_images(job.config.data)
        return replace(job, config=job.config.model_copy(update={"data": data}))

    def _find_model(self) -> Path:
        """Returns the file of the best model.

        Raises:
            StoreError: If it belongs to another search.
        """
        from searchcnn.results.card import find_card, is_foreign

        summary = self._read()
        if summary is not None and is_foreign(find_card(self.model_path), summary):
            raise StoreError(
                f"{self.model_path} is of another search with that name, in another database; name that database as "
                "storage, or search again under another name"
            )
        return self.model_path
