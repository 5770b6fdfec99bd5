"""Any telemetry, off the guest's time: events wait in a bounded buffer, and one thread hands them on.

The blocking engine calls telemetry in the thread of the request, and nothing can stop a call there. So a telemetry that
does I/O, or that may wait for a lock, belongs behind this. What it does not take in time is dropped, oldest first,
counted, and told in an event of its own (``auto_assign.telemetry_dropped``) ahead of the next that it takes.

A process that forks, as a server does that loads the app before its workers, leaves the thread behind. Each child
begins with an empty buffer and a thread of its own; what the buffer held is the parent's to hand on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Self
from weakref import WeakSet

from assign_core.errors import InvalidValue
from assign_core.events import Event, EventName, event
from assign_core.ports import Clock, Telemetry

_LOG: Final = logging.getLogger(__name__)


class _Batch(NamedTuple):
    """The events of one call."""

    events: Sequence[Event]
    stored: bool


class BackgroundTelemetry:
    """:class:`assign_core.ports.Telemetry` that only enqueues. Use it as a context manager, or :meth:`close` it.

    Args:
        telemetry: gets the events, from one thread; it may take its time, and fail.
        clock: the runtime that the engine is given.
        capacity: events kept meanwhile.

    Raises:
        InvalidValue: a capacity below 1.
    """

    def __init__(self, telemetry: Telemetry, clock: Clock, *, capacity: int = 10_000) -> None:
        if capacity < 1:
            raise InvalidValue(f"capacity is {capacity}; pass at least 1")
        self._telemetry = telemetry
        self._clock = clock
        self._capacity = capacity
        self._closed = False
        self._begin()
        _LIVING.add(self)

    def _begin(self) -> None:
        """With nothing waiting, nobody holding the lock, and no thread: at first, and again in a forked process."""
        self._waiting: deque[_Batch] = deque()
        self._size = 0
        self._busy = False
        self._in_hand = 0
        self._dropped = 0
        self._ended = False
        self._last_error = ""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        if not events:
            return
        with self._changed:
            if self._closed:
                self._dropped += len(events)
                return
            self._waiting.append(_Batch(tuple(events), stored))
            self._size += len(events)
            while self._size > self._capacity:
                self._drop_oldest()
            self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        """The thread, unless there is one. A machine that has none to spare may have one for the next event."""
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="assign-core telemetry", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._last_error = str(error)
        else:
            self._thread = thread

    def _drop_oldest(self) -> None:
        """The oldest event; the rest of its batch stays."""
        batch = self._waiting.popleft()
        if len(batch.events) > 1:
            self._waiting.appendleft(batch._replace(events=batch.events[1:]))
        self._size -= 1
        self._dropped += 1

    @property
    def dropped(self) -> int:
        """Events lost and not told yet. Once it is closed, that is also what the thread still has in hand."""
        with self._changed:
            return self._lost()

    def _lost(self) -> int:
        return self._dropped + (self._in_hand if self._ended else 0)

    def flush(self, timeout: float) -> bool:
        """Wait until everything is handed on. ``False``: it was not, within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Hand on what is waiting, and end the thread. It does not fail: what is not taken is lost, counted in
        :attr:`dropped`, and a warning of the logger ``assign_runtime.background`` tells of it.

        Args:
            timeout: seconds that it may take.
        """
        until = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            if self._waiting:
                self._start()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            self._dropped += self._size
            self._waiting.clear()
            self._size = 0
            self._ended = True
            lost = self._lost()
        if lost:
            _LOG.warning("%d events are lost: %s", lost, self._last_error or "telemetry did not take them in time")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._tell()
            taken = self._handed_on(batch)
            with self._changed:
                self._in_hand = 0
                if not taken:
                    self._dropped += len(batch.events)
        self._tell()

    def _next(self) -> _Batch | None:
        """The oldest batch, once there is one; ``None``: closed, and none is left."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self._busy = True
            batch = self._waiting.popleft()
            self._in_hand = len(batch.events)
            self._size -= self._in_hand
            return batch

    def _handed_on(self, batch: _Batch) -> bool:
        try:
            self._telemetry.emit(batch.events, stored=batch.stored)
        except BaseException as error:  # noqa: BLE001 - whatever it is: it is telemetry's, and must not end the thread
            with self._changed:
                self._last_error = f"{type(error).__name__}: {error}"[:500]
            return False
        return True

    def _tell(self) -> None:
        """Of what was dropped, if anything was. It stays counted until it is told."""
        with self._changed:
            untold, error = self._dropped, self._last_error
        if not untold:
            return
        said = error or "the buffer was full"
        told = event(EventName.TELEMETRY_DROPPED, self._clock.now(), None, None, dropped=untold, error=said)
        if self._handed_on(_Batch((told,), stored=False)):
            with self._changed:
                self._dropped -= untold


_LIVING: Final[WeakSet[BackgroundTelemetry]] = WeakSet()


def _after_fork() -> None:
    for each in list(_LIVING):
        each._begin()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
