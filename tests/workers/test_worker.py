"""What a worker is told."""

import json
from collections.abc import Callable
from pathlib import Path

from searchcnn.run import Study
from searchcnn.study import StudyConfig, Workspace
from searchcnn.workers import worker


def test_a_job_tells_what_was_set(tmp_path: Path, study_config: Callable[..., StudyConfig]) -> None:
    """What was not set may be as the study was begun, which the worker finds out."""
    study = Study("x", study_config(training={"flip": [True, False]}), Workspace(tmp_path), plugins=[tmp_path])
    again = worker.study(json.loads(json.dumps(worker.job(study))))
    assert again == study
    assert again.config.model_dump(exclude_unset=True) == study.config.model_dump(exclude_unset=True)
    assert "schedule" not in again.config.training.model_fields_set
