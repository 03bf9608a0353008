"""The seed rule: everything random derives from the study's seed and the trial's number, and from nothing else.

So a search that was interrupted and continued draws what the uninterrupted one drew.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Independent streams of randomness of one trial."""

    SAMPLER = 0
    TRAINING = 1


def derive_seed(study_seed: int, trial_number: int, stream: Stream) -> int:
    """Returns the 32-bit seed of one stream of one trial."""
    sequence = np.random.SeedSequence([study_seed, trial_number, int(stream)])
    return int(sequence.generate_state(1)[0])
