"""Ids that no booking of the host's can have, because its column's type cannot hold them: "nope" among uuids.

The server refuses such an id as it refuses any value that it cannot read. To the host there is no such booking,
whatever the reason; so where the id is to blame, and nothing else that the statement brought, the answer is that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from assign_core.ports import Clock
from assign_postgres.connections import unit
from assign_postgres.errors import sqlstate
from assign_postgres.names import Names
from assign_postgres.rows import is_storable, statement

T = TypeVar("T")

BOOKING: Final = "SELECT FROM {bookings} WHERE {id} = :booking"
"""Nothing is brought but the id, so what the server cannot read of it is the id."""
_UNREADABLE: Final = "22"
"""The class of SQLSTATEs about values, not about statements: not a uuid, too large a number."""


class HostIds:
    """Does the work for a booking of the host's, or says what is so when nobody has that id."""

    def __init__(self, clock: Clock, names: Names) -> None:
        self._clock = clock
        self._booking = statement(names, BOOKING)

    def unit(
        self, connection: Connection, booking_id: str, timeout: float, work: Callable[[], T], nobody: Callable[[], T]
    ) -> T:
        """``work`` in a :func:`~assign_postgres.connections.unit`; ``nobody`` if it failed because of the id.

        Raises:
            TimeoutError, DBAPIError: as there.
        """
        if not is_storable(booking_id):
            return nobody()
        until = self._clock.monotonic() + timeout
        try:
            return unit(connection, self._clock, timeout, work)
        except DBAPIError as error:
            state = sqlstate(error)
            left = until - self._clock.monotonic()
            if state is None or not state.startswith(_UNREADABLE) or left <= 0:
                raise
            if not self._refused(connection, booking_id, left, state):
                raise
        return nobody()

    def _refused(self, connection: Connection, booking_id: str, timeout: float, state: str) -> bool:
        try:
            unit(connection, self._clock, timeout, lambda: connection.execute(self._booking, {"booking": booking_id}))
        except DBAPIError as error:
            return sqlstate(error) == state
        return False
