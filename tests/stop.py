"""Stops a search as Ctrl-C does, at a known place."""

import threading

from searchcnn.search import Listener, TrialProgress
from searchcnn.store import Epoch


class Stop(Listener):
    """Stops a search after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.event = threading.Event()

    def epoch_finished(self, trial: TrialProgress, epoch: Epoch) -> None:
        if epoch.number == self.epoch:
            self.event.set()
