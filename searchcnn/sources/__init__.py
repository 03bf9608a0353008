"""Where images come from: a name, a path or an object becomes a dataset."""

from searchcnn.sources.builtin import NAMES
from searchcnn.sources.listing import Found, find_datasets
from searchcnn.sources.load import load_dataset

__all__ = ["NAMES", "Found", "find_datasets", "load_dataset"]
