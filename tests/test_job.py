"""What a worker is told."""

from collections.abc import Callable
from pathlib import Path

from searchcnn.job import Job
from searchcnn.study import StudyConfig, Workspace


def test_a_job_tells_what_was_set(tmp_path: Path, study_config: Callable[..., StudyConfig]) -> None:
    """What was not set may be as the study was begun, which the worker finds out."""
    job = Job("x", study_config(training={"flip": [True, False]}), Workspace(tmp_path), plugins=[tmp_path])
    line = job.to_json()
    again = Job.from_json(line)
    assert "\n" not in line
    assert again == job
    assert again.config.model_dump(exclude_unset=True) == job.config.model_dump(exclude_unset=True)
    assert "momentum" not in again.config.training.model_fields_set
