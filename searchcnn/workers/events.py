"""What a worker tells its supervisor: a line of JSON for each thing that a listener hears, and how it ended."""

import dataclasses
import json
import threading
from dataclasses import dataclass
from typing import IO, Any, Literal

from searchcnn.data import Inspection
from searchcnn.search import Listener, Outcome, TrialProgress
from searchcnn.store import Epoch

Ending = Literal["finished", "recycled", "stopped", "failed"]
"""How a worker ended: nothing was left to do, it wants to be replaced by a fresh one, it was told to, an error."""


@dataclass(frozen=True)
class RemoteTrial:
    """A trial at work in another process; see `searchcnn.search.TrialProgress`."""

    number: int
    origin: str
    facts: dict[str, Any]
    best: float | None


class Sender(Listener):
    """Writes events for a supervisor.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def trial_started(self, trial: TrialProgress) -> None:
        """Tells it."""
        self._send("trial_started", trial)

    def trial_described(self, trial: TrialProgress) -> None:
        """Tells it."""
        self._send("trial_described", trial)

    def epoch_progressed(self, trial: TrialProgress, epoch: int, fraction: float) -> None:
        """Tells it."""
        self._send("epoch_progressed", trial, epoch=epoch, fraction=fraction)

    def epoch_finished(self, trial: TrialProgress, epoch: Epoch) -> None:
        """Tells it."""
        self._send("epoch_finished", trial, epoch=dataclasses.asdict(epoch))

    def trial_finished(self, trial: TrialProgress, outcome: Outcome, is_best: bool) -> None:
        """Tells it."""
        self._send("trial_finished", trial, outcome=dataclasses.asdict(outcome), is_best=is_best)

    def trial_given_up(self, number: int, reason: str, detail: str) -> None:
        """Tells it."""
        self._send("trial_given_up", number=number, reason=reason, detail=detail)

    def phase(self, text: str, done: float | None = None) -> None:
        """Tells it."""
        self._send("phase", text=text, done=done)

    def dataset_read(self, report: Inspection) -> None:
        """Tells it."""
        self._send("dataset_read", report=dataclasses.asdict(report))

    def begun(self) -> None:
        """Tells it."""
        self._send("begun")

    def noted(self, text: str) -> None:
        """Tells it."""
        self._send("noted", text=text)

    def trouble(self, text: str) -> None:
        """Tells it."""
        self._send("trouble", text=text)

    def ended(self, ending: Ending, error: str = "", message: str = "") -> None:
        """Tells how the worker ended: the class and the message of the error, if there is one."""
        self._send("ended", ending=ending, error=error, message=message)

    def _send(self, event: str, trial: TrialProgress | None = None, **facts: Any) -> None:
        if trial is not None:
            shown = {"number": trial.number, "origin": trial.origin, "facts": trial.facts, "best": trial.best}
            facts["trial"] = shown
        line = json.dumps({"event": event, **facts}, default=str)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def deliver(line: str, listener: Listener) -> dict[str, Any]:
    """Tells a listener what a line says, unless it says how the worker ended.

    Returns:
        The event.
    """
    event: dict[str, Any] = json.loads(line)
    facts = {key: value for key, value in event.items() if key != "event"}
    if event["event"] == "ended":
        return event
    if "trial" in facts:
        facts["trial"] = RemoteTrial(**facts["trial"])
    if isinstance(facts.get("epoch"), dict):
        facts["epoch"] = Epoch(**facts["epoch"])
    if "report" in facts:
        facts["report"] = Inspection.of(facts["report"])
    if "outcome" in facts:
        facts["outcome"] = Outcome(**facts["outcome"])
    getattr(listener, event["event"])(**facts)
    return event
