"""Reads the learning curves of a study: fast, without Optuna and without Keras, also while a search writes."""

import math
from collections import defaultdict
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from searchcnn.events import Epoch
from searchcnn.store.summary import TRIALS, find_study, open_connection
from searchcnn.store.tables import EpochRow


def read_curves(url: URL, name: str, trial: int | None = None) -> dict[int, list[Epoch]]:
    """Reads the learning curves of a study's trials.

    Args:
        url: The database.
        name: The study.
        trial: The number of the only trial to read.

    Returns:
        The epochs of each trial that has some, from the first one on, by the trial's number.

    Raises:
        StoreError: If the database cannot be read, or holds no such study.
    """
    epochs: Table = EpochRow.__table__  # type: ignore[assignment]
    with open_connection(url) as connection:
        study = find_study(Session(connection), name)
        query = select(TRIALS.c.number, epochs).join(TRIALS, TRIALS.c.trial_id == epochs.c.trial_id)
        query = query.where(TRIALS.c.study_id == study.study_id).order_by(TRIALS.c.number, epochs.c.epoch)
        curves: dict[int, list[Epoch]] = defaultdict(list)
        for row in connection.execute(query if trial is None else query.where(TRIALS.c.number == trial)):
            curves[row.number].append(make_epoch(row))
    return dict(curves)


def make_epoch(row: Any) -> Epoch:
    """Returns a row of `EpochRow` as an epoch; JSON has no NaN."""
    metrics = {name: math.nan if value is None else value for name, value in row.metrics.items()}
    return Epoch(row.epoch, metrics, row.learning_rate, row.seconds)
