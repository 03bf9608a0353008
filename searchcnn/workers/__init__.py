"""A supervisor, which never imports Keras, and the worker processes in which trials run."""

from searchcnn.workers.processes import optimize

__all__ = ["optimize"]
