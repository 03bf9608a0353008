"""What a search leaves: a verified model, its card, its scores."""

from searchcnn.results.card import card_path, make_card, read_card
from searchcnn.results.evaluation import ClassScore, Scores, evaluate_model
from searchcnn.results.export import export_model, save_model
from searchcnn.results.models import Models
from searchcnn.results.prediction import Prediction, classify, image_files
from searchcnn.results.rehearsal import rehearse

__all__ = [
    "ClassScore",
    "Models",
    "Prediction",
    "Scores",
    "card_path",
    "classify",
    "evaluate_model",
    "export_model",
    "image_files",
    "make_card",
    "read_card",
    "rehearse",
    "save_model",
]
