"""The dataset: labelled images, decoded, brought to one size, examined and divided. Knows neither Keras nor sources."""

from searchcnn.data.dataset import Dataset, Mapped, Split, Views
from searchcnn.data.examine import warned_of_flip
from searchcnn.data.findings import DatasetRead, Finding, Report
from searchcnn.data.folds import Fold, make_folds
from searchcnn.data.photos import why_not_photos
from searchcnn.data.preparation import Preparation

__all__ = [
    "Dataset",
    "DatasetRead",
    "Finding",
    "Fold",
    "Mapped",
    "Preparation",
    "Report",
    "Split",
    "Views",
    "make_folds",
    "warned_of_flip",
    "why_not_photos",
]
