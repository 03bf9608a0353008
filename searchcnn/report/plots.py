"""The plots and tables of a study, for scripts and notebooks: what its report shows."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from searchcnn.errors import StoreError, UsageError
from searchcnn.results.records import tabulate

if TYPE_CHECKING:
    from searchcnn.report.contents import Contents
    from searchcnn.report.points import Points
    from searchcnn.results import Scores

WRONG = ("file", "label", "predicted", "probability", "probability_of_label")
"""Columns of the table of mistakes."""


class Plots:
    """What a study shows of itself. Plots are Plotly's figures, of validation images."""

    @abstractmethod
    def _read_contents(self) -> Contents:
        """Returns all that its report says, as it is now."""

    def plot_history(self) -> Any:
        """Plots the score of each trained network, and the best so far."""
        from searchcnn.report.figures import plot_history

        return plot_history(self._read_contents())

    def plot_curves(self) -> Any:
        """Plots the learning curves; that of the best network with its scores on training images."""
        from searchcnn.report.figures import plot_curves

        return plot_curves(self._read_contents())

    def plot_time(self) -> Any:
        """Plots where the time of the search went."""
        from searchcnn.report.figures import plot_time

        return plot_time(self._read_contents())

    def plot_tradeoff(self, measure: str = "params") -> Any:
        """Plots scores against what the networks cost.

        Args:
            measure: "params", "macs" or "seconds".

        Raises:
            UsageError: If there is no such measure.
        """
        from searchcnn.report.figures import MEASURES, plot_tradeoff

        if measure not in MEASURES:
            raise UsageError(f"measure = {measure!r}: expected one of {', '.join(MEASURES)}")
        return plot_tradeoff(self._read_contents(), measure)

    def plot_importances(self, space: str | None = None) -> Any:
        """Plots how much each hyperparameter of a search space matters.

        Args:
            space: The search space; by default the one with the most trials.

        Raises:
            StoreError: If too few of its networks were trained.
        """
        from searchcnn.report.figures import plot_importances

        return plot_importances(self._find_points(space))

    def plot_slices(self, space: str | None = None) -> Any:
        """Plots scores over the values of the hyperparameters that matter most.

        Args:
            space: As in `plot_importances`.

        Raises:
            StoreError: Likewise.
        """
        from searchcnn.report.figures import plot_slices

        return plot_slices(self._find_points(space))

    def plot_confusion(self) -> Any:
        """Plots the confusion matrix of the best model on the validation images.

        Raises:
            StoreError: If it is not known what it predicts for them.
        """
        from searchcnn.report.figures import plot_confusion

        return plot_confusion(self._find_scores())

    def plot_confidence(self) -> Any:
        """Plots how often the best model is right against how sure it is, on the validation images.

        Raises:
            StoreError: If it is not known what it predicts for them.
        """
        from searchcnn.report.figures import plot_confidence

        return plot_confidence(self._find_scores())

    def confusion(self) -> Any:
        """Returns the confusion matrix of the best model on the validation images, by the names of the classes.

        Returns:
            A `pandas.DataFrame` with a row for each class and a column for each one that is predicted; without pandas,
            a dict of dicts.

        Raises:
            StoreError: If it is not known what it predicts for them.
        """
        scores = self._find_scores()
        names = [row.name for row in scores.classes]
        counts = {name: dict(zip(names, line, strict=True)) for name, line in zip(names, scores.matrix, strict=True)}
        try:
            import pandas as pd
        except ImportError:
            return counts
        return pd.DataFrame.from_dict(counts, orient="index", columns=names)

    def wrong(self) -> Any:
        """Returns the validation images that the best model takes for another class, the most confident mistake first.

        Returns:
            A `pandas.DataFrame`, or a list of dicts without pandas, of ``file``, ``label``, ``predicted``,
            ``probability`` and ``probability_of_label``.

        Raises:
            StoreError: If it is not known what it predicts for them.
        """
        predictions = self._find_scores().predictions
        rows = [predictions.describe(index) for index in map(int, predictions.find_wrong())]
        return tabulate(rows, WRONG)

    def _find_scores(self) -> Scores:
        scores = self._read_contents().validation
        if scores is None:
            raise StoreError(
                "it is not known what the best model predicts for the validation images: a search writes that at its "
                "end, unless it has folds (data.folds)"
            )
        return scores

    def _find_points(self, space: str | None) -> Points:
        from searchcnn.report.points import LEAST, compare_points

        for points in compare_points(self._read_contents()):
            if space in (None, points.space):
                return points
        raise StoreError(
            f"fewer than {LEAST} networks of {space or 'any search space'} were trained for the same number of epochs; "
            "search longer to see which hyperparameters matter"
        )
