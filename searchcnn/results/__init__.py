"""The results of a search: a verified model, its card, its scores.

Names are imported when they are asked for: `searchcnn status` needs only the card.
"""

from typing import TYPE_CHECKING

from searchcnn.lazy import import_lazily
from searchcnn.results.card import find_card, get_card_path, make_card, read_card

if TYPE_CHECKING:
    from searchcnn.results.evaluation import evaluate_model, evaluate_on
    from searchcnn.results.export import export_model, save_model
    from searchcnn.results.label_errors import LabelError, find_label_errors
    from searchcnn.results.leaderboard import Leaderboard
    from searchcnn.results.models import Models
    from searchcnn.results.prediction import Prediction, classify, list_images
    from searchcnn.results.rehearsal import rehearse
    from searchcnn.results.scores import ClassScore, Confusion, Predictions, Scores
    from searchcnn.results.stored import read_predictions

__all__ = [
    "ClassScore",
    "Confusion",
    "LabelError",
    "Leaderboard",
    "Models",
    "Prediction",
    "Predictions",
    "Scores",
    "classify",
    "evaluate_model",
    "evaluate_on",
    "export_model",
    "find_card",
    "find_label_errors",
    "get_card_path",
    "list_images",
    "make_card",
    "read_card",
    "read_predictions",
    "rehearse",
    "save_model",
]

HOMES = {
    "ClassScore": "searchcnn.results.scores",
    "Confusion": "searchcnn.results.scores",
    "Leaderboard": "searchcnn.results.leaderboard",
    "LabelError": "searchcnn.results.label_errors",
    "Models": "searchcnn.results.models",
    "Prediction": "searchcnn.results.prediction",
    "Predictions": "searchcnn.results.scores",
    "Scores": "searchcnn.results.scores",
    "classify": "searchcnn.results.prediction",
    "evaluate_model": "searchcnn.results.evaluation",
    "evaluate_on": "searchcnn.results.evaluation",
    "export_model": "searchcnn.results.export",
    "find_label_errors": "searchcnn.results.label_errors",
    "list_images": "searchcnn.results.prediction",
    "read_predictions": "searchcnn.results.stored",
    "rehearse": "searchcnn.results.rehearsal",
    "save_model": "searchcnn.results.export",
}
"""Where public names live that are imported when they are asked for: these modules import NumPy and Optuna."""


__getattr__, __dir__ = import_lazily(globals(), HOMES)
