"""The PostgreSQL server of the demonstration: its own, or one that is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from sqlalchemy import create_engine, text

from assign_cli.database import checked_dsn, open_connection
from assign_cli.demo_backend import NO_SERVER, Backend
from assign_cli.errors import BadInput, Refusal
from assign_cli.postgres_house import postgres_houses
from assign_postgres import DatabaseFailure
from assign_postgres.embedded import EmbeddedServerError, embedded_server
from assign_postgres.migrate import MigrationError

_OLDEST: Final = 15
_PATIENCE: Final = 10
"""Seconds that anybody waits for a connection."""
_SETTINGS: Final = {"shared_buffers": "64MB", "max_connections": "20"}


@contextmanager
def server(dsn: str | None) -> Iterator[Backend]:
    """The named server, or one of our own that ends with the block.

    Raises:
        BadInput: none could be started, or the named one cannot be reached or is too old.
        Refusal: the server failed.
    """
    with ExitStack() as leaving:
        if dsn is None:
            try:
                where = leaving.enter_context(embedded_server(settings=_SETTINGS))
            except EmbeddedServerError as error:
                raise BadInput(
                    f"no PostgreSQL server could be started: {error}; "
                    f"name a running one with --dsn or ASSIGN_CORE_DSN, or {NO_SERVER}"
                ) from None
        else:
            where = checked_dsn(dsn)
        engine = create_engine("postgresql+psycopg://", creator=partial(open_connection, where), pool_timeout=_PATIENCE)
        leaving.callback(engine.dispose)
        with engine.connect() as connection:
            version = str(connection.scalar(text("SHOW server_version"))).split()[0]
        if int(version.partition(".")[0]) < _OLDEST:
            raise BadInput(
                f"the server is PostgreSQL {version}; name one of version {_OLDEST} or newer, or {NO_SERVER}"
            )
        try:
            with postgres_houses(engine) as opens:
                yield Backend(f"PostgreSQL {version}" + (" (embedded)" if dsn is None else ""), opens)
        except (DatabaseFailure, MigrationError) as error:
            raise Refusal(f"the evening could not be finished: {error}") from None
