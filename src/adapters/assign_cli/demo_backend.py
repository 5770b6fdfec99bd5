"""Where the bookings of the demonstration are kept: in memory, or on a PostgreSQL server.

Memory needs nothing but the extra ``cli``, so what a server needs is loaded only when one is wanted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Final

from attrs import frozen

from assign_cli.errors import BadInput
from assign_sim import MemoryHouse, OpenHouse

NO_SERVER: Final = "pass --memory to do without a server"
_DRIVERS: Final = ("psycopg", "sqlalchemy")


@frozen
class Backend:
    """What opens houses for the evening, and what the reader is told about it."""

    name: str
    opens: OpenHouse


def backend(dsn: str | None, *, memory: bool) -> AbstractContextManager[Backend]:
    """Memory; or else the named server, or one of our own that runs until the end of the block.

    Raises:
        BadInput: what a server needs is not installed; entering it: there is none, or it cannot be used.
    """
    if memory:
        return nullcontext(Backend("memory", MemoryHouse))
    for driver in _DRIVERS:
        if find_spec(driver) is None:
            raise BadInput(f"{driver} is not installed; pip install 'assign-core[demo]', or {NO_SERVER}")
    from assign_cli.demo_server import server  # noqa: PLC0415 - needs an extra that memory does not

    return server(dsn)
