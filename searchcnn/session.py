"""A search as its user sees it: it is shown, Ctrl-C ends it in good order, and a report says what it has found."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from searchcnn import streams
from searchcnn.errors import SearchcnnError, StudyFailedError, UsageError
from searchcnn.events import Event, Hear, TrialFinished, TrialGivenUp
from searchcnn.job import Job
from searchcnn.store import ENDED, read_summary
from searchcnn.text import format_duration

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from searchcnn.study import Workspace
    from searchcnn.views.view import View


@streams.adapted()
def search_job(
    make_job: Callable[[Hear], Job],
    *,
    show: bool = True,
    hear: Hear | None = None,
    arguments: Sequence[str] | None = None,
    **how: Any,
) -> bool:
    """Makes a job, searches it, and shows how it goes and how to go on.

    The first Ctrl-C ends the search in good order, a second one at once.

    Args:
        make_job: Makes the job; what it is given hears how far that is.
        show: Whether to show more than errors.
        hear: Hears all that happens, too.
        arguments: The command that asks for it, for the lines that say how to go on; None in a script or a notebook.
        how: Options of `searchcnn.workers.search`.

    Returns:
        Whether it was stopped.

    Raises:
        StudyFailedError: If it had to stop, or has ended without a model.
    """
    from searchcnn.views.progress import choose_view, show_reading
    from searchcnn.workers import search

    if hear is not None and not callable(hear):
        raise UsageError("hear must be a function that takes an event; see searchcnn.events")
    began, endings = time.time(), _Endings()
    with show_reading(show) as reading:
        job = replace(make_job(_tell(reading.hear, hear)), began=began)
    view = choose_view(job, show)
    view.is_told = reading.is_told
    with _stop_on_signals(view) as stop, view:
        has_searched = search(job, _tell(_tell(view.hear, endings.hear), hear), stop, **how)
    if has_searched and not stop.is_set():
        try_report(job.workspace, job.url, job.name)
    view.summarize(arguments, stop.is_set())
    if not stop.is_set():
        _check_outcome(job, endings.states)
    return stop.is_set()


class _Endings:
    """Counts in which states trials have ended.

    Attributes:
        states: How many, by state.
    """

    def __init__(self) -> None:
        self.states = Counter[str]()

    def hear(self, event: Event) -> None:
        match event:
            case TrialGivenUp():
                self.states["FAIL"] += 1
            case TrialFinished(_, outcome):  # one that was COMPLETE stays so where it fails when it is trained on
                self.states["FAIL" if outcome.facts.get(ENDED) else outcome.state] += 1


def try_report(workspace: Workspace, url: URL, name: str) -> None:
    """Writes the report of a study, or says why that fails: what was found is found nevertheless.

    Args:
        workspace: Where the study's files are.
        url: Its database.
        name: The study.
    """
    from searchcnn.report import read_contents, write_report

    try:
        write_report(read_contents(workspace, url, name), workspace.report(name))
    except SearchcnnError as error:
        click.echo(f"There is no report: {error}", err=True)


def _check_outcome(job: Job, states: Counter[str]) -> None:
    """Checks that a search whose budget is spent has found something.

    Args:
        job: What was searched.
        states: In which states trials of this run have ended, and how many.

    Raises:
        StudyFailedError: If no trial is complete, or all of this run have failed.
    """
    failed = states["FAIL"]
    if failed and failed == states.total():
        which = "the only trial" if failed == 1 else f"all {failed} trials"
        raise StudyFailedError(f"{which} of this run failed: `searchcnn status {job.name} --failures` shows why")
    summary, timeout = read_summary(job.url, job.name), job.config.budget.timeout
    if summary.best is not None or summary.running:
        return
    from searchcnn.search import MAX_RESERVE

    reason = f"`searchcnn status {job.name}` says why"
    if timeout is not None and summary.seconds >= (1 - MAX_RESERVE) * timeout:
        reason = f"the timeout is over before the first one is; give it {format_duration(2 * timeout)} or more"
    raise StudyFailedError(f"no trial is complete, so there is no model: {reason}")


def _tell(first: Hear, second: Hear | None) -> Hear:
    """Returns what tells two of everything."""

    def tell(event: Event) -> None:
        first(event)
        if second is not None:
            second(event)

    return tell


@contextlib.contextmanager
def _stop_on_signals(view: View) -> Iterator[threading.Event]:
    """Lets the first Ctrl-C or SIGTERM stop the search in good order, and a second one at once."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        view.stopping()

    is_main = threading.current_thread() is threading.main_thread()  # others get no signals
    signals = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
