"""Pretrained weights: what is installed, what Keras has downloaded, and what a file of weights belongs to.

Importing this does not import Keras; the functions that need it do.
"""

from searchcnn.weights.downloads import download, is_cached, is_online, watch_downloads
from searchcnn.weights.embedded import has_embedded
from searchcnn.weights.identification import identify_network

__all__ = ["download", "has_embedded", "identify_network", "is_cached", "is_online", "watch_downloads"]
