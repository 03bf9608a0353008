"""Stops a search as Ctrl-C does, at a known place."""

import threading

from searchcnn.events import EpochFinished, Event


class Stop:
    """Stops a search after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.event = threading.Event()

    def hear(self, event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch.number == self.epoch:
            self.event.set()
