"""How the progress of a search is shown, by where it is seen: in a notebook, a terminal, or a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from searchcnn.views.dataset import Reading
from searchcnn.views.view import PlainView, QuietView, View

if TYPE_CHECKING:
    from searchcnn.job import Job


def show_reading(show: bool) -> Reading:
    """Returns what shows how far images are read, before a search.

    Args:
        show: Whether to show anything.
    """
    from searchcnn.views.notebook import NotebookReading, is_notebook

    return NotebookReading() if show and is_notebook() else Reading(quiet=not show)


def choose_view(job: Job, show: bool) -> View:
    """Returns what shows a search.

    Args:
        job: What is searched.
        show: Whether to show more than errors.
    """
    from searchcnn.views.live import LiveView
    from searchcnn.views.notebook import NotebookView, is_notebook

    if not show:
        return QuietView(job)
    if is_notebook():
        return NotebookView(job)
    return LiveView(job) if sys.stdout.isatty() else PlainView(job)
