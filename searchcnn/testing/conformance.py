"""Runs the checks."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from searchcnn.errors import first_line
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
    """Checks whether a search space does what every search space has to do.

    Nothing is downloaded: pretrained weights are not loaded.

    Args:
        space: A plugin's name, ``path/to/file.py:name`` or ``package.module:name``; a class, an instance or a function
            ``build(hp)``.
        samples: Number of random points.
        options: Arguments of its constructor.
        workspace: Folder in whose ``plugins/`` a name is looked for; the current one by default.
        folders: More folders of plugins, searched first.
        image: Shape of the images: (height, width, channels) in pixels; 32x32 by default, or the space's smallest.
        classes: Number of classes.
        limits: What the default network and one in ten random ones must keep.

    Returns:
        One result for each check.

    Raises:
        PluginError: If the space cannot be found or loaded.
    """
    settings = {"workspace": workspace, "folders": folders, "image": image, "classes": classes, "limits": limits}
    return list(run_checks(Subject(space, samples, options, **settings)))  # type: ignore[arg-type]


def run_checks(subject: Subject) -> Iterator[Result]:
    """Yields the result of each check as soon as it is there."""
    for name in CHECKS:
        yield run_check(name, subject)


def run_check(name: str, subject: Subject) -> Result:
    """Runs one check; whatever goes wrong in it is a failure.

    Args:
        name: One of `searchcnn.testing.checks.CHECKS`.
        subject: The search space.
    """
    began = time.perf_counter()
    status, message = _outcome(name, subject)
    return Result(name, status, message, time.perf_counter() - began)


def _outcome(name: str, subject: Subject) -> tuple[Status, str]:
    try:
        return "passed", CHECKS[name](subject)
    except CheckSkippedError as skipped:
        return "skipped", str(skipped)
    except CheckFailedError as failed:
        return "failed", str(failed)
    except (Exception, SystemExit) as error:
        return "failed", subject.explain(error) or first_line(error)
