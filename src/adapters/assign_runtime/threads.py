"""A process's own clock, and threads for what its caller may stop waiting for.

Each started call gets a thread of its own rather than a place in a pool: a planner that never returns would fill a
pool, and then every later request would wait for it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class SystemClock:
    """Wall clock, monotonic clock and random ids of the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self) -> str:
        return uuid.uuid4().hex


class _Call(Generic[T]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._then: Callable[[], object] | None = None
        self._value: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="assign-core search", daemon=True).start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # noqa: BLE001 - kept for whoever asks for the result
            self._error = error
        with self._lock:
            self._ended.set()
            then = self._then
        if then is not None:
            then()

    def wait(self, timeout: float) -> bool:
        return self._ended.wait(min(timeout, threading.TIMEOUT_MAX))

    def result(self) -> T:
        if not self._ended.is_set():
            raise RuntimeError("the call has not ended; wait() says when it has")
        if self._error is not None:
            if not isinstance(self._error, Exception):
                # In a thread of its own it cannot be the host's interrupt or exit, only the call's own failure.
                raise RuntimeError(f"the call ended with {type(self._error).__name__}") from self._error
            raise self._error
        value: T = self._value  # type: ignore[assignment]  # without an error the call returned, be it None
        return value

    def abandon(self, then: Callable[[], object]) -> None:
        with self._lock:
            self._then = then
            ended = self._ended.is_set()
        if ended:
            then()


class ThreadRuntime(SystemClock):
    """:class:`assign_core.ports.Runtime` on threads.

    Background work is not daemonic: a handed-over attempt is finished before the process exits.
    """

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def start(self, call: Callable[[], T]) -> _Call[T]:
        return _Call(call)

    def background(self, call: Callable[[], object]) -> None:
        threading.Thread(target=call, name="assign-core background", daemon=False).start()
