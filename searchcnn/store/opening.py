"""Opens a database, and makes it and its tables where they are missing."""

import contextlib

import tenacity
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from searchcnn.errors import StoreError
from searchcnn.events import Hear, ignore
from searchcnn.store.database import check_file_system, connect, explain, find_sqlite_file, harden
from searchcnn.store.failures import DATABASE_ERRORS
from searchcnn.store.migrations import migrate
from searchcnn.store.optuna_private import models
from searchcnn.store.storage import Storage

BIRTH_SECONDS = 30
"""Seconds for which a process waits while others make the same database."""
LOCK = int.from_bytes(b"searchcn")
"""Number of the lock that a process holds while it makes tables in PostgreSQL."""


def open_storage(url: URL, hear: Hear = ignore) -> Storage:
    """Opens a database, and makes it and its tables where they are missing.

    Args:
        url: The database.
        hear: Hears what happens to it.

    Raises:
        StoreError: If it is damaged, foreign, of another layout, or cannot be reached or written.
    """
    file = find_sqlite_file(url)
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            check_file_system(file)
            if not file.exists():
                file.touch()
        return _prepare(url, hear)
    except DATABASE_ERRORS as error:
        raise explain(error, url) from None
    except RuntimeError as error:  # Optuna's check of its own tables' layout
        raise StoreError(f"{url.render_as_string()}: {error}") from None
    except OSError as error:
        raise StoreError(f"{file}: cannot be written: {error.strerror}") from None


def _is_being_made(error: BaseException) -> bool:
    """Whether another process turns on the write-ahead log of a new file: SQLite does not wait for that."""
    return isinstance(error, DatabaseError) and "locked" in str(error)


@tenacity.retry(
    retry=tenacity.retry_if_exception(_is_being_made),
    wait=tenacity.wait_random(0.05, 0.2),
    stop=tenacity.stop_after_delay(BIRTH_SECONDS),
    reraise=True,
)
def _prepare(url: URL, hear: Hear) -> Storage:
    """Opens a database and makes what is missing in it; processes that come at the same time take turns."""
    engine = connect(url)
    try:
        with engine.connect() as connection:
            _check_layout(connection)
        harden(engine)
        with engine.connect() as turn:
            if engine.dialect.name == "postgresql":
                turn.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            with engine.begin() as connection:
                models.BaseModel.metadata.create_all(connection)
                migrate(connection)
            return _open(url, hear)
    finally:
        engine.dispose()


def _open(url: URL, hear: Hear) -> Storage:
    # Optuna stamps a new SQLite file in a transaction of its own; if another process was faster, the next try sees it
    for _ in range(2):
        with contextlib.suppress(DatabaseError):
            return Storage(url, hear)
    return Storage(url, hear)


def _check_layout(connection: Connection) -> None:
    """Refuses a database that belongs to another program; a server's may hold other tables, of other names."""
    tables = set(inspect(connection).get_table_names())
    if models.VersionInfoModel.__tablename__ in tables:
        return
    foreign = tables if connection.dialect.name == "sqlite" else tables & set(models.BaseModel.metadata.tables)
    if foreign:
        raise StoreError(
            f"{connection.engine.url.render_as_string()}: holds tables of another program ('{min(foreign)}'); "
            "give a new file or database with --storage"
        )
