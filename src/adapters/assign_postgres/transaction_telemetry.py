"""Telemetry in a transaction of the host's: written at once, and gone with it if the host rolls back.

The connection is the host's and is used by one at a time, so nothing can be left to a thread. What does not travel with
a confirm or a record costs a savepoint of its own. One that fails leaves the transaction as it was; its events are
counted, and told as soon as something can be written again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from assign_core.events import Event, EventName, event
from assign_core.ports import Clock
from assign_postgres.connections import InAsyncTransaction, InTransaction, unit
from assign_postgres.errors import DatabaseFailure, translated
from assign_postgres.names import Names
from assign_postgres.rows import event_rows, statement
from assign_postgres.telemetry import INSERT

PATIENCE: Final = 5.0
"""Seconds that writing a batch may take."""


class _Book:
    """Writes events against a connection, and keeps count of those that it could not write."""

    def __init__(self, clock: Clock, names: Names) -> None:
        self._clock = clock
        self._insert = statement(names, INSERT)
        self._dropped = 0
        self._error = ""
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        with self._lock:
            return self._dropped

    def lost(self, count: int, error: str) -> None:
        with self._lock:
            self._dropped += count
            self._error = error

    def write(self, connection: Connection, events: Sequence[Event], left: float) -> None:
        """All at once; if that fails, each alone, so that one that is to blame is lost alone. It does not fail."""
        until = self._clock.monotonic() + left
        self._tell(connection, until)
        refused = 0
        if not self._written(connection, events, until):
            refused = 1 if len(events) == 1 else sum(not self._written(connection, [each], until) for each in events)
        with self._lock:
            self._dropped += refused
        if refused < len(events):
            self._tell(connection, until)

    def _tell(self, connection: Connection, until: float) -> None:
        """Of what was lost, if anything was."""
        with self._lock:
            untold, error = self._dropped, self._error
        if not untold:
            return
        told = event(EventName.TELEMETRY_DROPPED, self._clock.now(), None, None, dropped=untold, error=error)
        if self._written(connection, [told], until):
            with self._lock:
                self._dropped -= untold

    def _written(self, connection: Connection, events: Sequence[Event], until: float) -> bool:
        rows = {"events": event_rows(events)}
        try:
            with translated():
                left = until - self._clock.monotonic()
                unit(connection, self._clock, left, lambda: connection.execute(self._insert, rows))
        except (DatabaseFailure, TimeoutError) as error:
            self.lost(0, str(error))
            return False
        return True


class TransactionTelemetry:
    """:class:`assign_core.ports.Telemetry` in the transaction of a host's connection. Nothing is to be closed.

    Raises:
        InvalidValue: the connection is in autocommit.
    """

    def __init__(self, connection: Connection, clock: Clock, *, names: Names | None = None) -> None:
        self._with = InTransaction(connection).run
        self._book = _Book(clock, names or Names())

    @property
    def dropped(self) -> int:
        """Events lost and not told yet."""
        return self._book.dropped

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        if stored or not events:
            return
        try:
            self._with(PATIENCE, lambda connection, left: self._book.write(connection, events, left))
        except (DatabaseFailure, TimeoutError) as error:
            self._book.lost(len(events), str(error))


class AsyncTransactionTelemetry:
    """:class:`TransactionTelemetry`, asynchronous."""

    def __init__(self, connection: AsyncConnection, clock: Clock, *, names: Names | None = None) -> None:
        self._with = InAsyncTransaction(connection).run
        self._book = _Book(clock, names or Names())

    @property
    def dropped(self) -> int:
        """Events lost and not told yet."""
        return self._book.dropped

    async def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        if stored or not events:
            return
        try:
            await self._with(PATIENCE, lambda connection, left: self._book.write(connection, events, left))
        except (DatabaseFailure, TimeoutError) as error:
            self._book.lost(len(events), str(error))
