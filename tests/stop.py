"""Stops a search as Ctrl-C does, at a known place."""

import threading

from searchcnn.events import EpochFinished, EpochsRecalled, Event


class Stop:
    """Stops a search after an epoch, or as soon as that is recalled."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.event = threading.Event()

    def hear(self, event: Event) -> None:
        match event:
            case EpochFinished(_, epoch):
                numbers = [epoch.number]
            case EpochsRecalled(_, epochs):
                numbers = [epoch.number for epoch in epochs]
            case _:
                numbers = []
        if self.epoch in numbers:
            self.event.set()
