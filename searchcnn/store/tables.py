"""Our own tables, next to Optuna's.

Rows point to Optuna's studies and trials by number only, without foreign keys, so that Optuna's own tools can still
delete what they made.
"""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from sqlalchemy import JSON, DateTime, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

GRACE = timedelta(seconds=60)
"""A run without a beat for this long is taken for dead, wherever it runs."""


def read_clock() -> datetime:
    """Returns the time as the database keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def union_length(intervals: Sequence[tuple[float, float]]) -> float:
    """Returns the length of a union of intervals.

    >>> union_length([(0, 2), (1, 3), (10, 11)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class Table(DeclarativeBase):
    """Base of our tables."""

    type_annotation_map = {dict[str, Any]: JSON, datetime: DateTime}


class SchemaRow(Table):
    """The number of the last migration that was applied; one row."""

    __tablename__ = "searchcnn_schema"
    version: Mapped[int] = mapped_column(primary_key=True)


class StudyRow(Table):
    """What a study searches: its configuration, and the identity that a resumed search must share."""

    __tablename__ = "searchcnn_studies"
    study_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    config: Mapped[dict[str, Any]]
    identity: Mapped[dict[str, Any]]
    version: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=read_clock)


class EpochRow(Table):
    """One point of a trial's learning curve: every metric, the learning rate, the seconds it took."""

    __tablename__ = "searchcnn_epochs"
    trial_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    learning_rate: Mapped[float | None]
    seconds: Mapped[float]
    metrics: Mapped[dict[str, Any]]


class ModelRow(Table):
    """A saved model: whose network it is, and where its file is."""

    __tablename__ = "searchcnn_models"
    trial_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    study_id: Mapped[int] = mapped_column(index=True)
    path: Mapped[str] = mapped_column(Text)
    score: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=read_clock)


class RunRow(Table):
    """One process that works on a study, alive as long as its beat is recent; its seconds count for the timeout."""

    __tablename__ = "searchcnn_runs"
    run_id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(index=True)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(default=read_clock)
    beat_at: Mapped[datetime] = mapped_column(default=read_clock)
    ended: Mapped[bool] = mapped_column(default=False)

    @property
    def is_alive(self) -> bool:
        """Whether the process still works: not ended, a recent beat and, on this host, a process of that number."""
        if self.ended or read_clock() - self.beat_at > GRACE:
            return False
        return self.host != socket.gethostname() or _process_exists(self.pid)


class LeaseRow(Table):
    """Which run works on a running trial, and how many have died of it since it last got further.

    Attributes:
        trial_id: The trial.
        run_id: The run.
        deaths: Runs that have died of it.
        epochs: Epochs that it had when the last of them died; -1 before.
    """

    __tablename__ = "searchcnn_leases"
    trial_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[int]
    deaths: Mapped[int] = mapped_column(default=0)
    epochs: Mapped[int] = mapped_column(default=-1)


def _process_exists(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # dead, but nobody has asked how it ended
    except psutil.NoSuchProcess:
        return False
