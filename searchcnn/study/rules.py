"""Versions of what a study does by itself: it goes on with those that it was begun with."""

from typing import Final

BUILDERS_COUNT: Final = 2
"""From here on what a builder brings along counts: its scaling of pixels, its dtype policy, the batch size of its own
``fit``, and Keras' batch normalisation where epochs are short."""
VIEWS_ARE_KEPT: Final = 3
"""From here on images that are changed at random before a frozen part of a network are seen in a few views, whose
features are computed once."""
RULES: Final = 3
"""What a new study does."""
