"""Finds near copies: the same photo saved again, at another size, a little brighter, or cut off by a few pixels.

Two steps, both on grey thumbnails. Those whose coarse pattern of light and dark is about the same (the lowest
frequencies of a cosine transform, as in a perceptual hash; Zauner 2010) are looked up in a k-d tree. They are near
copies if the details agree, too, place by place, whatever the contrast there is. The limits were set by looking at
pairs of photos; see docs/how-to/use-your-own-images.md.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import Indices

SIDE = 32
"""Height and width of a thumbnail in pixels."""
MIN_SIDE = 64
"""Pixels of the shorter side of an original from which it has details to compare: of the smaller clothes in
Fashion-MNIST, thousands of pairs agree as well as near copies do."""
FREQUENCIES = 4
"""Number of the lowest frequencies in each direction that describe a coarse pattern."""
MAX_DISTANCE = 0.25
"""Maximum distance of two coarse patterns, vectors of length 1."""
MIN_CORRELATION = 0.7
"""Minimum correlation of the details: of pairs of photos that are none, 0.6 was the highest; of those that were cut
off by two pixels of 160 on each side, 99 in 100 had more than 0.8."""
MARGIN = 4
"""Pixels at the edges of a thumbnail that are not compared: many photos share a frame."""
NEIGHBOURHOOD = 3
"""Height and width in pixels of the surroundings that a detail is compared with."""
NOISE = 8.0
"""Contrast, in levels of grey, that is lost when a photo is saved again."""
PLAIN = 3.0
"""Rows and columns whose levels of grey deviate by less from their mean belong to bars or a background."""
MIN_DETAIL = 0.1
"""Images with less are blank; that of photos was 0.17 or more."""
MAX_PAIRS = 5_000_000
"""Number of pairs that are compared at most; where far more patterns are alike, only the most alike are."""
COUNTED = 1000
"""Number of images, evenly spaced, whose neighbours are counted for that."""
COMPARED = 10_000
"""Number of pairs that are compared at once."""

Thumbnail = npt.NDArray[np.uint8]
"""A grey thumbnail, of shape (`SIDE`, `SIDE`)."""
Thumbnails = npt.NDArray[np.uint8]
"""Grey thumbnails, of shape (images, `SIDE`, `SIDE`)."""
Pairs = npt.NDArray[np.int64]
"""Indices of the two images of each pair, of shape (pairs, 2)."""


def make_thumbnail(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> Thumbnail | None:
    """Returns the grey thumbnail of an image; None if the image is too small.

    Args:
        pixels: The image, of shape (height, width, channels).
        size: Height and width of the original.
    """
    if min(size) < MIN_SIDE or min(pixels.shape[:2]) < SIDE:
        return None
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    thumbnail = image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.0)  # in two steps, which is quicker
    return np.asarray(thumbnail.convert("L"))


def group_copies(hashes: npt.NDArray[np.uint64], thumbnails: Sequence[Thumbnail | None]) -> Indices:
    """Returns for each image the index of the first one that it is a copy or a near copy of, or of a copy of it.

    Args:
        hashes: Hash of each image's pixels, of shape (images,).
        thumbnails: The thumbnail of each image; None for those that have only copies of the same pixels.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    firsts = find_firsts(hashes)
    different = {index: image for index, image in enumerate(thumbnails) if image is not None and firsts[index] == index}
    if len(different) < 2:
        return firsts
    pairs = np.array([*different])[find_near_copies(np.stack([*different.values()]))]
    links = np.concatenate([pairs, np.stack([np.arange(len(firsts)), firsts], axis=1)])
    graph = coo_array((np.ones(len(links), np.bool_), (links[:, 0], links[:, 1])), shape=(len(firsts),) * 2)
    return find_firsts(connected_components(graph, directed=False)[1])


def find_firsts(values: npt.NDArray[np.integer]) -> Indices:
    """Returns for each value the index of the first one that equals it, of shape (values,)."""
    _, firsts, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(firsts[inverse], np.int64)


def find_near_copies(thumbnails: Thumbnails) -> Pairs:
    """Returns the pairs of images that are near copies."""
    pairs = _find_alike(_describe_patterns(thumbnails))
    parts = [pairs[start : start + COMPARED] for start in range(0, len(pairs), COMPARED)]
    agree = [part[_correlate(thumbnails, part) >= MIN_CORRELATION] for part in parts]
    return np.concatenate([pairs[:0], *agree])


def _describe_patterns(thumbnails: Thumbnails) -> npt.NDArray[np.float32]:
    """Returns the coarse pattern of each image without its brightness and contrast, of shape (images, numbers)."""
    from scipy.fft import dct

    basis = dct(np.eye(SIDE), axis=0, norm="ortho")[:FREQUENCIES]
    waves = np.einsum("iy,jx->ijyx", basis, basis).reshape(FREQUENCIES**2, SIDE**2)[1:].astype(np.float32)
    patterns = thumbnails.reshape(-1, SIDE**2).astype(np.float32) @ waves.T
    return _normalize(patterns)


def _find_alike(patterns: npt.NDArray[np.float32]) -> Pairs:
    from scipy.spatial import KDTree

    tree, distance = KDTree(patterns), MAX_DISTANCE
    sample = patterns[:: max(1, len(patterns) // COUNTED)]
    while tree.query_ball_point(sample, distance, return_length=True).mean() * len(patterns) / 2 > MAX_PAIRS:
        distance /= 1.5
    return np.asarray(tree.query_pairs(distance, output_type="ndarray"), np.int64)


def _correlate(thumbnails: Thumbnails, pairs: Pairs) -> npt.NDArray[np.float32]:
    """Returns the correlation of the details of the images of each pair, of shape (pairs,); 0 of blank ones."""
    images, inverse = np.unique(pairs, return_inverse=True)
    details = _find_details(thumbnails[images])
    first, second = (details[column] for column in inverse.reshape(pairs.shape).T)
    return np.asarray(np.einsum("ij,ij->i", first, second))


def _find_details(thumbnails: Thumbnails) -> npt.NDArray[np.float32]:
    """Returns how each pixel differs from its surroundings, relative to how they vary, of shape (images, pixels)."""
    from scipy.ndimage import uniform_filter

    size = (1, NEIGHBOURHOOD, NEIGHBOURHOOD)
    pixels = thumbnails.astype(np.float32)
    difference = pixels - uniform_filter(pixels, size, mode="nearest")
    variance = np.maximum(uniform_filter(difference**2, size, mode="nearest"), 0)  # rounded, it may be below
    details = difference / (np.sqrt(variance) + NOISE) * _find_lines(pixels, 2) * _find_lines(pixels, 1)
    inside = slice(MARGIN, SIDE - MARGIN)
    details = details[:, inside, inside].reshape(len(thumbnails), -1)
    details[np.sqrt((details**2).mean(axis=1)) < MIN_DETAIL] = 0
    return _normalize(details)


def _find_lines(pixels: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.bool_]:
    """Returns which lines along an axis are not plain, nor next to one that is, of shape (images, ..., ...)."""
    from scipy.ndimage import minimum_filter1d

    is_drawn = pixels.std(axis=axis, keepdims=True) > PLAIN
    return np.asarray(minimum_filter1d(is_drawn, 3, axis=3 - axis, mode="nearest"))


def _normalize(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns vectors, of shape (images, numbers), with length 1; those of length 0 are left alone."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)
