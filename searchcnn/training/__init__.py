"""Builds and trains networks with Keras."""

from searchcnn.study import Recipe
from searchcnn.training.checkpoint import Checkpoints
from searchcnn.training.dry_run import check_stability, run_dry
from searchcnn.training.folds import FoldFeatures, Training, train_again
from searchcnn.training.inputs import identify_images
from searchcnn.training.network import make_classifier
from searchcnn.training.points import find_known_points
from searchcnn.training.trainer import Trainer

__all__ = [
    "Checkpoints",
    "FoldFeatures",
    "Recipe",
    "Trainer",
    "Training",
    "check_stability",
    "find_known_points",
    "identify_images",
    "make_classifier",
    "run_dry",
    "train_again",
]
