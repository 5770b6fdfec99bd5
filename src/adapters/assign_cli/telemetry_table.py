"""``observability_events`` read from its database: only ours of its events, row by row, and nothing written.

The transaction is read-only and sees one moment of the table. A cursor on the server hands the rows over in batches,
so a long history needs no memory for what it says of other things. Times and contexts are taken as texts, so that
they pass the same reader as an export, and a value that only a database can hold is named like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from assign_cli.database import checked_dsn, open_connection
from assign_cli.errors import BadInput, Refusal
from assign_cli.told import RELEVANT, Place, columns_of

try:
    import psycopg
    from psycopg import sql
except ModuleNotFoundError as missing:
    raise BadInput(f"{missing.name} is not installed; pip install 'assign-core[cli,postgres]'") from None

TABLE: Final = "observability_events"
_BATCH: Final = 2_000
_COLUMNS: Final = """
SELECT attname::text, format_type(atttypid, NULL) FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"""


def event_rows(
    dsn: str, schema: str | None, since: datetime | None, until: datetime | None
) -> Iterator[tuple[Place, Mapping[str, object]]]:
    """The rows, in the order of their times.

    Args:
        since, until: the first moment that counts, and the first that does not.
        schema: where the table stands; ``None``: where the database's search path finds it.

    Raises:
        BadInput: the database cannot be reached, or has no such table.
        Refusal: the server failed meanwhile.
    """
    with open_connection(checked_dsn(dsn)) as connection, _told():
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        table = sql.Identifier(TABLE) if schema is None else sql.Identifier(schema, TABLE)
        columns = _columns(connection, table)
        with connection.cursor(name="assign_core_replay") as rows:
            rows.itersize = _BATCH
            rows.execute(
                _query(table, columns, since, until), {"names": sorted(RELEVANT), "since": since, "until": until}
            )
            for number, row in enumerate(rows, 1):
                yield Place(file=TABLE, line=number, unit="row"), dict(zip(columns, row, strict=True))


def _columns(connection: psycopg.Connection, table: sql.Identifier) -> dict[str, str]:
    name = table.as_string(connection)
    types: dict[str, str] = dict(connection.execute(_COLUMNS, [name]).fetchall())
    if not types:
        raise BadInput(f"the database has no table {name}; name its schema with --schema, or pass an export of it")
    try:
        columns = columns_of(list(types))
    except ValueError as error:
        raise BadInput(f"{name}: {error}; pass an export of it with the columns renamed") from None
    if types[columns["at"]] != "timestamp with time zone":
        raise BadInput(
            f"{name}: column {columns['at']!r} is of type {types[columns['at']]}, so its times have no zone; "
            "pass an export of it that says which"
        )
    return columns


def _query(
    table: sql.Identifier, columns: Mapping[str, str], since: datetime | None, until: datetime | None
) -> sql.Composed:
    at, name = sql.Identifier(columns["at"]), sql.Identifier(columns["name"])
    as_text = {"at": sql.SQL("to_jsonb({}) #>> '{{}}'")}
    wanted = [as_text.get(each, sql.SQL("{}::text")).format(sql.Identifier(column)) for each, column in columns.items()]
    conditions = [sql.SQL("{}::text = ANY (%(names)s)").format(name)]
    if since is not None:
        conditions.append(sql.SQL("{} >= %(since)s").format(at))
    if until is not None:
        conditions.append(sql.SQL("{} < %(until)s").format(at))
    return sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
        sql.SQL(", ").join(wanted), table, sql.SQL(" AND ").join(conditions), at
    )


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise Refusal(f"the history could not be read: {said}; nothing was computed") from None
