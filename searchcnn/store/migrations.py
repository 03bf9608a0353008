"""Small numbered steps that bring our tables to the layout of this version.

A new step is appended to `STEPS`; steps that have been released are never changed.
"""

from collections.abc import Callable

from sqlalchemy import Connection, inspect, select, text

from searchcnn.errors import StoreError
from searchcnn.store.tables import SchemaRow, Table


def _create_tables(connection: Connection) -> None:
    Table.metadata.create_all(connection)


def _add_epochs_of_leases(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE searchcnn_leases ADD COLUMN epochs INTEGER NOT NULL DEFAULT -1"))


STEPS: tuple[Callable[[Connection], None], ...] = (_create_tables, _add_epochs_of_leases)


def read_schema_version(connection: Connection) -> int:
    """Returns the number of steps applied to a database; 0 where our tables are not there yet."""
    if not inspect(connection).has_table(SchemaRow.__tablename__):
        return 0
    return connection.scalar(select(SchemaRow.version)) or 0


def check_schema(connection: Connection) -> None:
    """Refuses a database that a newer searchcnn has written.

    Raises:
        StoreError: If its layout is unknown here.
    """
    version = read_schema_version(connection)
    if version > len(STEPS):
        raise StoreError(
            f"the database has layout {version}, written by a newer searchcnn; this one knows up to {len(STEPS)}: "
            "pip install --upgrade searchcnn"
        )


def migrate(connection: Connection) -> None:
    """Applies the steps that are missing; call it in a writing transaction.

    Raises:
        StoreError: If the database is of a newer layout.
    """
    check_schema(connection)
    version = read_schema_version(connection)
    if version == len(STEPS):
        return
    for step in STEPS[version:] if version else STEPS[:1]:  # a new database has the newest layout at once
        step(connection)
    table = SchemaRow.__table__
    connection.execute(table.delete())  # type: ignore[attr-defined]
    connection.execute(table.insert().values(version=len(STEPS)))  # type: ignore[attr-defined]
