"""Versions of what a study does by itself: it goes on with those that it was begun with."""

from collections.abc import Mapping
from typing import Final

BUILDERS_COUNT: Final = 2
"""From here on what a builder brings along counts: its scaling of pixels, its dtype policy, the batch size of its own
``fit``, and Keras' batch normalisation where epochs are short."""
VIEWS_ARE_KEPT: Final = 3
"""From here on images that are changed at random before a frozen part of a network are seen in a few views, whose
features are computed once."""
RULES: Final = 3
"""What a new study does."""
LACKING: Final[Mapping[int, str]] = {
    BUILDERS_COUNT: "a network that scales pixels itself still gets 0..1",
    VIEWS_ARE_KEPT: "images are changed anew in each epoch before a frozen part, too",
}
"""What is still so in a study that was begun before a version."""


def difference(rules: int) -> str:
    """Returns in words what a study does by earlier rules; nothing if they are the latest.

    >>> difference(RULES)
    ''

    Args:
        rules: The version that it was begun with.
    """
    lacking = "; ".join(text for version, text in LACKING.items() if rules < version)
    return lacking and (
        f"this study goes on as an earlier version began it: {lacking}; begin a new study with --name for what has "
        "changed"
    )
