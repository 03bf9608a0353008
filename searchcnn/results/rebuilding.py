"""Builds the network of a trial anew."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from searchcnn.errors import UsageError
from searchcnn.search.hyperparameters import CheckedHyperParameters
from searchcnn.sources import load_dataset
from searchcnn.spaces import load_spaces
from searchcnn.spaces.creation import create_spaces
from searchcnn.store import StudySummary, TrialSummary
from searchcnn.study import Workspace
from searchcnn.training import Trainer


def rebuild(summary: StudySummary, trial: TrialSummary, workspace: Workspace, plugins: Sequence[Path] = ()) -> Any:
    """Returns the network of a trial, untrained: from pixels 0..255 to class probabilities.

    Args:
        summary: The study.
        trial: One of its trials.
        workspace: Where its images and search spaces are.
        plugins: Further folders of search spaces.

    Raises:
        UsageError: If the trial's hyperparameters are not known.
        SearchcnnError: If its images or its search space are not there any more, or it has no network.
    """
    if not trial.space:
        raise UsageError(f"trial {trial.number} has not been begun: what its network is like is not known yet")
    config = summary.config
    dataset = load_dataset(workspace.locate(config.data), config.seed)
    spaces = create_spaces(load_spaces(config.spaces, workspace, plugins), config, dataset)
    trainer = Trainer(config, dataset, spaces, rules=summary.rules)
    return trainer.make_classifier(trainer.sample(CheckedHyperParameters(dict(trial.hyperparameters))))
