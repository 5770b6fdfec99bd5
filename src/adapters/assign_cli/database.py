"""Which database a command means, and how its things are called there.

A connection string may hold a password, and the library that reads it repeats in its errors what it was given. So no
error of its parser is ever shown, and whatever else is said has the password taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

from assign_cli.errors import BadInput

try:
    import psycopg
    from attrs import fields
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from sqlalchemy import Connection, create_engine
    from sqlalchemy.pool import NullPool

    from assign_postgres.migration_files import GROUPS, HOST
    from assign_postgres.names import Names
except ModuleNotFoundError as missing:
    raise BadInput(f"{missing.name} is not installed; pip install 'assign-core[cli,postgres]'") from None

_F = TypeVar("_F", bound=Callable[..., Any])

_EXAMPLE: Final = "postgresql://user@host:5432/database"
_SECONDS_TO_CONNECT: Final = 10
_MEANINGS: Final = {
    "schema": "The schema of the bookings table; assign-core's own tables stand there too.",
    "bookings": "The bookings table.",
    "id": "Its column of identifiers.",
    "status": "Its column of statuses.",
    "start_at": "Its column of starting times.",
    "revision": "Its column that counts modifications.",
    "last_result": "Its column for the last result.",
    "idempotency_key": "Its column for the key of the confirm.",
    "holds": "The table of holds, which assign-core makes.",
    "assignments": "The table of assignments, which assign-core makes.",
}


def _readable(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    return checked_dsn(value) if value else None


def checked_dsn(value: str) -> str:
    """Raises ``BadInput`` for what is no connection string, without repeating it."""
    # SQLAlchemy's way of saying it is taken as well.
    dsn = "postgresql://" + value.partition("://")[2] if value.startswith("postgresql+psycopg://") else value
    try:
        parts = conninfo_to_dict(dsn)
    except (psycopg.Error, ValueError):
        parts = {}
    if not parts:
        raise BadInput(f"--dsn is no PostgreSQL connection string; pass one such as {_EXAMPLE}")
    return dsn


def dsn_option(command: _F) -> _F:
    """The option ``--dsn``; the command gets a connection string that can be parsed, or ``None``."""
    return click.option(
        "--dsn",
        envvar="ASSIGN_CORE_DSN",
        callback=_readable,
        metavar="DSN",
        help=f"Such as {_EXAMPLE}. Default: ASSIGN_CORE_DSN.",
    )(command)


def groups_option(command: _F) -> _F:
    """The repeatable option ``--group``; the command gets ``groups``."""
    return click.option(
        "--group",
        "groups",
        type=click.Choice(GROUPS),
        multiple=True,
        default=(HOST,),
        show_default=True,
        help="Repeatable. host: beside a bookings table that you have. reference: a complete small schema, "
        "with what host makes.",
    )(command)


def names_options(command: _F) -> _F:
    """An option for each name; the command gets them as keywords, for :func:`names_of`."""
    for attribute in reversed(fields(Names)):
        command = click.option(
            f"--{attribute.name.replace('_', '-')}",
            f"name_{attribute.name}",
            default=attribute.default,
            show_default=True,
            metavar="NAME",
            help=_MEANINGS.get(attribute.name, "A name."),
        )(command)
    return command


def names_of(options: dict[str, str]) -> Names:
    """The names that were given.

    Raises:
        BadInput: one that PostgreSQL would not keep.
    """
    try:
        return Names(**{option.removeprefix("name_"): value for option, value in options.items()})
    except ValueError as error:
        raise BadInput(str(error)) from None


@contextmanager
def connected(dsn: str | None) -> Iterator[Connection]:
    """A connection to the database, closed at the end.

    Raises:
        BadInput: none was named, or it cannot be reached.
    """
    if dsn is None:
        raise BadInput(f"no database was named; pass --dsn {_EXAMPLE}, or set ASSIGN_CORE_DSN")
    opened = open_connection(dsn)
    engine = create_engine("postgresql+psycopg://", creator=lambda: opened, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
        opened.close()


def open_connection(dsn: str) -> psycopg.Connection:
    """A new connection of the driver's own.

    Raises:
        BadInput: the database cannot be reached.
    """
    try:
        parts = conninfo_to_dict(dsn)
        parts.setdefault("connect_timeout", _SECONDS_TO_CONNECT)
        # A network that swallows everything is noticed, too.
        parts.setdefault("tcp_user_timeout", _SECONDS_TO_CONNECT * 1000)
        parts.setdefault("fallback_application_name", "assign-core")
        return psycopg.connect(make_conninfo("", **parts))
    except (psycopg.Error, ValueError) as error:
        raise BadInput(f"the database cannot be reached: {_without_password(error, dsn)}; check --dsn") from None


def _without_password(error: Exception, dsn: str) -> str:
    said = " ".join(str(error).split())
    password = conninfo_to_dict(dsn).get("password")
    return said.replace(str(password), "***") if password else said
