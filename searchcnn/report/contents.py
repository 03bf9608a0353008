"""What a report says of a study: read from its database and from the files beside its best model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from searchcnn.events import Epoch
from searchcnn.results.card import find_card, is_foreign
from searchcnn.results.gallery import Picture, read_pictures
from searchcnn.results.label_errors import LabelError, find_label_errors
from searchcnn.results.leaderboard import Leaderboard
from searchcnn.results.scores import Predictions, Scores, score
from searchcnn.results.stored import read_predictions
from searchcnn.store import StudySummary, TrialSummary, read_curves, read_summary
from searchcnn.study import Workspace


@dataclass(frozen=True)
class Contents:
    """A study as its report shows it.

    Attributes:
        summary: What the database says of it.
        curves: The epochs of each trial, by its number.
        model_file: The file of its best model.
        model: Likewise, as people read it.
        card: The card of that model; empty if there is none.
        predictions: What that model predicts for the validation images; None if that is not known.
        fold_predictions: What its network predicts for images of training and validation, in folds; None if that was
            not asked for.
        test_predictions: What the model predicts for the test images; None before `evaluate`.
        pictures: Pictures of some of the validation images.
        test_pictures: Pictures of some of the test images.
    """

    summary: StudySummary
    curves: Mapping[int, Sequence[Epoch]]
    model_file: Path
    model: Path
    card: Mapping[str, Any]
    predictions: Predictions | None
    fold_predictions: Predictions | None
    test_predictions: Predictions | None
    pictures: Sequence[Picture]
    test_pictures: Sequence[Picture]

    @cached_property
    def validation(self) -> Scores | None:
        """The scores on the validation images; None if what is predicted for them is not known."""
        return score(self.predictions) if self.predictions else None

    @cached_property
    def test_scores(self) -> Scores | None:
        """The scores on the test images; None before `evaluate`."""
        return score(self.test_predictions) if self.test_predictions else None

    @cached_property
    def label_errors(self) -> list[LabelError]:
        """The images that are likely filed under the wrong class: of validation; with folds, of training, too."""
        predictions = self.fold_predictions or self.predictions
        return find_label_errors(predictions) if predictions else []

    @property
    def has_activations(self) -> bool:
        """Whether it is known where the network looks in some of the pictures."""
        return any(picture.activation is not None for picture in [*self.pictures, *self.test_pictures])

    @property
    def metric(self) -> str:
        """The metric that is optimised."""
        return self.summary.config.objective.metric

    @property
    def best(self) -> TrialSummary | None:
        """The best complete trial."""
        return self.summary.best

    @cached_property
    def board(self) -> Leaderboard:
        """The trials, compared."""
        return Leaderboard.of(self.summary, self.curves, self.model_file)

    @cached_property
    def trained(self) -> list[TrialSummary]:
        """The trials that were trained and have a score."""
        return [trial for trial in self.summary.trials if _is_trained(trial)]

    @property
    def leaders(self) -> list[TrialSummary]:
        """Likewise, the best first, and those that do not count last."""
        return [trial for trial in self.board.sort() if _is_trained(trial)]

    @property
    def test(self) -> Mapping[str, Any] | None:
        """What the card says of the test images; None before `evaluate`."""
        scores: Mapping[str, Any] = self.card.get("scores", {})
        return scores.get("test")


def read_contents(workspace: Workspace, url: URL, name: str) -> Contents:
    """Reads all that a report says.

    Args:
        workspace: Where the study's files are.
        url: Its database.
        name: The study.

    Raises:
        StoreError: If the database cannot be read, or holds no such study.
    """
    summary, model = read_summary(url, name), workspace.best_model(name)
    card = find_card(model)
    if is_foreign(card, summary):
        card = {}
    identity = card.get("sha256", "")
    return Contents(
        summary,
        read_curves(url, name),
        model,
        workspace.shorten(model),
        card,
        read_predictions(workspace.predictions(name, "validation"), identity),
        _read_folds(workspace, name, identity),
        read_predictions(workspace.predictions(name, "test"), identity),
        [
            *read_pictures(workspace.pictures(name, "folds"), identity),
            *read_pictures(workspace.pictures(name, "validation"), identity),
        ],
        read_pictures(workspace.pictures(name, "test"), identity),
    )


def _is_trained(trial: TrialSummary) -> bool:
    return bool(trial.epochs) and trial.value is not None


def _read_folds(workspace: Workspace, name: str, identity: str) -> Predictions | None:
    """Returns what was predicted in folds, the most folds if there were several."""
    pattern = workspace.out_of_fold(name, "*")
    files = sorted(pattern.parent.glob(pattern.name), key=lambda file: int(file.stem.removeprefix("folds-")))
    found = (read_predictions(file, identity) for file in reversed(files))
    return next((predictions for predictions in found if predictions is not None), None)
