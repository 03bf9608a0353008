"""One process at work on a study: its row in the database, and the thread that says it is alive."""

import os
import socket
import threading
from typing import Self

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from searchcnn.store.storage import Storage
from searchcnn.store.tables import RunRow, now

INTERVAL = 5.0
"""Seconds between two beats; a killed process loses at most so much of its time from the account."""


class Run:
    """Registers this process with a study while the body of a ``with`` runs."""

    def __init__(self, storage: Storage, study_id: int) -> None:
        self._storage = storage
        self._study_id = study_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="searchcnn-beat", daemon=True)

    def __enter__(self) -> Self:
        with Session(self._storage.engine) as session, session.begin():
            row = RunRow(study_id=self._study_id, host=socket.gethostname(), pid=os.getpid())
            session.add(row)
            session.flush()
            self._storage.run_id = row.run_id
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.beat(ended=True)
        self._storage.run_id = None

    def beat(self, ended: bool = False) -> None:
        """Writes that this process is alive, or has ended in order."""
        with Session(self._storage.engine) as session, session.begin():
            row = update(RunRow).where(RunRow.run_id == self._storage.run_id)
            session.execute(row.values(beat_at=now(), ended=ended))

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self.beat()
            except SQLAlchemyError:
                continue  # the next beat tries again; a trial is taken over only after many missed ones
