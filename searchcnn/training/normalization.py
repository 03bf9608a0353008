"""Normalisation of images: fixed layers from raw pixels to what a network takes."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from searchcnn.data.statistics import compute_moments, draw_sample
from searchcnn.study.values import NormalizationName

PIXEL_SCALE: Final = 1 / 255
"""What a pixel 0..255 is multiplied by first."""
SCALES: Final = {"none": 1.0, "scale": PIXEL_SCALE}
"""What pixels are multiplied by, for the kinds that do nothing more."""
SLICE: Final = 1024
"""Number of images in memory that are normalised at once."""
PATCH: Final = 5
"""Side of a whitening filter in pixels: filters learnt on whole images are as local (Krizhevsky 2009)."""
PATCHES: Final = 100_000
"""Number of patches whose covariance is whitened."""
REGULARIZATION: Final = 0.01
"""What is added to the variances of standardised patches before they are made equal: it keeps noise from being blown up
(Coates, Ng & Lee 2011, https://proceedings.mlr.press/v15/coates11a.html)."""


@dataclass(frozen=True, eq=False)
class Normalization:
    """What is done to raw pixels before a network sees them, in training as in the saved model.

    Attributes:
        scale: What pixels 0..255 are multiplied by first; 1 leaves them as they are.
        mean: Of each channel of pixels scaled to 0..1; without it, pixels are only scaled.
        deviation: Standard deviation of each channel of pixels scaled to 0..1.
        whitening: Kernel of a convolution of the standardised image, float32 of shape (side, side, channels, channels).
    """

    scale: float = PIXEL_SCALE
    mean: Sequence[float] = ()
    deviation: Sequence[float] = ()
    whitening: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(cls, kind: NormalizationName, images: Any) -> Self:
        """Computes a normalisation from a sample of the training images, always the same one.

        Args:
            kind: "none": pixels stay 0..255. "scale": to 0..1. "standardize": then to mean 0 and variance 1 in each
                channel. "zca": then the zero-phase component analysis of patches, so that neighbouring pixels and
                channels become uncorrelated (Krizhevsky 2009,
                https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf); of each patch only the centre is kept,
                so that it is a convolution.
            images: Pixels 0..255, uint8 of shape (samples, height, width, channels); need not be in memory.
        """
        if kind in SCALES:
            return cls(SCALES[kind])
        sample = draw_sample(images)
        mean, deviation = (PIXEL_SCALE * moment for moment in compute_moments(sample))
        whitening = _compute_whitening(sample, mean, deviation) if kind == "zca" else None
        return cls(PIXEL_SCALE, mean.tolist(), deviation.tolist(), whitening)

    def describe(self) -> str:
        """Returns a text that no other normalisation has."""
        whitening = b"" if self.whitening is None else self.whitening.tobytes()
        return f"{self.scale} {self.mean} {self.deviation} {whitening.hex()}"

    def make_layers(self) -> list[Any]:
        """Returns new stock Keras layers that normalise, one after the other."""
        from keras import layers

        stack = [layers.Rescaling(self.scale, dtype="float32", name="scale")]
        if self.mean:
            scale = 1 / np.asarray(self.deviation)
            offset = -scale * self.mean
            stack.append(layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32", name="standardize"))
        if self.whitening is not None:
            stack.append(_make_convolution(self.whitening))
        return stack

    def make_function(self) -> Callable[[Any], Any]:
        """Returns a function that normalises with such layers.

        It takes pixels 0..255 of any dtype, shape (batch, height, width, channels), and returns a float32 tensor of the
        same shape. Make it outside of a graph; it may be called in one.
        """
        with _use_device():
            layers = self.make_layers()

        def normalize(pixels: Any) -> Any:
            if not self.mean and isinstance(pixels, np.ndarray):
                return self.normalize(pixels)  # a layer outside of a graph takes 20 times as long
            with _use_device():
                for layer in layers:
                    pixels = layer(pixels)
                return pixels

        return normalize

    def normalize(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Normalises images in memory, of shape (samples, height, width, channels)."""
        if not self.mean:
            return images.astype(np.float32) * np.float32(self.scale)
        import keras

        function, normalized = self.make_function(), np.empty(images.shape, np.float32)
        for start in range(0, len(images), SLICE):
            some = slice(start, start + SLICE)
            normalized[some] = keras.ops.convert_to_numpy(function(images[some]))
        return normalized


SCALE: Final = Normalization()
"""Pixels are scaled to 0..1, no more."""


def _use_device() -> contextlib.AbstractContextManager[Any]:
    """Normalises images in its body where they are needed: with TensorFlow on the CPU, where tf.data runs."""
    import keras

    return keras.device("cpu:0") if keras.backend.backend() == "tensorflow" else contextlib.nullcontext()


def _compute_whitening(
    sample: npt.NDArray[np.uint8], mean: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Returns the rows of the ZCA matrix of patches that make their centre pixel, as the kernel of a convolution."""
    channels = sample.shape[-1]
    side = min(PATCH, (min(sample.shape[1:3]) - 1) // 2 * 2 + 1)
    scaled = (_draw_patches(sample, side) * PIXEL_SCALE - mean) / deviation
    covariance = np.cov(scaled.reshape(len(scaled), -1), rowvar=False)
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    matrix = vectors / np.sqrt(np.maximum(values, 0) + REGULARIZATION) @ vectors.T
    rows: npt.NDArray[np.float64] = matrix.reshape(side, side, channels, side, side, channels)[side // 2, side // 2]
    return rows.transpose(1, 2, 3, 0).astype(np.float32)


def _draw_patches(sample: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Returns square patches from anywhere in the images, shape (patches, side, side, channels)."""
    random = np.random.default_rng(0)
    count, height, width = sample.shape[:3]
    ends = count, height - side + 1, width - side + 1
    image, row, column = (random.integers(0, end, (PATCHES, 1, 1)) for end in ends)
    patches: npt.NDArray[np.uint8] = sample[image, row + np.arange(side)[:, None], column + np.arange(side)]
    return patches


def _make_convolution(kernel: npt.NDArray[np.float32]) -> Any:
    from keras import layers

    side, _, channels, filters = kernel.shape
    layer = layers.Conv2D(
        filters,
        kernel_size=side,
        padding="same",
        data_format="channels_last",
        use_bias=False,
        kernel_initializer="zeros",  # a random one would change what Keras draws next
        trainable=False,
        dtype="float32",
        name="whiten",
    )
    layer.build((None, None, None, channels))
    layer.set_weights([kernel])
    return layer
