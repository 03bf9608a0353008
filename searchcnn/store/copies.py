"""Copies and deletes whole studies."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from searchcnn.errors import StoreError
from searchcnn.store.database import check_sqlite_file, find_sqlite_file
from searchcnn.store.failures import guard_database
from searchcnn.store.opening import open_storage
from searchcnn.store.optuna_private import models
from searchcnn.store.tables import RunRow


def copy_study(source: Path, name: str, target: Path, new: str) -> None:
    """Copies a study's SQLite file under another name, even while a search is running.

    Args:
        source: The file.
        name: The study in it.
        target: The copy's file, which must not exist.
        new: The study's name in the copy.

    Raises:
        StoreError: If the file is damaged, or the copy cannot be written.
    """
    check_sqlite_file(source)
    if target.exists():
        raise StoreError(f"{target} exists already; choose another name, or delete that study first")
    url, study = URL.create("sqlite", database=str(target)), models.StudyModel
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as copy:
            old.backup(copy)  # a state between two transactions; a copy of the file might be in the middle of one
        with guard_database(url), closing(open_storage(url)) as storage, Session(storage.engine) as session:
            session.execute(update(study).where(study.study_name == name).values(study_name=new))
            session.execute(update(RunRow).values(ended=True))  # nobody works on the copy
            session.commit()
    except (sqlite3.Error, StoreError) as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"{target}: cannot be written: {error}") from None


def delete_study(url: URL, name: str) -> None:
    """Deletes a study from its database, and a SQLite file that holds no other.

    Raises:
        StoreError: If a process works on it, or the database cannot be written.
    """
    with guard_database(url), closing(open_storage(url)) as storage:
        study_id = storage.get_study_id_from_name(name)
        with Session(storage.engine) as session:
            for run in session.scalars(select(RunRow).where(RunRow.study_id == study_id)):
                if run.is_alive:
                    raise StoreError(f"process {run.pid} on {run.host} works on study '{name}'; stop it first")
        storage.delete_study(study_id)
        is_empty = not storage.get_all_studies()
    file = find_sqlite_file(url)
    if file is not None and is_empty:
        for part in ("", "-wal", "-shm"):
            file.with_name(file.name + part).unlink(missing_ok=True)
