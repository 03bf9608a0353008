"""Finds a convolutional network for your images: plugin search spaces for Keras, driven by Optuna."""

__version__ = "0.1.0"
