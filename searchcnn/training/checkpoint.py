"""Checkpoints: a trial's training as it stands after an epoch, from which any process can resume it."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from searchcnn.events import Epoch
from searchcnn.files import discard, replace_file
from searchcnn.study import TrainingConfig
from searchcnn.study.identity import list_values_before

Arrays = Sequence[npt.NDArray[Any]]
GROUPS = ("variables", "optimizer", "best")
"""The groups of arrays in a checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a training depends on, between two epochs.

    Attributes:
        phase: The phase of the training, from 0.
        begun: Epochs that had been trained when the phase began.
        is_over: Whether the phase has ended.
        epochs: The learning curve so far.
        counters: State of callbacks, such as the epochs that early stopping has waited, by class and attribute.
        variables: The network's weights and the states of its random layers.
        optimizer: The optimizer's state.
        best: The network's weights of the best epoch so far.
    """

    phase: int
    begun: int
    is_over: bool
    epochs: Sequence[Epoch]
    counters: Mapping[str, Mapping[str, Any]]
    variables: Arrays
    optimizer: Arrays
    best: Arrays

    def write(self, path: Path, key: Mapping[str, Any]) -> None:
        """Writes the checkpoint in one step: a reader sees the old one or the new one.

        Args:
            path: The file, a NumPy archive.
            key: What it belongs to, as JSON has it.

        Raises:
            OSError: If it cannot be written; the old one is still there.
        """
        facts = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in GROUPS
        }
        facts["epochs"] = [dataclasses.asdict(epoch) for epoch in self.epochs]
        arrays = {f"{group}/{index}": array for group in GROUPS for index, array in enumerate(getattr(self, group))}
        with replace_file(path) as new, new.open("wb") as file:
            np.savez(file, facts=np.array(json.dumps({"key": key, **facts})), **arrays)

    @classmethod
    def read(cls, path: Path, key: Mapping[str, Any]) -> Self | None:
        """Reads a checkpoint.

        Args:
            path: The file.
            key: What it has to belong to.

        Returns:
            None if there is none, or if it is damaged or belongs to something else: training begins again then.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                facts = json.loads(str(archive["facts"]))
                if not _is_key(facts.pop("key"), json.loads(json.dumps(key))):
                    return None
                facts["epochs"] = [Epoch(**epoch) for epoch in facts["epochs"]]
                arrays: dict[str, Any] = {group: list(_read_group(archive, group)) for group in GROUPS}
                return cls(**facts, **arrays)
        except Exception:  # decoders raise almost anything on a damaged file
            return None


class Checkpoints:
    """The checkpoints of a study's trials.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_path(self, trial: int) -> Path:
        """Returns the file of a trial's checkpoint, given its number."""
        return self._folder / f"trial-{trial:04}.npz"

    def drop(self, trials: Iterable[int]) -> None:
        """Deletes the checkpoints of trials that have ended, given their numbers; one that stays does no harm."""
        with contextlib.suppress(OSError):
            discard(self._folder, {self.get_path(number).name for number in trials})


def _is_key(earlier: dict[str, Any], key: Mapping[str, Any]) -> bool:
    """Whether a key is that one; what it lacks of the recipe was not known yet when it was written."""
    settings = key.get("training", {})
    before = {name: value for name, value in list_values_before(TrainingConfig).items() if name in settings}
    return {**earlier, "training": {**before, **earlier.get("training", {})}} == {**key, "training": settings}


def _read_group(archive: Any, group: str) -> Iterator[npt.NDArray[Any]]:
    count = sum(name.startswith(f"{group}/") for name in archive.files)
    return (archive[f"{group}/{index}"] for index in range(count))
