"""A supervisor, which never imports Keras, and the worker processes in which trials run."""

from searchcnn.workers.supervisor import search

__all__ = ["search"]
