"""How well a model does on labelled images, by what it predicts for them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.text import compute_interval

TOP = 5
"""Number of the most probable classes among which the right one counts for `Scores.top5`."""
BINS = 15
"""Number of bins of confidence in which the calibration error is measured, as in Guo et al. 2017."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model predicts for images whose classes are known.

    Attributes:
        names: Name of each image, for people.
        labels: Index of each image's class, int64 of shape (images,).
        probabilities: Of each class, float32 of shape (images, classes).
        class_names: Name of each class by label.
        images: The images themselves, uint8 of shape (images, height, width, channels), in memory or mapped.
    """

    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    class_names: Sequence[str]
    images: Any = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Index of the most probable class of each image, int64 of shape (images,)."""
        return np.asarray(self.probabilities.argmax(axis=-1), np.int64)

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """Probability of the most probable class of each image, float32 of shape (images,)."""
        return np.asarray(self.probabilities.max(axis=-1))

    def take(self, rows: npt.NDArray[np.int64]) -> "Predictions":
        """Returns those at the indices, int64 of shape (rows,), in their order, without their images."""
        names = [self.names[int(row)] for row in rows] if self.names else ()
        return Predictions(names, self.labels[rows], self.probabilities[rows], self.class_names)

    def describe(self, index: int) -> dict[str, Any]:
        """Returns what is predicted for an image, as a record, given its index.

        Returns:
            ``file``, ``label``, ``predicted``, and the probabilities of the predicted class and of its own:
            ``probability`` and ``probability_of_label``.
        """
        label, predicted = int(self.labels[index]), int(self.probabilities[index].argmax())
        return {
            "file": self.names[index],
            "label": self.class_names[label],
            "predicted": self.class_names[predicted],
            "probability": float(self.probabilities[index, predicted]),
            "probability_of_label": float(self.probabilities[index, label]),
        }

    def find_wrong(self) -> npt.NDArray[np.int64]:
        """Returns the indices of the images that are taken for another class, the most confident mistake first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised.

    Attributes:
        name: The class.
        precision: Fraction of the images taken for this class that belong to it.
        recall: Fraction of this class's images that are taken for it.
        f1: Harmonic mean of the two.
        images: Number of images of this class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True)
class Confusion:
    """Images of one class that are taken for another.

    Attributes:
        label: Their class.
        predicted: What they are taken for.
        images: Their number.
        share: Their fraction of the images of their class.
    """

    label: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class Scores:
    """Scores on labelled images.

    Attributes:
        accuracy: Fraction of the images that are classified correctly.
        interval: Ends of its 95 % confidence interval (Wilson 1927).
        loss: Mean cross-entropy, in nats.
        balanced_accuracy: Mean of the classes' recalls.
        kappa: Agreement beyond chance, at most 1 (Cohen 1960).
        calibration_error: Mean difference between how sure the model is and how often it is right, over bins of its
            confidence (expected calibration error, Guo et al. 2017).
        top5: Fraction of the images whose class is among the five most probable ones; None with fewer than ten classes.
        images: Number of images.
        classes: Scores of each class.
        matrix: Number of images by class (rows) and by the class that is predicted (columns).
        times_read: How many times this model has been scored on these images if they are the test images, this time
            included; 0 for others.
        left_out: Classes that the model does not know; their images are left out.
        predictions: What the model predicts for each image.
    """

    accuracy: float
    interval: tuple[float, float]
    loss: float
    balanced_accuracy: float
    kappa: float
    calibration_error: float
    top5: float | None
    images: int
    classes: Sequence[ClassScore]
    matrix: Sequence[Sequence[int]]
    times_read: int
    left_out: Sequence[str]
    predictions: Predictions = field(repr=False, compare=False)

    def summarize(self) -> dict[str, Any]:
        """Returns the scores of all classes together, by name."""
        parts = ("classes", "matrix", "predictions")
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in parts}

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it but the predictions, as JSON holds it."""
        confusions = [asdict(pair) for pair in self.list_confusions()]
        return {
            **self.summarize(),
            "classes": [asdict(row) for row in self.classes],
            "matrix": self.matrix,
            "confusions": confusions,
        }

    def list_confusions(self, count: int | None = None) -> list[Confusion]:
        """Returns what is confused, the most frequent first.

        Args:
            count: The number of pairs of classes at most; None for all.
        """
        pairs = [
            Confusion(row.name, column.name, images, images / row.images)
            for row, line in zip(self.classes, self.matrix, strict=True)
            for column, images in zip(self.classes, line, strict=True)
            if images and row is not column
        ]
        return sorted(pairs, key=lambda pair: (-pair.images, -pair.share))[:count]


def score(predictions: Predictions, times_read: int = 0, left_out: Sequence[str] = ()) -> Scores:
    """Computes scores.

    Args:
        predictions: Of at least one image.
        times_read: As in `Scores`.
        left_out: As in `Scores`.
    """
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    labels, predicted = predictions.labels, predictions.predicted
    numbers = list(range(len(predictions.class_names)))
    classes, accuracy = _score_classes(predictions), float((predicted == labels).mean())
    recalls = [row.recall for row in classes if row.images]
    is_one_class = len({*labels, *predicted}) == 1  # of which scikit-learn's kappa is not a number
    return Scores(
        accuracy=accuracy,
        interval=compute_interval(accuracy, len(labels)),
        loss=compute_loss(predictions),
        balanced_accuracy=float(np.mean(recalls)),
        kappa=1.0 if is_one_class else float(cohen_kappa_score(labels, predicted, labels=numbers)),
        calibration_error=compute_calibration_error(predictions),
        top5=_compute_top(predictions),
        images=len(labels),
        classes=classes,
        matrix=confusion_matrix(labels, predicted, labels=numbers).tolist(),
        times_read=times_read,
        left_out=left_out,
        predictions=predictions,
    )


def compute_loss(predictions: Predictions) -> float:
    """Returns the mean cross-entropy in nats."""
    from sklearn.metrics import log_loss

    float64 = np.asarray(predictions.probabilities, dtype=np.float64)
    numbers = list(range(len(predictions.class_names)))
    return float(log_loss(predictions.labels, float64 / float64.sum(axis=-1, keepdims=True), labels=numbers))


def compute_calibration_error(predictions: Predictions) -> float:
    """Returns the expected calibration error, 0..1: 0 if of all images with confidence c the fraction c is right."""
    confidence, is_right = predictions.confidence, predictions.predicted == predictions.labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float((is_right[bins == number] - confidence[bins == number]).sum())) for number in range(BINS)]
    return sum(gaps) / len(predictions)


def _score_classes(predictions: Predictions) -> list[ClassScore]:
    from sklearn.metrics import precision_recall_fscore_support

    numbers = list(range(len(predictions.class_names)))
    table = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=numbers, zero_division=0.0
    )
    rows = zip(predictions.class_names, *table, strict=True)
    return [ClassScore(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows]


def _compute_top(predictions: Predictions) -> float | None:
    if len(predictions.class_names) < 2 * TOP:
        return None
    top = np.argsort(-predictions.probabilities, axis=-1, kind="stable")[:, :TOP]
    return float((top == predictions.labels[:, None]).any(axis=-1).mean())
