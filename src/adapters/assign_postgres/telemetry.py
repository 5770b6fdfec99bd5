"""Telemetry into ``observability_events``: batched, and never on the guest's time.

Events that travel with a confirm or a record are in that transaction already and only pass by here. The others wait
in a buffer that a thread empties; when the database is away the buffer keeps the newest, counts what it drops, and
says so in an event of its own once it can. An event that the table itself refuses is dropped and counted, alone: it
must not hold up the others for ever.

A process that forks, as a server does that loads the app before its workers, leaves the thread behind. Each child
begins with an empty buffer and a thread of its own; what the buffer held is the parent's to write.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Self
from weakref import WeakSet

from sqlalchemy import Connection, Engine

from assign_core.events import Event, EventName, event
from assign_core.ports import Clock
from assign_postgres.connections import FromEngine, unit
from assign_postgres.errors import DatabaseFailure
from assign_postgres.names import Names
from assign_postgres.rows import event_rows, statement

INSERT: Final = """
INSERT INTO {schema}.observability_events (at, name, severity, booking_id, attempt_id, context)
SELECT at, name, severity, booking_id, attempt_id, context
FROM jsonb_to_recordset(CAST(:events AS jsonb))
    AS event(at timestamptz, name text, severity text, booking_id text, attempt_id text, context jsonb)"""
_BATCH: Final = 500
_PATIENCE: Final = 5.0
"""Seconds that writing a batch may take."""
_LOG: Final = logging.getLogger(__name__)
_REFUSED: Final = ("22", "23", "54")
"""Classes of SQLSTATE that blame the row: bad data, a constraint, a limit."""


def _is_refused(error: Exception) -> bool:
    """Whether the event is to blame, so that trying it again is in vain."""
    if isinstance(error, DatabaseFailure):
        return (error.sqlstate or "").startswith(_REFUSED)
    return isinstance(error, (TypeError, ValueError))


class PostgresTelemetry:
    """:class:`assign_core.ports.Telemetry` on PostgreSQL. Use it as a context manager, or :meth:`close` it.

    Args:
        engine: of the process that uses it: after a fork SQLAlchemy wants ``engine.dispose(close=False)`` in the child.
        capacity: events kept while the database does not take them.
        flush_after: seconds that an event may wait.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        names: Names | None = None,
        capacity: int = 10_000,
        flush_after: float = 0.5,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; pass at least 1")
        self._with = FromEngine(engine).run
        self._clock = clock
        self._insert = statement(names or Names(), INSERT)
        self._capacity = capacity
        self._flush_after = flush_after
        self._closing = threading.Event()
        self._begin()
        _LIVING.add(self)

    def _begin(self) -> None:
        """With nothing waiting, nobody holding a lock, and no thread: at first, and again in a forked process."""
        self._waiting: deque[Event] = deque()
        self._dropped = 0
        self._last_error = ""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        closed, self._closing = self._closing.is_set(), threading.Event()
        if closed:
            self._closing.set()
        self._thread: threading.Thread | None = None

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        if stored:
            return
        with self._lock:
            if self._closing.is_set():
                self._dropped += len(events)
                return
            self._waiting.extend(events)
            while len(self._waiting) > self._capacity:
                self._waiting.popleft()
                self._dropped += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="assign-core telemetry", daemon=True)
                self._thread.start()
        self._wake.set()

    @property
    def dropped(self) -> int:
        """Events lost and not told yet."""
        with self._lock:
            return self._dropped

    def flush(self) -> None:
        """Write what is waiting, now.

        Raises:
            DatabaseFailure: the database did not take it; it keeps waiting.
        """
        self._flush(_PATIENCE)

    def _flush(self, timeout: float) -> None:
        with self._writing:
            while batch := self._batch():
                self._write(batch, timeout)

    def _write(self, batch: list[Event], timeout: float) -> None:
        """All at once; if one is refused, each alone."""
        size = len(batch)
        while batch:
            try:
                self._insert_all(batch[:size], timeout)
            except Exception as error:
                self._last_error = str(error)[:500]
                if not _is_refused(error):
                    self._put_back(batch)
                    raise
                if size == 1:
                    self._drop(batch.pop(0))
                size = 1
            else:
                del batch[:size]

    def _insert_all(self, events: Sequence[Event], timeout: float) -> None:
        rows = {"events": event_rows(events)}

        def insert(connection: Connection, left: float) -> object:
            return unit(connection, self._clock, left, lambda: connection.execute(self._insert, rows))

        self._with(timeout, insert)

    def _drop(self, refused: Event) -> None:
        """Count it; but not the event that tells of drops, which would be told again for ever."""
        if refused.name is not EventName.TELEMETRY_DROPPED:
            with self._lock:
                self._dropped += 1

    def close(self, timeout: float = _PATIENCE) -> None:
        """Write what is waiting, and end the thread. It does not fail: what cannot be written is lost, counted in
        :attr:`dropped`, and a warning of the logger ``assign_postgres.telemetry`` tells of it.

        Args:
            timeout: seconds that it may take.
        """
        until = time.monotonic() + timeout
        self._closing.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        try:
            if thread is None or not thread.is_alive():
                self._flush(until - time.monotonic())
        except Exception as error:  # noqa: BLE001 - whoever closes it may be on the way out with an error of his own
            self._last_error = str(error)[:500]
        with self._lock:
            self._dropped += len(self._waiting)
            self._waiting.clear()
            lost = self._dropped
        if lost:
            _LOG.warning("%d events are lost: %s", lost, self._last_error or "the database did not take them in time")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _batch(self) -> list[Event]:
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if self._dropped:
                told = event(
                    EventName.TELEMETRY_DROPPED,
                    self._clock.now(),
                    None,
                    None,
                    dropped=self._dropped,
                    error=self._last_error or "the buffer was full",
                )
                batch.append(told)
                self._dropped = 0
            return batch

    def _put_back(self, batch: list[Event]) -> None:
        with self._lock:
            for each in reversed(batch):
                count = each.context.get("dropped") if each.name is EventName.TELEMETRY_DROPPED else None
                if isinstance(count, int):
                    self._dropped += count
                elif len(self._waiting) < self._capacity:
                    self._waiting.appendleft(each)
                else:
                    self._dropped += 1

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(self._flush_after)
            self._wake.clear()
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - put back and counted; the next round tries again
                self._wake.set()


_LIVING: Final[WeakSet[PostgresTelemetry]] = WeakSet()


def _after_fork() -> None:
    for each in list(_LIVING):
        each._begin()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)


class AsyncPostgresTelemetry:
    """:class:`assign_core.ports.AsyncTelemetry`: the same buffer and thread, so the event loop never waits."""

    def __init__(self, telemetry: PostgresTelemetry) -> None:
        self._telemetry = telemetry

    async def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        self._telemetry.emit(events, stored=stored)
