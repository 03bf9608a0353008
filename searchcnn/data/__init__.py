"""Datasets: where images come from, how they are divided, how they reach a network in batches."""

from searchcnn.data.augmentation import Augmentation
from searchcnn.data.batches import PIXEL_SCALE, arrays, batches
from searchcnn.data.builtin import NAMES
from searchcnn.data.dataset import Dataset, Split
from searchcnn.data.found import Found, find_datasets
from searchcnn.data.load import load_dataset
from searchcnn.data.places import cache

__all__ = [
    "NAMES",
    "PIXEL_SCALE",
    "Augmentation",
    "Dataset",
    "Found",
    "Split",
    "arrays",
    "batches",
    "cache",
    "find_datasets",
    "load_dataset",
]
