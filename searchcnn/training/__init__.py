"""Builds and trains networks with Keras."""

from searchcnn.study import Recipe
from searchcnn.training.checkpoint import Checkpoints
from searchcnn.training.dry_run import dry_run
from searchcnn.training.network import classifier
from searchcnn.training.trainer import Trainer

__all__ = ["Checkpoints", "Recipe", "Trainer", "classifier", "dry_run"]
