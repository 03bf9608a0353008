"""Runs the checks."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from searchcnn.errors import get_first_line
from searchcnn.study import LimitsConfig
from searchcnn.testing.checks import CHECKS
from searchcnn.testing.result import CheckFailedError, CheckSkippedError, Result, Status
from searchcnn.testing.subject import LIMITS, Image, Subject


def check_space(
    space: Any,
    samples: int = 200,
    options: Mapping[str, Any] | None = None,
    *,
    workspace: Path | None = None,
    folders: Sequence[Path] = (),
    image: Image | None = None,
    classes: int = 10,
    limits: LimitsConfig = LIMITS,
) -> list[Result]:
    """Checks that a search space does what every search space has to do.

    Nothing is downloaded: pretrained weights are not loaded.

    Args:
        space: A plugin's name, ``path/to/file.py:name`` or ``package.module:name``; a class, an instance or a function
            ``build(hp)``.
        samples: Number of random points.
        options: Arguments of its constructor.
        workspace: Folder with the ``plugins/`` in which a name is looked for; the current one by default.
        folders: More folders of plugins, searched first.
        image: Shape of the images: (height, width, channels) in pixels; 32x32 by default, or the space's smallest.
        classes: Number of classes.
        limits: Limits for the default network and one in ten random ones.

    Returns:
        One result for each check.

    Raises:
        PluginError: If the space cannot be found or loaded.
    """
    subject = Subject(
        space, samples, options, workspace=workspace, folders=folders, image=image, classes=classes, limits=limits
    )
    return list(run_checks(subject))


def run_checks(
    subject: Subject, surround: Callable[[str], AbstractContextManager[Any]] = nullcontext
) -> Iterator[Result]:
    """Runs all checks, and yields the result of each one as soon as it is there.

    Args:
        subject: The search space.
        surround: Given the name of a check, returns a context manager in which it runs.
    """
    for name in CHECKS:
        with surround(name):
            result = run_check(name, subject)
        yield result


def run_check(name: str, subject: Subject) -> Result:
    """Runs one check; any error in it is a failure.

    Args:
        name: One of `searchcnn.testing.checks.CHECKS`.
        subject: The search space.
    """
    start = time.perf_counter()
    status, message = _run(name, subject)
    return Result(name, status, message, time.perf_counter() - start)


def _run(name: str, subject: Subject) -> tuple[Status, str]:
    try:
        return "passed", CHECKS[name](subject)
    except CheckSkippedError as skipped:
        return "skipped", str(skipped)
    except CheckFailedError as failed:
        return "failed", str(failed)
    except (Exception, SystemExit) as error:
        return "failed", subject.explain(error) or get_first_line(error)
