"""Random changes of training images that keep their class."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Augmentation:
    """Mirrors and shifts images; what moves in from outside repeats the edge.

    Attributes:
        flip: Whether half of the images are mirrored, left to right.
        shift: Largest shift along each axis, as a part of its side.
    """

    flip: bool = False
    shift: float = 0.0

    def __bool__(self) -> bool:
        return self.flip or self.shift > 0

    def __call__(self, images: npt.NDArray[np.uint8], random: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Returns changed images.

        Args:
            images: Shape (batch, height, width, channels).
            random: Draws each image's change.
        """
        count, height, width = images.shape[:3]
        rows, columns = self._shifted(count, height, random), self._shifted(count, width, random)
        if self.flip:
            mirrored = random.random(count) < 0.5
            columns[mirrored] = columns[mirrored, ::-1]
        return images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]

    def _shifted(self, count: int, side: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns, for each image, where along an axis each pixel comes from: shape (images, side)."""
        reach = round(self.shift * side)
        starts = random.integers(-reach, reach, (count, 1), endpoint=True)
        sources: npt.NDArray[np.int64] = np.clip(np.arange(side) + starts, 0, side - 1)
        return sources
