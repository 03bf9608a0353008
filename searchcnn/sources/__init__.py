"""Where images come from: a name, a path or an object becomes a dataset."""

from searchcnn.sources.builtin import BUILTIN_NAMES
from searchcnn.sources.listing import DatasetInfo, find_datasets
from searchcnn.sources.load import load_dataset, load_images

__all__ = ["BUILTIN_NAMES", "DatasetInfo", "find_datasets", "load_dataset", "load_images"]
