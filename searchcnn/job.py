"""A job: what a search in any process has to know, as data that travels as JSON."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from searchcnn.events import Hear, Note
from searchcnn.store import parse_url, read_config
from searchcnn.study import StudyConfig, Workspace
from searchcnn.study.begun import as_begun, find_changes


@dataclass(frozen=True)
class Job:
    """What to search, and where to keep it.

    Attributes:
        name: The study's name in its database.
        config: What to search.
        workspace: The user's folder: models are written below it, plugins are found in it.
        storage: URL of the database; None for a file of its own in the workspace.
        plugins: Further folders of plugins.
        accept_changes: Continue a study although its search space, data or recipe is no longer what it was.
        began: When the command began, as `time.time` has it: the study's timeout counts from then on.
    """

    name: str
    config: StudyConfig
    workspace: Workspace
    storage: str | None = None
    plugins: Sequence[Path] = ()
    accept_changes: bool = False
    began: float = field(default_factory=time.time)

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return max(0.0, time.time() - self.began)

    @property
    def url(self) -> Any:
        """URL of the database, one of SQLAlchemy's."""
        return parse_url(self.storage or self.workspace.database_url(self.name))

    @property
    def model(self) -> Path:
        """Where the study's best model lies once there is one."""
        return self.workspace.best_model(self.name)

    def continue_begun(self, hear: Hear) -> Self:
        """Returns the job of a study that has results: keys that are not set are as it was begun, not today's defaults.

        Args:
            hear: Hears which keys that changes.

        Raises:
            StoreError: If the database cannot be read.
        """
        begun = read_config(self.url, self.name)
        if begun is None:
            return self
        config = as_begun(self.config, begun)
        if changes := find_changes(self.config, config):
            values = ", ".join(f"{key} = {value}" for key, value in changes.items())
            hear(Note(f"this study continues as it was started, where nothing else is set: {values}"))
        return replace(self, config=config)

    def to_json(self) -> str:
        """Returns the job as a line of JSON; keys of the configuration that are not set are not in it."""
        facts = {
            "name": self.name,
            "config": self.config.model_dump(mode="json", exclude_unset=True),
            "workspace": str(self.workspace.root),
            "storage": self.storage,
            "plugins": [str(folder) for folder in self.plugins],
            "accept_changes": self.accept_changes,
            "began": self.began,
        }
        return json.dumps(facts)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Returns the job that a line of JSON holds."""
        facts = json.loads(line)
        return cls(
            facts["name"],
            StudyConfig.model_validate(facts["config"]),
            Workspace(Path(facts["workspace"])),
            facts["storage"],
            [Path(folder) for folder in facts["plugins"]],
            facts["accept_changes"],
            facts["began"],
        )
