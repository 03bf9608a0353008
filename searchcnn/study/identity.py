"""What must stay the same in all runs of a study, for its scores to be comparable."""

import json
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from searchcnn.settings import Before
from searchcnn.study.config import StudyConfig, TrainingConfig


def identify(config: StudyConfig, fingerprint: str, new_parts: Collection[str]) -> dict[str, str]:
    """Returns what of a configuration must stay the same, by the name of its key; the budget may change.

    A key of `[training]` that was added later is left out where its value is the one that older studies have.

    Args:
        config: The configuration.
        fingerprint: Of the images.
        new_parts: Names of the parts of the images that were taken from others.
    """
    data, training = config.data, config.training.model_dump()
    before = list_values_before(TrainingConfig)
    return {
        "data": f"{data.name or 'images'} {fingerprint[:12]}",
        "data.validation": str(data.validation),
        **({"data.folds": str(data.folds)} if data.folds else {}),
        **({"data.group_near_copies": "True"} if data.group_near_copies and (new_parts or data.folds) else {}),
        **({"data.test": str(data.test)} if "test" in new_parts else {}),
        "seed": str(config.seed),
        "search.objective": config.objective.metric,
        "search.direction": config.objective.direction,
        **{f"options.{name}": json.dumps(options, sort_keys=True) for name, options in config.options.items()},
        **{
            f"training.{key}": str(value)
            for key, value in training.items()
            if key not in before or value != before[key]
        },
    }


def list_values_before(section: type[BaseModel]) -> dict[str, Any]:
    """Returns the values that keys of a section which were added later have in a study that was begun without them."""
    marks = ((key, mark) for key, field in section.model_fields.items() for mark in field.metadata)
    return {key: mark.value for key, mark in marks if isinstance(mark, Before)}
