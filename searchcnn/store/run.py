"""One process at work on a study: its row in the database, and the thread that says it is alive."""

import os
import socket
import threading
from datetime import timedelta
from typing import Self

from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from searchcnn.errors import StoreError
from searchcnn.store.connection import repeat_while_lost
from searchcnn.store.database import SERVER
from searchcnn.store.storage import Storage
from searchcnn.store.tables import RunRow, read_clock

DATABASE_NOW = func.timezone("utc", func.clock_timestamp())
"""The time that PostgreSQL has, as `searchcnn.store.tables.read_clock` gives it."""
MAX_SKEW = 20.0
"""Seconds by which a host's clock may differ from the database's: a third of what makes a silent run a dead one."""
INTERVAL = 5.0
"""Seconds between two beats; a killed process loses at most so much of its time from the account."""


class Run:
    """Registers this process with a study while the body of a ``with`` runs.

    Args:
        storage: The opened database.
        study_id: The study.
        elapsed: Seconds for which the process has worked on it already.
    """

    def __init__(self, storage: Storage, study_id: int, elapsed: float = 0.0) -> None:
        self._storage = storage
        self._elapsed = timedelta(seconds=elapsed)
        self.connection = storage.connection
        self._study_id = study_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="searchcnn-beat", daemon=True)

    def __enter__(self) -> Self:
        with Session(self._storage.engine) as session, session.begin():
            if session.get_bind().dialect.name == "sqlite":
                check_host(session)
            else:
                check_clock(session)
            start = read_clock() - self._elapsed
            row = RunRow(study_id=self._study_id, host=socket.gethostname(), pid=os.getpid(), started_at=start)
            session.add(row)
            session.flush()
            self._storage.leases.run_id = row.run_id
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.end()
        self._storage.leases.run_id = None

    @repeat_while_lost
    def end(self) -> None:
        """Writes that this process has ended in order."""
        self.beat(ended=True)

    def beat(self, ended: bool = False) -> None:
        """Writes that this process is alive."""
        with Session(self._storage.engine) as session, session.begin():
            row = update(RunRow).where(RunRow.run_id == self._storage.leases.run_id)
            session.execute(row.values(beat_at=read_clock(), ended=ended))

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self.beat()
            except (SQLAlchemyError, StoreError) as error:
                # the next beat tries again; a trial is taken over only after many missed ones
                self.connection.note_loss(error)


def check_host(session: Session) -> None:
    """Checks that no other host works on a SQLite file.

    Raises:
        StoreError: If one does.
    """
    for run in session.scalars(select(RunRow)):
        if run.host != socket.gethostname() and run.is_alive:
            raise StoreError(
                f"process {run.pid} on {run.host} works on this SQLite file, which is for one host at a time; "
                f"{SERVER}; or wait a minute if it was killed"
            )


def check_clock(session: Session) -> None:
    """Checks that this host's clock agrees with the database server's.

    Raises:
        StoreError: If it does not.
    """
    there = session.scalar(select(DATABASE_NOW)) or read_clock()
    ahead = (read_clock() - there).total_seconds()
    if abs(ahead) > MAX_SKEW:
        raise StoreError(
            f"the clock of {socket.gethostname()} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the "
            "database's, so that running trials would be taken for abandoned ones; set it, with NTP for instance"
        )
