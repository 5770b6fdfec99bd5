"""Which bookings a poller is to look at: those whose time has come, and the parked ones for which seats became free.

The two are asked for apart. Whose time has come an index knows, so they are always answered, whatever else there is.
Whether a parked booking has been woken only its capacity version tells, which may be the host's own function and costs
a call for each; so that is :mod:`~assign_postgres.parked`'s walk. A version that cannot be told costs the wake-up, not
the poll.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause

from assign_core.ports import Clock
from assign_postgres.connections import unit
from assign_postgres.names import Names
from assign_postgres.parked import NEXT, STATUS, WOKEN, Parked
from assign_postgres.rows import statement
from assign_postgres.statements import OPEN

DUE: Final = f"""
SELECT attempt.booking_id
FROM {{schema}}.auto_assign_attempts AS attempt
WHERE attempt.due_at <= CAST(:now AS timestamptz)
  AND {STATUS} IN {OPEN}
ORDER BY attempt.due_at, attempt.booking_id
LIMIT :limit"""
"""Bookings whose time has come."""

ID_TYPE: Final = """
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = CAST(:bookings AS regclass) AND attname = :id"""
"""What the type of the host's ids is called, with its length: ``character`` without one has room for a single one."""


class Due:
    """The store's ``due`` against a connection.

    Args:
        version: an SQL expression of the capacity version of ``wanted.id``, at ``:now``; ``None``: no version is kept,
            so nobody is woken.
    """

    def __init__(self, clock: Clock, names: Names, version: str | None) -> None:
        self._clock = clock
        self._names = names
        self._version = version
        self._id_type = statement(names, ID_TYPE)
        self._made: Mapping[str, TextClause] | None = None  # once the type of the host's ids is known
        self._parked = Parked(clock)

    def bookings(self, connection: Connection, now: datetime, limit: int, timeout: float) -> Sequence[str]:
        """The longest waiting first. Whose time has come has waited longer than whose has not."""
        until = self._clock.monotonic() + timeout
        made = self._statements(connection, timeout)

        def ask(sql: str, timeout: float, values: Mapping[str, object]) -> Sequence[Row[Any]]:
            return self._all(connection, made[sql], timeout, values)

        rows = ask(DUE, until - self._clock.monotonic(), {"now": now, "limit": limit})
        found: list[str] = [row.booking_id for row in rows]
        if self._version is None or len(found) >= limit:
            return found
        return found + self._parked.woken(ask, now, limit - len(found), until, alone=not found)

    def _statements(self, connection: Connection, timeout: float) -> Mapping[str, TextClause]:
        if self._made is None:
            values = {"bookings": self._names.sql("{bookings}"), "id": self._names.id}
            rows = self._all(connection, self._id_type, timeout, values)
            kind = rows[0][0] if rows else "text"
            version = "NULL" if self._version is None else self._version
            self._made = {
                sql: statement(self._names, sql.replace("{id_type}", kind).replace("{version}", version))
                for sql in (DUE, NEXT, WOKEN)
            }
        return self._made

    def _all(
        self, connection: Connection, sql: TextClause, timeout: float, values: Mapping[str, object]
    ) -> Sequence[Row[Any]]:
        return unit(connection, self._clock, timeout, lambda: connection.execute(sql, values).all())
