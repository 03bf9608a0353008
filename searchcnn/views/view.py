"""What `searchcnn optimize` shows: plain lines where output is piped; see `searchcnn.views.live` for terminals."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from searchcnn.data import ImagesInspected
from searchcnn.events import (
    EpochFinished,
    EpochProgressed,
    EpochsRecalled,
    Event,
    NetworkBuilt,
    Note,
    Planned,
    Progress,
    StudyOpened,
    TrialDescribed,
    TrialFinished,
    TrialGivenUp,
    TrialStarted,
    Trouble,
)
from searchcnn.text import format_amount, format_duration, format_gain, format_score

if TYPE_CHECKING:
    from searchcnn.data import Inspection
    from searchcnn.events import Epoch
    from searchcnn.job import Job
    from searchcnn.study import StudyConfig


TELLING = 3.0
"""Seconds after which it is said how long features will still take."""


class Remaining:
    """How long something will still take, by what was done since it was first asked.

    Args:
        done: The part that was done then, 0..1.
    """

    def __init__(self, done: float) -> None:
        self._done = done
        self._began = time.monotonic()
        self.is_told = False

    @property
    def elapsed(self) -> float:
        """Seconds since it was first asked."""
        return time.monotonic() - self._began

    def estimate_seconds(self, done: float) -> float:
        """Returns the seconds that are left, given the part that is done; infinity before anything is."""
        return self.elapsed * (1 - done) / (done - self._done) if done > self._done else math.inf


@dataclass
class ShownTrial:
    """What a view has heard of a trial at work.

    Attributes:
        origin: Where its hyperparameters come from, if they are given.
        facts: What else is known of it.
        features: How long its features will still take, while they are computed.
    """

    origin: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    features: Remaining | None = None


class View:
    """Shows a search while the body of a ``with`` runs, and sums it up afterwards."""

    is_told = False
    """Whether the user has been told what was found in the images; all workers read them, once is enough."""

    def __init__(self, study: Job) -> None:
        self.study = study

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def hear(self, event: Event) -> None:
        """Shows what happens."""
        if isinstance(event, ImagesInspected) and not self.is_told:
            self.is_told = True
            self.show_inspection(event.inspection)

    def show_inspection(self, inspection: Inspection) -> None:
        """Shows how large the dataset is and what is wrong with it."""

    def stopping(self) -> None:
        """Says that the search is about to stop."""
        click.echo("Stopping. Press Ctrl-C again to stop now.", err=True)

    def summarize(self, arguments: Sequence[str] | None, stopped: bool) -> None:
        """Says what the search has found, and how to go on."""


def count_epochs(facts: Mapping[str, Any], config: StudyConfig) -> int:
    """Returns the epoch at which a trial's training ends, given what is known of it."""
    stretches: Sequence[int] = facts.get("stretches", ())
    return sum(stretches) or config.training.max_epochs


class QuietView(View):
    """Shows nothing."""

    def stopping(self) -> None:
        """Shows nothing."""


