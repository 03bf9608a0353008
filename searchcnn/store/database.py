"""Connections to a study's database, hardened where it is SQLite.

A plain SQLite connection begins every transaction as a reader and asks for the write lock in the middle of it; two
workers doing so run one waiting trial twice, or fail with "database is locked". Here every transaction takes the lock
when it begins, and waits for it.
"""

import functools
import sqlite3
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from searchcnn.errors import ConnectionLostError, StoreError
from searchcnn.store.connection import is_lost, read_message

BUSY_TIMEOUT = 60_000
"""Milliseconds that a SQLite transaction waits for another one's lock."""
REPLACE = "move it away and start again, or restore a copy of it"
"""What to do about a file that is damaged or not a database."""
REMEDIES = {
    "malformed": REPLACE,
    "not a database": REPLACE,
    "disk is full": "free some space, then run the same command: what was finished is safe",
    "disk I/O error": "free some space or fix the disk, then run the same command: what was finished is safe",
    "readonly": "make it and its folder writable, then run the same command: what was finished is safe",
    "unable to open": "make it and its folder readable and writable, then run the same command",
}
"""What to do about SQLite's errors, by a part of their message."""
SERVER_OPTIONS = {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 2}
"""SQLAlchemy's options for a database server: few connections, each tested before use."""
SERVER = "use a database server, as in --storage postgresql://user@host/name"
"""What to do where SQLite is not enough."""
NETWORK_FILE_SYSTEMS = (
    *("afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs"),
    *("lustre", "nfs", "nfs4", "smb3", "smbfs", "sshfs"),
)
"""Types of file systems, as the operating system names them, on which several hosts may see a file."""
SILENCE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "tcp_user_timeout": 30_000}
"""libpq's options by which a server that went silent is noticed: seconds, the last one milliseconds."""


def parse_url(text: str) -> URL:
    """Reads a database URL.

    Raises:
        StoreError: If it is not one.
    """
    expected = "expected sqlite:///path/to/file.db or postgresql://user@host/name"
    try:
        url = make_url(text)
    except ArgumentError:
        raise StoreError(f"'{text}' is not a database URL; {expected}") from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise StoreError(f"{url.render_as_string()}: studies are not kept in {kind}; {expected}")
    return url


def find_sqlite_file(url: URL) -> Path | None:
    """Returns the file of a SQLite URL; None for a server or a database in memory."""
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if is_file else None


def connect(url: URL) -> Engine:
    """Opens a database for reading; a SQLite file must be there and be one.

    Raises:
        StoreError: If it cannot be opened.
    """
    file = find_sqlite_file(url)
    if file is not None:
        check_sqlite_file(file)
    try:
        return create_engine(url, **choose_engine_options(url))
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"no driver for {url.drivername} is installed ({error}); install one: pip install 'searchcnn[postgres]'"
        ) from None


def choose_engine_options(url: URL) -> dict[str, Any]:
    """Returns SQLAlchemy's options for a database."""
    if url.get_backend_name() == "sqlite":
        return {}
    return SERVER_OPTIONS | ({"connect_args": SILENCE} if "psycopg" in url.drivername else {})


def harden(engine: Engine) -> None:
    """Makes an engine safe for several workers; does nothing where the database is not SQLite."""
    if engine.dialect.name != "sqlite":
        return
    check = functools.partial(_check_identity, engine.url, _identify(engine.url))
    event.listen(engine, "do_connect", lambda *_: check())
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", lambda _: check())
    event.listen(engine, "begin", _begin_immediate)
    engine.dispose()


def check_sqlite_file(file: Path) -> None:
    """Checks that a file is a SQLite database in good order, without changing it.

    Raises:
        StoreError: If it is missing, unreadable, damaged or something else.
    """
    if not file.exists():
        raise StoreError(f"{file}: no such database; `searchcnn studies` lists the studies that have one")
    if not file.is_file():
        raise StoreError(f"{file}: is a folder, not a database; {REPLACE}")
    try:
        with sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise explain(error, URL.create("sqlite", database=str(file))) from None
    finally:
        if "connection" in locals():
            connection.close()


def check_file_system(file: Path) -> None:
    """Checks that a SQLite database may be written where it is.

    The journal that it keeps, a write-ahead log, needs memory that all its processes share (https://sqlite.org/wal.html).

    Raises:
        StoreError: If the file is on a network file system.
    """
    kind = find_file_system(file).removeprefix("fuse.")
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{file}: is on a network file system ({kind}), where SQLite loses data; give a file on a local disk, "
            f"as in --storage sqlite:////var/tmp/{file.name}, or {SERVER}"
        )


def find_file_system(file: Path) -> str:
    """Returns the type of the file system that a file is on, such as ``"ext4"``; empty where it is not known."""
    path = file.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if path.is_relative_to(mount.mountpoint)]
    innermost = max(mounts, key=lambda mount: len(mount.mountpoint), default=None)
    return innermost.fstype if innermost else ""


def explain(error: BaseException, url: URL) -> StoreError:
    """Returns the one-line form of what a database, or Optuna's storage on it, raised."""
    line, database = read_message(error), find_sqlite_file(url) or url.render_as_string()
    if is_lost(error):
        return ConnectionLostError(
            f"{database}: {line}; is the server running, and the URL right? What was finished is safe"
        )
    remedy = next((remedy for part, remedy in REMEDIES.items() if part in line), "what was finished is safe")
    return StoreError(f"{database}: {line}; {remedy}")


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, see _begin_immediate
    for pragma in (f"busy_timeout={BUSY_TIMEOUT}", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _identify(url: URL) -> tuple[int, int] | None:
    """Returns what tells a SQLite file from others that have its name later; None if it is gone or in memory."""
    file = find_sqlite_file(url)
    try:
        status = file.stat() if file else None
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status else None


def _check_identity(url: URL, identity: tuple[int, int] | None) -> None:
    if _identify(url) != identity:  # SQLite would go on writing to a file without a name, or make a new one
        raise StoreError(
            f"{find_sqlite_file(url)}: was deleted, moved or replaced meanwhile; put it back, then run the same command"
        )


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
