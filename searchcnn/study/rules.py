"""Versions of what a study does by itself: it goes on with those that it was begun with."""

from typing import Final

DETECTED_SCALING: Final = 2
"""From here on a network that scales pixels itself gets those that it was made for."""
SHORT_EPOCHS: Final = 2
"""From here on the statistics of batch normalisation keep up with short epochs."""
RULES: Final = 2
"""What a new study does."""
