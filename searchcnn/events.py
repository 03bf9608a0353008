"""What happens in a search, as data: it is reported to a `Hear`; between processes it travels as a line of JSON.

A new event is a subclass of `Event` here, or in the room of what it carries; nothing else has to know of it.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import TypeAdapter

State = Literal["COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True)
class Epoch:
    """One point of a learning curve.

    Attributes:
        number: The epoch, from 1.
        metrics: Every metric that training and validation gave.
        learning_rate: The optimizer's learning rate at the end of the epoch, if it has one.
        seconds: Time the epoch took, validation included.
        is_solved: Whether a solver has trained the network, which pruners do not compare with epochs of steps.
    """

    number: int
    metrics: Mapping[str, float]
    learning_rate: float | None
    seconds: float
    is_solved: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: COMPLETE, PRUNED or FAIL.
        value: The score of a COMPLETE trial.
        reason: Why it was pruned or failed, short: ``"pruner"``, ``"max_params"``, ``"error"``.
        facts: Details kept with the trial.
        excess: Relative excess of an infeasible trial; 0 for feasible ones.
    """

    state: State
    value: float | None = None
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    excess: float = 0.0


@dataclass(frozen=True)
class Event:
    """Something that happens in a search. Events of a trial have its number, from 0, and only what is new about it."""

    kinds: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.kinds[cls.__name__] = cls


Hear: TypeAlias = Callable[[Event], None]
"""Hears what happens: ``match event: case EpochFinished(number, epoch): ...``."""


def ignore(event: Event) -> None:
    """Hears what happens, and does nothing."""


@dataclass(frozen=True)
class Progress(Event):
    """Something that takes a while begins or continues: loading, a dry run, saving.

    Attributes:
        text: What it is.
        done: The fraction that is done, 0..1, if that is known.
    """

    text: str
    done: float | None = None


@dataclass(frozen=True)
class Note(Event):
    """Something about the study or a trial was found that the user should know."""

    text: str


@dataclass(frozen=True)
class Trouble(Event):
    """Something went wrong that does not end the search."""

    text: str


@dataclass(frozen=True)
class StudyOpened(Event):
    """The study is in its database, ready for further processes to join.

    Attributes:
        seconds_spent: How long the study was worked on until now, in all runs, this command's start included.
    """

    seconds_spent: float = 0.0


@dataclass(frozen=True)
class Planned(Event):
    """The plan for the time has decided what is trained next.

    Attributes:
        networks: Networks that were tried.
        promoted: Networks that went on after their first stretch.
        is_last: Whether the last share of the time has begun, which belongs to the best.
        seconds: Seconds until then; None where trials are counted, and not the time.
        last_seconds: Seconds that this takes; None likewise.
    """

    networks: int
    promoted: int
    is_last: bool
    seconds: float | None = None
    last_seconds: float | None = None


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial starts, or starts again in another process.

    Attributes:
        number: The trial's number in its study.
        origin: Where its hyperparameters come from, if they are given.
    """

    number: int
    origin: str = ""


@dataclass(frozen=True)
class TrialDescribed(Event):
    """More is known about a trial.

    Attributes:
        number: The trial's number in its study.
        facts: What is new: how it scales pixels, why it stopped.
    """

    number: int
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class NetworkBuilt(TrialDescribed):
    """A trial's network is built, and will be trained unless it is too large.

    It is built again if it does not fit into memory and is trained in smaller batches. Its ``facts`` have at least
    ``space``, ``hyperparameters``, ``params`` and ``macs``.
    """


@dataclass(frozen=True)
class EpochProgressed(Event):
    """A part of an epoch is trained.

    Attributes:
        number: The trial's number in its study.
        epoch: The epoch, from 1; 0 while features are computed before the first one.
        fraction: The fraction that is done, 0..1.
    """

    number: int
    epoch: int
    fraction: float


@dataclass(frozen=True)
class EpochFinished(Event):
    """An epoch is trained, validated and stored.

    Attributes:
        number: The trial's number in its study.
        epoch: What was measured.
        best: The trial's best score so far.
    """

    number: int
    epoch: Epoch
    best: float


@dataclass(frozen=True)
class EpochsRecalled(Event):
    """A trial goes on: these epochs were trained and stored before.

    Attributes:
        number: The trial's number in its study.
        epochs: What was measured, from the first one on.
        best: The trial's best score so far.
    """

    number: int
    epochs: Sequence[Epoch]
    best: float


@dataclass(frozen=True)
class TrialFinished(Event):
    """A trial has ended and is stored.

    Attributes:
        number: The trial's number in its study.
        outcome: How it ended.
        best: Its best score; None if it has none.
        is_best: Whether it is the best trial of the study so far.
    """

    number: int
    outcome: Outcome
    best: float | None = None
    is_best: bool = False


@dataclass(frozen=True)
class TrialGivenUp(Event):
    """A trial that kills its processes, or hangs, is stored as FAIL; nobody works on it any more.

    Attributes:
        number: The trial's number in its study.
        reason: Why, in a word or two.
        detail: What it did.
    """

    number: int
    reason: str
    detail: str


@dataclass(frozen=True)
class WorkerEnded(Event):
    """The last event that a worker sends to its supervisor.

    Attributes:
        ending: Nothing was left to do, it wants to be replaced by a new one, it was told to stop, or an error.
        error: The class of the error, if there is one.
        message: What it says.
    """

    ending: Literal["finished", "recycled", "stopped", "failed"]
    error: str = ""
    message: str = ""


def encode(event: Event) -> str:
    """Returns an event as a line of JSON; what JSON cannot hold becomes text.

    >>> encode(Progress("reading digits"))
    '{"Progress": {"text": "reading digits", "done": null}}'
    """
    return json.dumps({type(event).__name__: dataclasses.asdict(event)}, default=str)


def decode(line: str) -> Event:
    """Returns the event that a line of JSON holds; its class has to be imported.

    >>> decode('{"Note": {"text": "images are grey"}}')
    Note(text='images are grey')
    """
    ((kind, facts),) = json.loads(line).items()
    return _make_adapter(Event.kinds[kind]).validate_python(facts)


@functools.cache
def _make_adapter(kind: Any) -> TypeAdapter[Event]:
    return TypeAdapter(kind)