class PlainView(View):
    """Shows one line for each thing that happens."""

    def __init__(self, study: Job) -> None:
        super().__init__(study)
        self._began = time.monotonic() - study.elapsed
        self._trials: dict[int, ShownTrial] = {}
        self._epochs: dict[int, int] = {}
        self._is_opened = self._is_explained = False
        self._is_last: bool | None = None
        self._progress = ""

    def hear(self, event: Event) -> None:
        """Shows what happens."""
        super().hear(event)
        match event:
            case Progress(text) if text != self._progress:
                self._progress = text
                self._say(text)
            case Note(text) | Trouble(text):
                self._say(text)
            case StudyOpened(seconds):
                self._say_time(seconds)
            case Planned():
                self._say_plan(event)
            case TrialStarted(number, origin):
                self._trials[number] = ShownTrial(origin)
            case NetworkBuilt(number, facts):
                self._get_trial(number).facts.update(facts)
                self._say_network(number, facts)
            case TrialDescribed(number, facts):
                self._get_trial(number).facts.update(facts)
            case EpochProgressed(number, 0, fraction) if fraction < 1.0:
                self._say_features(number, fraction)
            case EpochFinished(number, epoch):
                self._say_epoch(number, epoch)
            case EpochsRecalled(number, epochs, best):
                self._say_recalled(number, epochs[-1].number, best)
            case TrialFinished():
                self._say_end(event)
            case TrialGivenUp(number, reason, detail):
                self._say(f"trial {number}: FAIL  {reason}: {detail}")

    def show_inspection(self, inspection: Inspection) -> None:
        """Shows how large the dataset is and what is wrong with it."""
        from searchcnn.views.dataset import format_inspection
        from searchcnn.views.tables import print_lines

        print_lines(format_inspection(inspection, "warning"))

    def summarize(self, arguments: Sequence[str] | None, stopped: bool) -> None:
        """Shows the best trial and the next commands."""
        from searchcnn.views.summary import summarize_study
        from searchcnn.views.tables import print_lines

        print_lines(summarize_study(self.study, arguments, stopped))

    def _get_trial(self, number: int) -> ShownTrial:
        return self._trials.setdefault(number, ShownTrial())

    def _say_time(self, seconds: float) -> None:
        """Says how much time an earlier run has spent, and how much is left, when the first worker is ready."""
        timeout, earlier = self.study.config.budget.timeout, seconds - (time.monotonic() - self._began)
        if earlier >= 1 and not self._is_opened:
            left = "" if timeout is None else f", {format_duration(max(0.0, timeout - seconds))} left"
            self._say(f"this study goes on: {format_duration(earlier)} spent before{left}")
        self._is_opened = True

    def _say_plan(self, plan: Planned) -> None:
        """Says what the plan is, when it begins and when the last share of the time does."""
        from searchcnn.views.plan import format_plan

        if plan.is_last is not self._is_last:
            self._is_last = plan.is_last
            self._say(format_plan(plan))

    def _say_network(self, number: int, facts: Mapping[str, Any]) -> None:
        origin = f", {self._get_trial(number).origin}" if self._get_trial(number).origin else ""
        size = f"{format_amount(facts['params'])} parameters, {format_amount(facts['macs'])} MACs"
        meaning = "" if self._is_explained else " (multiply-accumulates of an image)"
        self._is_explained = True
        goes_on = ", goes on" if number in self._epochs else ""
        self._say(f"trial {number}: {facts['space']}{origin}, {size}{meaning}{goes_on}")

    def _say_features(self, number: int, fraction: float) -> None:
        """Says that features are computed before the first epoch, and after a while how long it will take."""
        trial = self._get_trial(number)
        if trial.features is None:
            trial.features = Remaining(fraction)
            self._say(f"trial {number}: computing the features of what is not trained")
        if not trial.features.is_told and trial.features.elapsed > TELLING:
            trial.features.is_told = True
            left = format_duration(trial.features.estimate_seconds(fraction))
            self._say(f"trial {number}: features {fraction:.0%}, {left} left")

    def _say_epoch(self, number: int, epoch: Epoch) -> None:
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in epoch.metrics.items())
        self._get_trial(number).features = None
        self._epochs[number] = epoch.number
        position = f"epoch {epoch.number}/{count_epochs(self._get_trial(number).facts, self.study.config)}"
        label = "softmax on features, solved" if epoch.is_solved else position
        self._say(f"trial {number}: {label}  {metrics}  {format_duration(epoch.seconds)}")

    def _say_recalled(self, number: int, epoch: int, best: float) -> None:
        """Says from which epoch a trial goes on, unless this search has trained it until then."""
        if number not in self._epochs:
            self._say(f"trial {number}: goes on after epoch {epoch}, {format_score(best)}")
        self._epochs[number] = epoch

    def _say_end(self, event: TrialFinished) -> None:
        outcome, facts = event.outcome, self._get_trial(event.number).facts
        del self._trials[event.number]
        value = outcome.value if outcome.value is not None else event.best
        parts = [
            format_score(value),
            outcome.reason,
            str(outcome.facts.get("detail", "")),
            format_gain(value, facts),
            "cut by the timeout" if outcome.value is not None and facts.get("stopped") == "timeout" else "",
            "best so far" if event.is_best else "",
        ]
        self._say(f"trial {event.number}: {outcome.state}  " + "  ".join(part for part in parts if part))

    def _say(self, text: str) -> None:
        click.echo(f"[{format_duration(time.monotonic() - self._began):>6}] {text}")
