"""What a search leaves: a verified model, its card, its scores."""

from searchcnn.results.card import card_path, make_card, read_card
from searchcnn.results.evaluation import ClassScore, Scores, evaluate_model
from searchcnn.results.export import export_model, save_model
from searchcnn.results.models import Models

__all__ = [
    "ClassScore",
    "Models",
    "Scores",
    "card_path",
    "evaluate_model",
    "export_model",
    "make_card",
    "read_card",
    "save_model",
]
