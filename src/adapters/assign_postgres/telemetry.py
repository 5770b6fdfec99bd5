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
from assign_postgres.errors import DatabaseFailure, DatabaseTimeout
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
_LEAST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 15.0
"""Seconds between two tries while the database does not take events: twice as long after each."""
_LOG: Final = logging.getLogger(__name__)
_REFUSED: Final = ("22", "23", "54")
"""Classes of SQLSTATE that blame the row: bad data, a constraint, a limit."""


def _is_refused(error: BaseException) -> bool:
    """Whether the event is to blame, so that trying it again is in vain."""
    if isinstance(error, DatabaseFailure):
        return (error.sqlstate or "").startswith(_REFUSED)
    return isinstance(error, (TypeError, ValueError))


class PostgresTelemetry:
    """:class:`assign_core.ports.Telemetry` on PostgreSQL. Use it as a context manager, or :meth:`close` it.

    Args:
        engine: of the process that uses it: after a fork SQLAlchemy wants ``engine.dispose(close=False)`` in the child.
        capacity: events kept while the database does not take them.
        flush_after: seconds that an event may wait; longer, up to a quarter of a minute, after the database has not
            taken some.
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
        self._in_hand: list[Event] = []
        self._telling = 0
        """Losses that the last event in hand tells of; 0: none does."""
        self._dropped = 0
        self._ended = False
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
                self._start()
        self._wake.set()

    def _start(self) -> None:
        """The thread. A machine that has none to spare may have one for the next event."""
        thread = threading.Thread(target=self._run, name="assign-core telemetry", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._last_error = str(error)
        else:
            self._thread = thread

    @property
    def dropped(self) -> int:
        """Events lost and not told yet. Once it is closed, that is also what is still being written."""
        with self._lock:
            return self._lost()

    def _lost(self) -> int:
        in_hand = len(self._in_hand) - bool(self._telling)
        return self._dropped + (in_hand if self._ended else 0)

    def flush(self) -> None:
        """Write what is waiting, now.

        Raises:
            DatabaseFailure: the database did not take it; it keeps waiting.
        """
        with self._writing:
            self._write_all()

    def _write_all(self, until: float | None = None) -> None:
        while self._take():
            self._write(until)

    def _write(self, until: float | None) -> None:
        """What is in hand: all at once; if one is refused, each alone."""
        size = len(self._in_hand)
        while self._in_hand:
            try:
                self._insert_all(self._in_hand[:size], until)
            except BaseException as error:
                self._last_error = str(error)[:500]
                if not _is_refused(error):
                    self._put_back()
                    raise
                if size == 1:
                    self._done(1, refused=True)
                size = 1
            else:
                self._done(size)

    def _done(self, size: int, *, refused: bool = False) -> None:
        """So many are out of hand. The last may tell of losses: written or refused, it is not told again for ever."""
        with self._lock:
            del self._in_hand[:size]
            telling = self._telling and not self._in_hand
            if refused and not telling:
                self._dropped += 1
            if telling:
                self._dropped -= self._telling
                self._telling = 0

    def _insert_all(self, events: Sequence[Event], until: float | None) -> None:
        """In the usual time, or in what is left of it before the end of all writing."""
        timeout = _PATIENCE if until is None else until - time.monotonic()
        if timeout <= 0:
            raise DatabaseTimeout("there was no time left to write them")
        rows = {"events": event_rows(events)}

        def insert(connection: Connection, left: float) -> object:
            return unit(connection, self._clock, left, lambda: connection.execute(self._insert, rows))

        self._with(timeout, insert)

    def close(self, timeout: float = _PATIENCE) -> None:
        """Write what is waiting, and end the thread. It does not fail: what cannot be written is lost, counted in
        :attr:`dropped`, and a warning of the logger ``assign_postgres.telemetry`` tells of it.

        Args:
            timeout: seconds that it may take in all, however much is waiting.
        """
        until = time.monotonic() + timeout
        self._closing.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        try:
            left = max(0.0, until - time.monotonic())
            if (thread is None or not thread.is_alive()) and self._writing.acquire(timeout=left):
                try:
                    self._write_all(until)
                finally:
                    self._writing.release()
        except Exception as error:  # noqa: BLE001 - whoever closes it may be on the way out with an error of his own
            self._last_error = str(error)[:500]
        with self._lock:
            self._dropped += len(self._waiting)
            self._waiting.clear()
            self._ended = True
            lost = self._lost()
        if lost:
            _LOG.warning("%d events are lost: %s", lost, self._last_error or "the database did not take them in time")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> bool:
        """The oldest in hand, and what tells of losses, which stay counted until it is written. False: there is
        nothing to write."""
        with self._lock:
            told: list[Event] = []
            if self._dropped:
                said = self._last_error or "the buffer was full"
                at = self._clock.now()
                told = [event(EventName.TELEMETRY_DROPPED, at, None, None, dropped=self._dropped, error=said)]
            self._telling = self._dropped
            self._in_hand = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))] + told
            return bool(self._in_hand)

    def _put_back(self) -> None:
        """What is in hand, as far as there is room and somebody will take it again."""
        with self._lock:
            events = self._in_hand[:-1] if self._telling else self._in_hand
            room = 0 if self._ended else max(0, self._capacity - len(self._waiting))
            kept = events[len(events) - min(room, len(events)) :]
            self._dropped += len(events) - len(kept)
            self._waiting.extendleft(reversed(kept))
            self._in_hand, self._telling = [], 0

    def _run(self) -> None:
        pause = self._flush_after
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(pause)
            self._wake.clear()
            try:
                self.flush()
            except BaseException:  # noqa: BLE001 - put back and counted; a later round tries again
                self._wake.set()
                # A database that is away is not helped by being asked all the time, nor is the host's processor.
                pause = min(max(2 * pause, _LEAST_PAUSE), max(_LONGEST_PAUSE, self._flush_after))
            else:
                pause = self._flush_after


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
