"""The host's asyncio event loop, with cancellations of both kinds kept out of clean-up.

A task can be cancelled at an edge (``Task.cancel``, once) or at a level (an anyio or Starlette cancel scope, again at
every ``await``). Clean-up therefore runs in a task of its own, which neither reaches, and the wait for it is repeated
inside a shielding scope once the first cancellation has arrived. The cancellation is not lost: it is handed back, and
the driver raises it, the same object, when the flow has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import anyio

from assign_core.ports import Shielded
from assign_runtime.threads import SystemClock

T = TypeVar("T")


class _Task(Generic[T]):
    """A call in a task of its own."""

    def __init__(self, call: Callable[[], Awaitable[T]], keep: set[asyncio.Task[object]]) -> None:
        self._keep = keep
        self._task: asyncio.Task[T] = asyncio.create_task(_awaited(call))

    async def wait(self, timeout: float) -> bool:
        done, _ = await asyncio.wait({self._task}, timeout=timeout)
        return bool(done)

    def result(self) -> T:
        return _answer(self._task)

    def abandon(self, then: Callable[[], Awaitable[object]]) -> None:
        self._task.cancel()
        ending = asyncio.create_task(self._end(then))
        self._keep.add(ending)
        ending.add_done_callback(self._keep.discard)

    async def _end(self, then: Callable[[], Awaitable[object]]) -> None:
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # looked at, so that the loop does not complain: nobody waits for the answer
        await then()


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


class AsyncioRuntime(SystemClock):
    """:class:`assign_core.ports.AsyncRuntime` on asyncio.

    :meth:`drain` waits for what goes on in the background; call it when the host shuts down.
    """

    def __init__(self) -> None:
        self._background: set[asyncio.Task[object]] = set()
        self._cleaning: set[asyncio.Task[Any]] = set()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def start(self, call: Callable[[], Awaitable[T]]) -> _Task[T]:
        return _Task(call, self._background)

    def background(self, call: Callable[[], Awaitable[object]]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(_awaited(call))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def drain(self) -> None:
        """Wait until nothing goes on in the background.

        Raises:
            Exception: what a background attempt raised, so that it is heard somewhere.
        """
        while self._background:
            await asyncio.gather(*self._background)

    async def within(self, call: Callable[[], Awaitable[T]], timeout: float) -> T:
        task: asyncio.Task[T] = asyncio.create_task(_awaited(call))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except BaseException:
            task.cancel()
            task.add_done_callback(_look_at)
            raise
        if done:
            return _answer(task)
        task.cancel()
        task.add_done_callback(_look_at)
        raise TimeoutError(f"no answer within {timeout:.3f} s")

    async def shielded(self, call: Callable[[], Awaitable[T]], timeout: float) -> Shielded[T]:
        task: asyncio.Task[T] = asyncio.create_task(_awaited(call))
        # A second cancellation leaves the clean-up to itself, and the loop keeps only weak references to tasks.
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
        until = self.monotonic() + timeout
        cancellation: BaseException | None = None
        try:
            await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError as error:
            cancellation = error
            with anyio.CancelScope(shield=True):
                await asyncio.wait({task}, timeout=max(0.0, until - self.monotonic()))
        if not task.done():
            task.cancel()
            task.add_done_callback(_look_at)
            return Shielded(None, TimeoutError(f"clean-up did not end within {timeout:.3f} s"), cancellation)
        try:
            return Shielded(_answer(task), None, cancellation)
        except Exception as error:  # noqa: BLE001 - handed to the flow, together with the cancellation
            return Shielded(None, error, cancellation)


def _answer(task: asyncio.Task[T]) -> T:
    """An ended call's value. One that cancelled *itself* has failed; nobody has cancelled its caller."""
    if task.cancelled():
        raise RuntimeError("the call was cancelled from inside, not by its host")
    return task.result()


def _look_at(task: asyncio.Task[T]) -> None:
    """Nobody waits for this task any more; looking at its failure keeps the loop from reporting it as forgotten."""
    if not task.cancelled():
        task.exception()
