"""Datasets: where images come from, how they are divided, how they reach a network in batches."""

from searchcnn.data.augmentation import Augmentation
from searchcnn.data.batches import arrays, batches
from searchcnn.data.builtin import NAMES
from searchcnn.data.dataset import Dataset, Mapped, Split, Views
from searchcnn.data.examine import warned_of_flip
from searchcnn.data.folds import Fold, make_folds
from searchcnn.data.found import Found, find_datasets
from searchcnn.data.label_form import LabelForm
from searchcnn.data.load import load_dataset
from searchcnn.data.normalization import SCALE, Normalization
from searchcnn.data.photos import why_not_photos
from searchcnn.data.places import cache
from searchcnn.data.preparation import Preparation
from searchcnn.data.report import Finding, Report

__all__ = [
    "NAMES",
    "SCALE",
    "Augmentation",
    "Dataset",
    "Finding",
    "Fold",
    "Found",
    "LabelForm",
    "Mapped",
    "Normalization",
    "Preparation",
    "Report",
    "Split",
    "Views",
    "arrays",
    "batches",
    "cache",
    "find_datasets",
    "load_dataset",
    "make_folds",
    "warned_of_flip",
    "why_not_photos",
]
