"""A kind of file that a model is exported to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Format:
    """A kind of file that a model is exported to.

    Attributes:
        suffix: The end of the file's name, such as ``".keras"``.
        title: What such a file is, with an article.
        write: Writes a study's model, a Keras file, to a file of this kind: ``write(source, target)``.
        script: Code that predicts with such files as their users do, in a process that has not imported searchcnn:
            ``sys.argv`` names a NumPy file of images, uint8 of shape (images, height, width, channels), and then, for
            each model, its file and the NumPy file to write, float32 of shape (images, classes).
        failure: What to say where that fails, and how to fix it; ``{}`` stands for the last line that it printed.
    """

    suffix: str
    title: str
    write: Callable[[Path, Path], object]
    script: str
    failure: str
