"""Bring a database up to date: apply the files that are missing, in order, each in a transaction of its own.

A ledger, ``assign_core_migrations``, says what was applied, with a checksum of the text that was executed. The same
transaction that executes a file writes its line, so a file is there whole and noted, or not at all. An advisory lock,
held for that transaction, makes those who come at the same time wait, look again, and find nothing left to do; it
goes with the transaction, so no crash leaves it behind.

What can be known beforehand is refused beforehand, before anything is written: an applied file that was changed, no
bookings table, a table or column that exists already in another shape (``IF NOT EXISTS`` would step over it
silently).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from assign_core.errors import AssignError, InvalidValue
from assign_postgres.errors import sqlstate
from assign_postgres.migration_files import GROUPS, HOST, REFERENCE, MigrationFile, migration_files
from assign_postgres.names import Names, quoted
from assign_postgres.verify import in_the_way

__all__ = ["GROUPS", "HOST", "REFERENCE", "Applied", "MigrationError", "migrate", "pending"]

_LOCK: Final = 0x617373_69676E
"""The advisory lock's number; "assign" in ASCII."""
_PATIENCE: Final = "60s"
"""How long another migration may take before we say that we wait for it."""

_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS {schema}.assign_core_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""

_REMEDIES: Final = {
    "55P03": "something else holds the lock; run it again at a quieter moment",
    "42501": "connect as the owner of the tables, or as a role that may create them",
    "42P07": "something else has that name; rename it, or use another --schema",
    "42703": "a table of that name has another shape; rename it, or use another --schema",
    "42804": "a table of that name has another shape; rename it, or use another --schema",
    "0A000": "install the server's contrib package, which has the extension",
    "58P01": "install the server's contrib package, which has the extension",
    "25006": "connect to the primary, with a role that may write",
}

_EXTENSION: Final = "extension.c"
"""Where the server refuses to create one. SQLSTATE 42501 alone does not tell this right from those on tables."""
_BY_AN_ADMINISTRATOR: Final = (
    "have an administrator run `CREATE EXTENSION btree_gist` in this database, which needs CREATE on it, "
    "then run this again as the owner of the tables"
)


class MigrationError(AssignError):
    """A migration was refused or failed. ``applied`` are the files that this call had applied before; they stay."""

    def __init__(self, message: str, applied: Sequence[Applied] = ()) -> None:
        super().__init__(message)
        self.applied = tuple(applied)


@frozen
class Applied:
    """A file that has been applied now."""

    name: str
    checksum: str


def migrate(connection: Connection, groups: Iterable[str] = (HOST,), names: Names | None = None) -> list[Applied]:
    """Apply what is missing; the files that were.

    Args:
        connection: one without an open transaction, because every file has its own.

    Raises:
        MigrationError: one line that says which file, why, and the remedy. Nothing of that file has been written.
        InvalidValue: groups or names that cannot be meant, or a connection that is in use.
    """
    called = Names() if names is None else names
    applied: list[Applied] = []
    for file in pending(connection, groups, called):
        with _explained(file, applied):
            if _apply(connection, file, called):
                applied.append(Applied(file.name, file.checksum))
    return applied


def pending(connection: Connection, groups: Iterable[str] = (HOST,), names: Names | None = None) -> list[MigrationFile]:
    """The files that :func:`migrate` would apply. Reads only.

    Raises:
        MigrationError, InvalidValue: as :func:`migrate`.
    """
    called = Names() if names is None else names
    files = migration_files(groups, called)
    free(connection)
    with _explained(), connection.begin():
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        _check_place(connection, files, called)
        missing = [file for file in files if not _is_applied(connection, file, called)]
        obstacles = in_the_way(connection, {file.name for file in missing}, called)
    if obstacles:
        raise MigrationError(f"{'; '.join(obstacles)}. Nothing was written")
    return missing


