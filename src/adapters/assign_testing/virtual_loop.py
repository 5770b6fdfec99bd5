"""An asynchronous runtime without an event loop of its own: time moves when something sleeps, and only then.

On it a call that would take too long is ended at the very moment at which its time is up, by an exception that its
sleep raises. So a test that waits for a deadline takes no time, and comes out the same on every machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from assign_core.events import Event
from assign_core.ports import Email, Shielded, Telemetry
from assign_memory import VirtualClock
from assign_testing.house import PostRoom

V = TypeVar("V")


class _TimeIsUp(BaseException):
    """Thrown into a call whose time is up, as an event loop throws a cancellation."""


class _Pending(Generic[V]):
    """A call that goes on whenever somebody waits for it."""

    def __init__(self, runtime: AsyncVirtualRuntime, call: Callable[[], Awaitable[V]]) -> None:
        self._runtime = runtime
        self._call = call
        self._value: V | None = None
        self._error: BaseException | None = None
        self._ended = False

    async def wait(self, timeout: float) -> bool:
        if not self._ended:
            try:
                self._value = await self._runtime.limited(self._call, timeout)
            except _TimeIsUp:
                return False
            except BaseException as error:  # noqa: BLE001 - kept for whoever asks for the result
                self._error = error
            self._ended = True
        return True

    def result(self) -> V:
        if self._error is not None:
            raise self._error
        value: V = self._value  # type: ignore[assignment]  # without an error the call returned, be it None
        return value

    def abandon(self, then: Callable[[], Awaitable[object]]) -> None:
        self._runtime.background(then)


class AsyncVirtualRuntime:
    """:class:`assign_core.ports.AsyncRuntime` on a virtual clock.

    Args:
        clock: may be shared with a blocking engine; both are then in one world.

    Attributes:
        waiting: what was started in the background; :meth:`drain` carries it out.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._limit: float | None = None
        self.waiting: list[Callable[[], Awaitable[object]]] = []

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def new_id(self) -> str:
        return self._clock.new_id()

    async def limited(self, call: Callable[[], Awaitable[V]], timeout: float) -> V:
        """The call, ended by an exception of this module when its time is up, or that of a call around it."""
        around = self._limit
        mine = self.monotonic() + timeout
        self._limit = mine if around is None else min(around, mine)
        try:
            return await call()
        finally:
            self._limit = around

    async def sleep(self, seconds: float) -> None:
        left = seconds if self._limit is None else self._limit - self.monotonic()
        self._clock.advance(max(0.0, min(seconds, left)))
        if seconds > left:
            raise _TimeIsUp

    def start(self, call: Callable[[], Awaitable[V]]) -> _Pending[V]:
        return _Pending(self, call)

    def background(self, call: Callable[[], Awaitable[object]]) -> None:
        self.waiting.append(call)

    async def drain(self) -> None:
        """Carry out what was left to the background, in order."""
        while self.waiting:
            await self.waiting.pop(0)()

    async def within(self, call: Callable[[], Awaitable[V]], timeout: float) -> V:
        try:
            return await self.limited(call, timeout)
        except _TimeIsUp:
            raise TimeoutError(f"no answer within {timeout:.3f} s") from None

    async def shielded(self, call: Callable[[], Awaitable[V]], timeout: float) -> Shielded[V]:
        try:
            return Shielded(await self.limited(call, timeout), None, None)
        except _TimeIsUp:
            return Shielded(None, TimeoutError(f"clean-up did not end within {timeout:.3f} s"), None)
        except Exception as error:  # noqa: BLE001 - handed to the flow, as the port says
            return Shielded(None, error, None)


class PlainPostRoom:
    """A :class:`~assign_testing.PostRoom` that is awaited: :class:`assign_core.outbox.AsyncTransport`."""

    def __init__(self, room: PostRoom) -> None:
        self._room = room

    @property
    def deduplicates(self) -> bool:
        return self._room.deduplicates

    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        self._room.send(email, idempotency_key=idempotency_key, timeout=timeout)


class PlainTelemetry:
    """Any telemetry that does not block, awaited: :class:`assign_core.ports.AsyncTelemetry`."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        self._telemetry.emit(events, stored=stored)
