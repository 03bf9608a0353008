"""Tells photos, which pretrained networks know, from drawings, scans and icons."""

from searchcnn.data.findings import Report

LEAST_SIDE = 64
"""Pixels of the longer side of the median image, as it came, from which it may be a photo."""
LEAST_COLOURS = 90.0
"""Colours of the median image from which it may be a photo: in the middle between the sets of drawings and of photos
that docs/how-to/use-your-own-images.md lists."""


def why_not_photos(report: Report) -> str:
    """Returns in words why the images of a dataset are not taken for photos, by colours and sizes; nothing if they are.

    The words are ``grey``, ``small (28 pixels)`` or ``few colours (14), as in drawings``.
    """
    side = max(report.sizes[1]) if report.sizes else 0
    if report.shape[-1] == 1:
        return "grey"
    if side < LEAST_SIDE:
        return f"small ({side} pixels)"
    return "" if report.colours >= LEAST_COLOURS else f"few colours ({report.colours:.0f}), as in drawings"
