"""What `searchcnn optimize` shows: plain lines where output is piped; see `searchcnn.views.live` for terminals."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from searchcnn.search.listener import Listener
from searchcnn.text import format_amount, format_duration, format_gain, objective

if TYPE_CHECKING:
    from searchcnn.data import Report
    from searchcnn.run import Study
    from searchcnn.search import Outcome, TrialProgress
    from searchcnn.store import Epoch


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

    def seconds(self, done: float) -> float:
        """Returns the seconds that are left, given the part that is done; infinity before anything is."""
        return self.elapsed * (1 - done) / (done - self._done) if done > self._done else math.inf


class View(Listener):
    """Shows a search while the body of a ``with`` runs, and sums it up afterwards."""

    is_told = False
    """Whether the user has been told what was found in the images; all workers read them, once is enough."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def trial_given_up(self, number: int, reason: str, detail: str) -> None:
        """Shows why nobody works on a trial any more."""
        self.trouble(f"trial {number}: FAIL  {reason}: {detail}")

    def dataset_read(self, report: Report) -> None:
        """Shows a report, the first time."""
        if not self.is_told:
            self.is_told = True
            self.show_report(report)

    def show_report(self, report: Report) -> None:
        """Shows how large the dataset is and what is wrong with it."""

    def stopping(self) -> None:
        """The user has asked to stop."""
        click.echo("Stopping; once more stops at once.", err=True)

    def summarize(self, arguments: Sequence[str], stopped: bool) -> None:
        """Says what the search has found, and how to go on."""


class QuietView(View):
    """Shows nothing."""

    def stopping(self) -> None:
        """Shows nothing."""


class PlainView(View):
    """Shows one line for each thing that happens."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._began = time.monotonic()
        self._features: dict[int, Remaining] = {}
        self._phase = ""

    def phase(self, text: str, done: float | None = None) -> None:
        """Shows what is begun."""
        if text != self._phase:
            self._phase = text
            self._say(text)

    def show_report(self, report: Report) -> None:
        """Shows how large the dataset is and what is wrong with it."""
        from searchcnn.views.dataset import format_report
        from searchcnn.views.tables import print_lines

        print_lines(format_report(report, "warning"))

    def trial_described(self, trial: TrialProgress) -> None:
        """Shows the network that is trained."""
        if trial.best is not None:
            return
        origin = f", {trial.origin}" if trial.origin else ""
        size = f"{format_amount(trial.facts['params'])} parameters, {format_amount(trial.facts['macs'])} MACs"
        self._say(f"trial {trial.number}: {trial.facts['space']}{origin}, {size}")

    def epoch_progressed(self, trial: TrialProgress, epoch: int, fraction: float) -> None:
        """Shows that features are computed before the first epoch, and after a while how long it will take."""
        if epoch > 0 or fraction == 1.0:
            return
        if trial.number not in self._features:
            self._features[trial.number] = Remaining(fraction)
            self._say(f"trial {trial.number}: computing the features of what is not trained")
        remaining = self._features[trial.number]
        if not remaining.is_told and remaining.elapsed > TELLING:
            remaining.is_told = True
            self._say(
                f"trial {trial.number}: features {fraction:.0%}, {format_duration(remaining.seconds(fraction))} left"
            )

    def epoch_finished(self, trial: TrialProgress, epoch: Epoch) -> None:
        """Shows an epoch's metrics."""
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in epoch.metrics.items())
        self._features.pop(trial.number, None)
        what = f"epoch {epoch.number}/{self.study.config.training.epochs}"
        shown = "softmax on features, solved" if epoch.is_solved else what
        self._say(f"trial {trial.number}: {shown}  {metrics}  {format_duration(epoch.seconds)}")

    def trial_finished(self, trial: TrialProgress, outcome: Outcome, is_best: bool) -> None:
        """Shows how a trial ended."""
        value = outcome.value if outcome.value is not None else trial.best
        parts = [
            objective(value),
            outcome.reason,
            str(outcome.facts.get("detail", "")),
            format_gain(value, trial.facts),
            "cut by the timeout" if outcome.value is not None and trial.facts.get("stopped") == "timeout" else "",
            "best so far" if is_best else "",
        ]
        self._say(f"trial {trial.number}: {outcome.state}  " + "  ".join(part for part in parts if part))

    def summarize(self, arguments: Sequence[str], stopped: bool) -> None:
        """Shows the best trial and the next commands."""
        from searchcnn.views.summary import summarize_study
        from searchcnn.views.tables import print_lines

        print_lines(summarize_study(self.study, arguments, stopped))

    def noted(self, text: str) -> None:
        """Shows what was found."""
        self._say(text)

    def trouble(self, text: str) -> None:
        """Shows what went wrong."""
        self._say(text)

    def _say(self, text: str) -> None:
        click.echo(f"[{format_duration(time.monotonic() - self._began):>6}] {text}")
