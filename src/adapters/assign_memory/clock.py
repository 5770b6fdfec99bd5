"""A clock that moves when told, for tests and simulations.

With it a test that waits five minutes takes none, and two runs with the same seed are the same run.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

T = TypeVar("T")

OPENING: Final = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
"""Where a virtual clock starts if nobody says otherwise: a Friday noon."""


class _Ended(Generic[T]):
    """A call that had ended before anyone could wait for it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._value: T | None = None
        self._error: BaseException | None = None
        try:
            self._value = call()
        except BaseException as error:  # noqa: BLE001 - kept for whoever asks for the result
            self._error = error

    def wait(self, timeout: float) -> bool:
        del timeout  # it has ended
        return True

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        value: T = self._value  # type: ignore[assignment]  # without an error the call returned, be it None
        return value

    def abandon(self, then: Callable[[], object]) -> None:
        then()


class VirtualClock:
    """:class:`assign_core.ports.Clock`: time stands still but for :meth:`advance`. Safe to share between threads.

    Args:
        start: aware.
        seed: of the ids.
    """

    def __init__(self, start: datetime = OPENING, *, seed: int = 0) -> None:
        if start.utcoffset() is None:
            raise ValueError(f"start has no time zone: {start}; pass an aware time")
        self._start = start
        self._elapsed = timedelta(0)
        self._ids = random.Random(seed)  # noqa: S311 - ids of a simulation have to be repeatable, not secret
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    def new_id(self) -> str:
        with self._lock:
            return f"{self._ids.getrandbits(128):032x}"

    def advance(self, seconds: float) -> None:
        """Move on. Raises ``ValueError`` for a step back: monotonic time has none."""
        if seconds < 0:
            raise ValueError(f"a clock cannot be advanced by {seconds} s; pass 0 or more")
        with self._lock:
            self._elapsed += timedelta(seconds=seconds)


class VirtualRuntime(VirtualClock):
    """:class:`assign_core.ports.Runtime` on a virtual clock: sleeping moves it, and background work is done at once.

    A started call has ended when :meth:`start` returns, so a planner on this runtime must keep its own time (as
    :class:`~assign_memory.planner.ScriptedPlanner` does).
    """

    def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    def start(self, call: Callable[[], T]) -> _Ended[T]:
        return _Ended(call)

    def background(self, call: Callable[[], object]) -> None:
        call()
