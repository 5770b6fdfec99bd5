"""The time that is left, told to the server ahead of a statement and in the same round trip.

``statement_timeout`` is armed when a statement begins, so what the statement itself sets comes too late for it. The
settings therefore go ahead as a statement of their own. In psycopg's pipeline mode both travel together and, outside
a transaction, are one: the settings end with it, and the next user of the connection does not meet them.

SQLAlchemy keeps its own way of executing, with its events and its errors. It is only lent another cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from psycopg import AsyncConnection, AsyncCursor, Cursor
from psycopg import Connection as BlockingConnection
from psycopg.abc import Params
from sqlalchemy import Connection

from assign_core.errors import InvalidValue

_SETTINGS: Final = b"SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)"
_LONGEST: Final = 2**31 - 1
"""Milliseconds; PostgreSQL's own limit."""


def patience(timeout: float) -> tuple[str, str]:
    """The seconds left, as ``lock_timeout`` and ``statement_timeout``.

    A lock is waited for a tenth less: where time runs out waiting for one, the server then says so.

    Raises:
        TimeoutError: none are left. To PostgreSQL, 0 would mean for ever.
    """
    if timeout <= 0:
        raise TimeoutError(f"no time is left ({timeout:.3f} s); nothing was read or written")
    left = max(1, min(int(timeout * 1000), _LONGEST))
    return f"{max(1, left * 9 // 10)}ms", f"{left}ms"


@contextmanager
def patient(connection: Connection, timeout: float) -> Iterator[None]:
    """Each statement that is executed meanwhile has ``timeout`` seconds.

    Raises:
        TimeoutError: none are left.
        InvalidValue: the connection's driver is not psycopg 3.
    """
    settings = patience(timeout)
    driver: object = connection.connection.driver_connection
    match driver:
        case BlockingConnection():
            made: Any = lambda of, **options: _PatientCursor(of, settings, **options)  # noqa: E731 - one of two
        case AsyncConnection():
            made = lambda of, **options: _AsyncPatientCursor(of, settings, **options)  # noqa: E731 - the other
        case _:
            raise InvalidValue(f"the engine's driver is {type(driver).__module__}; create it for postgresql+psycopg")
    former = driver.cursor_factory
    driver.cursor_factory = made
    try:
        yield
    finally:
        driver.cursor_factory = former


class _PatientCursor(Cursor[Any]):
    """A cursor whose statements are bounded."""

    def __init__(self, connection: BlockingConnection[Any], settings: Sequence[str], **options: Any) -> None:
        super().__init__(connection, **options)
        self._settings = settings

    def execute(self, query: Any, params: Params | None = None, **options: Any) -> Self:
        with self.connection.pipeline():
            Cursor(self.connection).execute(_SETTINGS, self._settings)
            super().execute(query, params, **options)
        return self


class _AsyncPatientCursor(AsyncCursor[Any]):
    """:class:`_PatientCursor`, asynchronous."""

    def __init__(self, connection: AsyncConnection[Any], settings: Sequence[str], **options: Any) -> None:
        super().__init__(connection, **options)
        self._settings = settings

    async def execute(self, query: Any, params: Params | None = None, **options: Any) -> Self:
        async with self.connection.pipeline():
            await AsyncCursor(self.connection).execute(_SETTINGS, self._settings)
            await super().execute(query, params, **options)
        return self
