"""Pretrained weights: what is installed, what Keras has downloaded, and what a file of weights belongs to.

Importing this does not import Keras; the functions that need it do.
"""

from searchcnn.weights.downloads import bring, heard_by, is_cached, is_online
from searchcnn.weights.embedded import has_embedded
from searchcnn.weights.identification import network_of

__all__ = ["bring", "has_embedded", "heard_by", "is_cached", "is_online", "network_of"]
