"""Asynchronous ports as blocking ones, so that one contract judges both.

The ports live on one event loop, in a thread of its own, as they would in a host: a pool of connections belongs to
its loop, and two calls from two threads run on it side by side.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from assign_core.booking import EmailState
from assign_core.events import Event
from assign_core.ports import (
    Acquired,
    AsyncBookingStore,
    AsyncMailer,
    AsyncPlanner,
    AsyncTelemetry,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    Lease,
    NotConfirmed,
    Quote,
    QuoteRequest,
    Record,
    Recorded,
)

T = TypeVar("T")


class EventLoop:
    """An event loop in a thread. Use it as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="contract's event loop", daemon=True)

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises; not to be called from the loop itself."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class WaitedStore:
    """:class:`assign_core.ports.BookingStore` over an asynchronous one."""

    def __init__(self, store: AsyncBookingStore, loop: EventLoop) -> None:
        self._store = store
        self._loop = loop

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        return self._loop.wait(self._store.acquire(booking_id, lease, timeout=timeout))

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        return self._loop.wait(self._store.confirm(confirmation, timeout=timeout))

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        return self._loop.wait(self._store.record(entry, timeout=timeout))

    def read(self, booking_id: str, *, timeout: float) -> Acquired | None:
        return self._loop.wait(self._store.read(booking_id, timeout=timeout))

    def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        return self._loop.wait(self._store.capacity_version(booking_id, timeout=timeout))

    def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        return self._loop.wait(self._store.due(now, limit=limit, timeout=timeout))


class WaitedPlanner:
    """:class:`assign_core.ports.Planner` over an asynchronous one."""

    def __init__(self, planner: AsyncPlanner, loop: EventLoop) -> None:
        self._planner = planner
        self._loop = loop

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        return self._loop.wait(self._planner.quote(request, timeout=timeout))

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._loop.wait(self._planner.release(booking_id, attempt_id, timeout=timeout))


class WaitedMailer:
    """:class:`assign_core.ports.Mailer` over an asynchronous one."""

    def __init__(self, mailer: AsyncMailer, loop: EventLoop) -> None:
        self._mailer = mailer
        self._loop = loop

    def deliver(self, email: Email, *, timeout: float) -> EmailState:
        return self._loop.wait(self._mailer.deliver(email, timeout=timeout))


class WaitedTelemetry:
    """:class:`assign_core.ports.Telemetry` over an asynchronous one."""

    def __init__(self, telemetry: AsyncTelemetry, loop: EventLoop) -> None:
        self._telemetry = telemetry
        self._loop = loop

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        self._loop.wait(self._telemetry.emit(events, stored=stored))
