"""Builds and trains networks with Keras."""

from searchcnn.study import Recipe
from searchcnn.training.checkpoint import Checkpoints
from searchcnn.training.dry_run import check_stability, run_dry
from searchcnn.training.network import make_classifier
from searchcnn.training.points import find_known_points
from searchcnn.training.trainer import Trainer

__all__ = ["Checkpoints", "Recipe", "Trainer", "check_stability", "find_known_points", "make_classifier", "run_dry"]