def free(connection: Connection) -> None:
    """Raises ``InvalidValue`` unless transactions can be begun and ended on this connection."""
    if connection.in_transaction():
        raise InvalidValue("the connection has an open transaction; commit it, or pass a connection of its own")
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        raise InvalidValue("the connection is in autocommit mode; pass one that is not, so that a file is whole")


def _apply(connection: Connection, file: MigrationFile, names: Names) -> bool:
    """Execute one file and note it, unless someone has meanwhile."""
    with connection.begin():
        # Read committed, so that what the lock's last holder wrote is seen.
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))
        # Before the look: a session that once found no ledger goes on finding none until it has to lock something.
        connection.exec_driver_sql(names.sql(_LEDGER), None, {"no_parameters": True})
        if _is_applied(connection, file, names):
            return False
        connection.execute(text("SELECT set_config('search_path', :path, true)"), {"path": quoted(names.schema)})
        # Without parameters the driver sends the text as it stands, with all its statements.
        connection.exec_driver_sql(file.text, None, {"no_parameters": True})
        connection.exec_driver_sql(
            f"INSERT INTO {_ledger(names)} (name, checksum) VALUES (%s, %s)", (file.name, file.checksum)
        )
        return True


def _is_applied(connection: Connection, file: MigrationFile, names: Names) -> bool:
    ledger = names.sql("{schema}.assign_core_migrations")
    if connection.scalar(text("SELECT to_regclass(:ledger)"), {"ledger": ledger}) is None:
        return False
    statement = f"SELECT checksum FROM {_ledger(names)} WHERE name = %s"
    noted = connection.exec_driver_sql(statement, (file.name,)).scalar()
    if noted not in {None, file.checksum}:
        raise MigrationError(
            f"{file.name} was changed after it was applied, or was applied with other names: its checksum is "
            f"{file.checksum[:12]}, the ledger has {str(noted)[:12]}; restore the file or the names, "
            "and put what is new into a new file"
        )
    return noted is not None


def _ledger(names: Names) -> str:
    """For a statement with the driver's own placeholders, where a percent sign is doubled and a colon is nothing."""
    return names.sql("{schema}.assign_core_migrations").replace("%", "%%")


def _check_place(connection: Connection, files: Sequence[MigrationFile], names: Names) -> None:
    """Raises ``MigrationError`` unless the schema is there, and the bookings table is or will be."""
    if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": quoted(names.schema)}) is None:
        raise MigrationError(f"there is no schema {names.schema!r}; create it, or name another with --schema")
    if any(file.group == REFERENCE for file in files):
        return
    kind = connection.scalar(
        text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(:name)"), {"name": names.sql("{bookings}")}
    )
    where = f"{names.bookings!r} in schema {names.schema!r}"
    if kind is None:
        raise MigrationError(
            f"there is no table {where}; name yours with --bookings and --schema, "
            "or add --group reference to get a complete schema"
        )
    if kind not in {"r", "p"}:
        raise MigrationError(f"{where} is no table; name the table itself with --bookings")


@contextmanager
def _explained(file: MigrationFile | None = None, applied: Sequence[Applied] = ()) -> Iterator[None]:
    """A database's error as one line of ours."""
    try:
        yield
    except MigrationError as error:
        error.applied = tuple(applied)
        raise
    except DBAPIError as error:
        what = "the database could not be read" if file is None else f"{file.name} was not applied"
        raise MigrationError(f"{what}: {_said(error)}; nothing of it was written", applied) from error


def _said(error: DBAPIError) -> str:
    state = sqlstate(error)
    diagnosis = getattr(error.orig, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or " ".join(str(error.orig).split())
    if error.connection_invalidated or state is None or state.startswith(("08", "57P")):
        return f"the connection was lost ({message}); run it again when the server is back"
    remedy = _REMEDIES.get(state)
    if state == "42501" and (getattr(diagnosis, "source_file", None) or "").endswith(_EXTENSION):
        remedy = _BY_AN_ADMINISTRATOR
    return f"{message} (SQLSTATE {state})" + (f"; {remedy}" if remedy else "")
