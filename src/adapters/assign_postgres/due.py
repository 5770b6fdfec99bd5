"""Which bookings a poller is to look at: those whose time has come, and the parked ones for which seats became free.

The two are asked for apart. Whose time has come an index knows, so they are always answered, whatever else there is.
Whether a parked booking has been woken only its capacity version tells, which may be the host's own function and costs
a call for each; so these are looked at in batches, each a statement of its own, as far as the time allows and no
further than a bound. What one call does not reach the next one begins with. Versions that cannot be told in time cost
the wake-up, not the poll: a parked booking has a time, too, at which it is due in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause
from sqlalchemy.exc import DBAPIError

from assign_core.ports import Clock
from assign_core.reasons import ReasonCode
from assign_postgres.connections import unit
from assign_postgres.errors import reason_code
from assign_postgres.names import Names
from assign_postgres.rows import statement
from assign_postgres.statements import OPEN

BATCH: Final = 200
"""Parked bookings of one statement: some 20 ms with the reference schema, and no lock is held for longer."""
BATCHES: Final = 10
"""Statements of one call, so that a poll costs no more however many bookings are parked."""
_OUT_OF_TIME: Final = {ReasonCode.TIMEOUT, ReasonCode.LOCK_TIMEOUT}

_STATUS: Final = """(
      SELECT booking.{status}::text FROM {bookings} AS booking
      WHERE booking.{id} = CAST(attempt.booking_id AS {id_type})
  )"""
"""``{id_type}`` is the type of the host's ids, so that its index serves. The booking is looked up row by row: a join
would be free to read the whole table instead."""

DUE: Final = f"""
SELECT attempt.booking_id
FROM {{schema}}.auto_assign_attempts AS attempt
WHERE attempt.due_at <= CAST(:now AS timestamptz)
  AND {_STATUS} IN {OPEN}
ORDER BY attempt.due_at, attempt.booking_id
LIMIT :limit"""
"""Bookings whose time has come."""

PARKED: Final = f"""
WITH batch AS MATERIALIZED (
    SELECT attempt.booking_id, attempt.due_at, attempt.parked_at_version
    FROM {{schema}}.auto_assign_attempts AS attempt
    WHERE attempt.parked_at_version IS NOT NULL AND attempt.due_at > CAST(:now AS timestamptz)
      AND (attempt.due_at, attempt.booking_id) > (CAST(:after_at AS timestamptz), :after)
    ORDER BY attempt.due_at, attempt.booking_id
    LIMIT :batch
)
SELECT attempt.booking_id, attempt.due_at,
       CASE WHEN {_STATUS} IN {OPEN}
            THEN coalesce(
                attempt.parked_at_version < (SELECT {{version}} FROM (SELECT attempt.booking_id AS id) AS wanted),
                false
            )
            ELSE false
       END AS woken
FROM batch AS attempt
ORDER BY attempt.due_at, attempt.booking_id"""
"""The next parked bookings, and whether something has become free for them. A version is asked of open ones only."""

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
        self._made: tuple[TextClause, TextClause] | None = None  # once the type of the host's ids is known
        self._reached: tuple[datetime, str] | None = None
        """The parked booking that the last look ended with; ``None``: it saw the last one, or need not go on."""
        self._lock = Lock()

    def bookings(self, connection: Connection, now: datetime, limit: int, timeout: float) -> Sequence[str]:
        """The longest waiting first. Whose time has come has waited longer than whose has not."""
        until = self._clock.monotonic() + timeout
        due, parked = self._statements(connection, timeout)
        values = {"now": now, "limit": limit}
        rows = self._all(connection, due, until - self._clock.monotonic(), values)
        found: list[str] = [row.booking_id for row in rows]
        if self._version is None or len(found) >= limit:
            return found
        return found + self._woken(connection, parked, now, limit - len(found), until)

    def _woken(self, connection: Connection, parked: TextClause, now: datetime, limit: int, until: float) -> list[str]:
        """At most ``limit`` of the parked bookings that need not wait any longer."""
        found: list[str] = []
        half = (until - self._clock.monotonic()) / 2
        with self._lock:
            reached = self._reached
        for _ in range(BATCHES):
            left = until - self._clock.monotonic()
            if left <= half:
                break  # a batch that is begun should have the time to end
            after_at, after = (now, "") if reached is None else reached
            values = {"now": now, "after_at": after_at, "after": after, "batch": BATCH}
            try:
                rows = self._all(connection, parked, left, values)
            except DBAPIError as error:
                if reason_code(error) not in _OUT_OF_TIME:
                    raise
                break
            found += [row.booking_id for row in rows if row.woken]
            if len(rows) < BATCH or len(found) >= limit:
                # Those beyond the limit wait for their turn, so the next look must not begin behind them.
                reached = None
                break
            reached = rows[-1].due_at, rows[-1].booking_id
        with self._lock:
            self._reached = reached
        return found[:limit]

    def _statements(self, connection: Connection, timeout: float) -> tuple[TextClause, TextClause]:
        if self._made is None:
            values = {"bookings": self._names.sql("{bookings}"), "id": self._names.id}
            rows = self._all(connection, self._id_type, timeout, values)
            kind = rows[0][0] if rows else "text"
            version = "NULL" if self._version is None else self._version
            due, parked = (
                statement(self._names, sql.replace("{id_type}", kind).replace("{version}", version))
                for sql in (DUE, PARKED)
            )
            self._made = due, parked
        return self._made

    def _all(
        self, connection: Connection, sql: TextClause, timeout: float, values: Mapping[str, object]
    ) -> Sequence[Row[Any]]:
        return unit(connection, self._clock, timeout, lambda: connection.execute(sql, values).all())
