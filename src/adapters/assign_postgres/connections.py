"""Where a port's call gets its connection from, and what it may do to it.

From an engine, each call borrows a connection and commits. In a transaction of the host's, nothing is committed: each
of our transactions is a savepoint there, so that one that fails leaves the host's as it was, and the time limits that
we set are the host's own again afterwards.

Each of the four classes here runs a call against a :class:`sqlalchemy.Connection`, and that is all that a port knows.
A call does its work in a :func:`unit`, which is all or nothing. So one that the server has ended to untie a knot of
locks, or because it could not be put in an order with others, has done nothing, and is made again.

The time that a call has includes getting a connection. An event loop stops waiting for one when the time is up. A
blocking call cannot be stopped while it waits for the pool or the network, so there the host's engine has to know an
end, as :func:`engine_options` gives it; what then is left of the time is what the statement gets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from math import ceil
from threading import TIMEOUT_MAX, Lock
from typing import Any, Final, Protocol, TypedDict, TypeVar

from psycopg import AsyncConnection as AsyncDriver
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from assign_core.errors import InvalidValue
from assign_core.ports import Clock
from assign_postgres.errors import connecting, not_in_time, sqlstate, translated
from assign_postgres.patience import patient

T = TypeVar("T")

_TRIES: Final = 5
_UNDONE: Final = {"40P01", "40001"}
"""SQLSTATEs deadlock_detected and serialization_failure: nothing was done, and doing it again may succeed."""
_LIMITS: Final = text(
    "SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement"
)
_RESTORED: Final = text(
    "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true)"
)
_LOCK: Final = "assign-core: one call at a time, whichever port makes it"
_ASYNC_LOCK: Final = "assign-core: one call at a time, whichever asynchronous port makes it"
"""Of a lock of another kind: a host may use both kinds of port on a connection, one after the other."""
_SECONDS_TO_CANCEL: Final = 5.0
_AUTOCOMMIT: Final = "the connection is in autocommit, so there is no transaction to take part in; pass an engine"


def unit(connection: Connection, clock: Clock, timeout: float, work: Callable[[], T]) -> T:
    """``work`` in a transaction, each of whose statements has the time that is left; within another, in a savepoint.

    A deadlock or a serialization failure undoes it, and it is done again; but not in a transaction of the host's, whose
    own locks and snapshot are part of the trouble.

    Args:
        timeout: seconds, for all tries together.

    Raises:
        TimeoutError: no time is left.
        DBAPIError: it failed; nothing of it was done.
    """
    if connection.in_transaction():
        limits = connection.execute(_LIMITS).one()
        with connection.begin_nested():
            with patient(connection, timeout):
                answer = work()
            connection.execute(_RESTORED, {"lock": limits.lock, "statement": limits.statement})
        return answer
    until = clock.monotonic() + timeout
    for tries_left in reversed(range(_TRIES)):
        try:
            with connection.begin(), patient(connection, until - clock.monotonic()):
                return work()
        except DBAPIError as error:
            if not tries_left or sqlstate(error) not in _UNDONE or clock.monotonic() >= until:
                raise
    raise AssertionError("the last try answers or raises")


class EngineOptions(TypedDict):
    """Arguments of ``create_engine``."""

    pool_timeout: float
    connect_args: dict[str, object]


def engine_options(seconds: float = 2) -> EngineOptions:
    """What a blocking engine needs so that nobody waits for ever for a connection::

        engine = create_engine("postgresql+psycopg://…", **engine_options())

    Without them a request waits 30 s for a pool that is used up, and for a network that swallows everything as long as
    the operating system likes.

    Args:
        seconds: for a place in the pool; for a new connection, which libpq counts in whole seconds, and at least 2; and
            for the network to acknowledge what was sent.
    """
    return EngineOptions(
        pool_timeout=seconds,
        connect_args={"connect_timeout": max(2, ceil(seconds)), "tcp_user_timeout": max(2, ceil(seconds)) * 1000},
    )


class Connections(Protocol):
    """Runs calls against connections. Database errors become :class:`~assign_postgres.errors.DatabaseFailure`.

    ``timeout``: seconds for all of it. The call is told what is left of them once it has its connection.
    """

    @property
    def commits(self) -> bool:
        """What a call has done is there for everybody once it returns."""
        ...

    def run(self, timeout: float, call: Callable[[Connection, float], T]) -> T: ...


class AsyncConnections(Protocol):
    """:class:`Connections`, asynchronous."""

    @property
    def commits(self) -> bool: ...

    async def run(self, timeout: float, call: Callable[[Connection, float], T]) -> T: ...


class FromEngine:
    """A connection from the pool for each call.

    Args:
        autocommit: each statement is its own transaction, which saves the round trips that begin and commit one.
    """

    commits = True

    def __init__(self, engine: Engine, *, autocommit: bool = False) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else engine

    def run(self, timeout: float, call: Callable[[Connection, float], T]) -> T:
        until = time.monotonic() + timeout
        with connecting(timeout):
            connection = self._engine.connect()
        with translated(), connection:
            return call(connection, _left(until, timeout))


class FromAsyncEngine:
    """:class:`FromEngine`, asynchronous. A cancelled call cancels its statement.

    A connection that is being opened is not: stopped in the middle, SQLAlchemy forgets one that is open already. So
    nobody waits for it any longer, and when it is there it goes back to the pool.
    """

    commits = True

    def __init__(self, engine: AsyncEngine, *, autocommit: bool = False) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else engine
        self._unfinished: set[asyncio.Task[Any]] = set()
        """The loop keeps only weak references to tasks."""

    async def run(self, timeout: float, call: Callable[[Connection, float], T]) -> T:
        until = time.monotonic() + timeout
        with translated():
            async with AsyncExitStack() as leaving:
                connection = leaving.push_async_exit(await self._connected(timeout))
                return await connection.run_sync(call, _left(until, timeout))

    async def _connected(self, timeout: float) -> AsyncConnection:
        if timeout <= 0:
            raise not_in_time(timeout)
        opening = asyncio.create_task(self._open())
        self._keep(opening)
        try:
            with connecting(timeout):
                async with asyncio.timeout(timeout):
                    return await asyncio.shield(opening)
        except BaseException:
            opening.add_done_callback(self._give_back)
            raise

    async def _open(self) -> AsyncConnection:
        return await self._engine.connect()

    def _give_back(self, opened: asyncio.Task[AsyncConnection]) -> None:
        if not opened.cancelled() and opened.exception() is None:
            self._keep(asyncio.create_task(opened.result().close()))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)


class InTransaction:
    """The host's connection, in the transaction that the host has begun and will end. One call at a time.

    Raises:
        InvalidValue: the connection is in autocommit.
    """

    commits = False

    def __init__(self, connection: Connection) -> None:
        _refuse_autocommit(connection)
        self._connection = connection
        self._lock: Lock = connection.info.setdefault(_LOCK, Lock())

    def run(self, timeout: float, call: Callable[[Connection, float], T]) -> T:
        until = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(0.0, min(timeout, TIMEOUT_MAX))):
            raise not_in_time(timeout)
        try:
            with translated():
                return _called(self._connection, call, until - time.monotonic())
        finally:
            self._lock.release()


class InAsyncTransaction:
    """:class:`InTransaction`, asynchronous.

    A cancelled call cancels its statement, and waits until that has ended and its savepoint is rolled back: the host
    must find its connection idle.

    Raises:
        InvalidValue: the connection is in autocommit.
    """

    commits = False

    def __init__(self, connection: AsyncConnection) -> None:
        opened = connection.sync_connection
        if opened is None:
            raise InvalidValue("the connection is not open yet; await it, or use it in `async with`")
        _refuse_autocommit(opened)
        self._connection = connection
        self._lock: asyncio.Lock = opened.info.setdefault(_ASYNC_LOCK, asyncio.Lock())

    async def run(self, timeout: float, call: Callable[[Connection, float], T]) -> T:
        until = time.monotonic() + timeout
        with connecting(timeout):
            async with asyncio.timeout(timeout):
                await self._lock.acquire()
        try:
            with translated():
                left = until - time.monotonic()
                running = asyncio.create_task(self._connection.run_sync(_called, call, left))
                try:
                    return await asyncio.shield(running)
                except asyncio.CancelledError:
                    await self._ended(running)
                    raise
        finally:
            self._lock.release()

    async def _ended(self, running: asyncio.Task[T]) -> None:
        with suppress(Exception):  # what cannot be cancelled ends at its own time limit, and is waited for
            driver = (await self._connection.get_raw_connection()).driver_connection
            if isinstance(driver, AsyncDriver) and not running.done():
                await driver.cancel_safe(timeout=_SECONDS_TO_CANCEL)
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # looked at: the cancellation is what the caller hears of


def connections(place: Engine | Connection, *, autocommit: bool = False) -> Connections:
    """From an engine, or in the transaction of a connection."""
    return FromEngine(place, autocommit=autocommit) if isinstance(place, Engine) else InTransaction(place)


def async_connections(place: AsyncEngine | AsyncConnection, *, autocommit: bool = False) -> AsyncConnections:
    """:func:`connections`, asynchronous."""
    if isinstance(place, AsyncEngine):
        return FromAsyncEngine(place, autocommit=autocommit)
    return InAsyncTransaction(place)


def _left(until: float, timeout: float) -> float:
    """Of the time for a call, once there is a connection.

    Raises:
        DatabaseTimeout: nothing.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise not_in_time(timeout)
    return left


def _called(connection: Connection, call: Callable[[Connection, float], T], left: float) -> T:
    if not connection.in_transaction():
        connection.begin()  # the host's, who will end it
    return call(connection, left)


def _refuse_autocommit(connection: Connection) -> None:
    if getattr(connection.connection.driver_connection, "autocommit", False):
        raise InvalidValue(_AUTOCOMMIT)
