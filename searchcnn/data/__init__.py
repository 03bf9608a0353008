"""The dataset: labelled images, decoded, brought to one size, inspected and divided. Knows no Keras and no sources."""

from searchcnn.data.dataset import Dataset, LabelledImages, Mapped, Split, Views
from searchcnn.data.findings import Finding, ImagesInspected, Inspection
from searchcnn.data.folds import Fold, make_folds
from searchcnn.data.inspection import warn_of_flip
from searchcnn.data.parts import write_parts
from searchcnn.data.photos import explain_why_not_photos
from searchcnn.data.preparation import Preparation

__all__ = [
    "Dataset",
    "Finding",
    "Fold",
    "ImagesInspected",
    "Inspection",
    "LabelledImages",
    "Mapped",
    "Preparation",
    "Split",
    "Views",
    "explain_why_not_photos",
    "make_folds",
    "warn_of_flip",
    "write_parts",
]
