"""What a database raises, turned into one line for the user."""

import contextlib
from collections.abc import Iterator

import optuna
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from searchcnn.store.database import explain

DATABASE_ERRORS = (SQLAlchemyError, optuna.exceptions.StorageInternalError)
"""What a database that cannot be read or written raises."""


@contextlib.contextmanager
def guard_database(url: URL) -> Iterator[None]:
    """Turns what the database raises in the body into one line for the user.

    Raises:
        StoreError: If the database cannot be read or written any more.
    """
    try:
        yield
    except DATABASE_ERRORS as error:
        raise explain(error, url) from error
