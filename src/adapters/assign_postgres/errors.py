"""What a database error means: by its SQLSTATE, never by the look of its text.

Only an exclusion violation says that somebody else was faster. An error that this table does not know is
*infrastructure*: it is never dressed up as a conflict, which would be retried as if time could mend it.

What the host gets is one line. The errors of driver and SQLAlchemy quote the statement, its values and the row that was
refused. Whoever reads a chain of causes, as the core does for an attempt's reason, would store a guest's address in the
booking's result and in the events. So the chain ends here: a failure has no cause, but SQLSTATE and constraint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from assign_core.errors import AssignError
from assign_core.reasons import ReasonCode

_CODES: Final[dict[str, ReasonCode]] = {
    "23P01": ReasonCode.OVERLAP,
    "40P01": ReasonCode.DEADLOCK,
    "40001": ReasonCode.SERIALIZATION_FAILURE,
    "55P03": ReasonCode.LOCK_TIMEOUT,
    "57014": ReasonCode.TIMEOUT,
}
_CLASSES: Final[dict[str, ReasonCode]] = {"08": ReasonCode.NETWORK_FAILURE, "57": ReasonCode.NETWORK_FAILURE}
_LONGEST_SAID: Final = 300
"""Characters of the server's words. The code behind them must be within what is read of a failure."""
_MISSHAPEN: Final = {"42804", "42846", "42P18", "42P10"}
_MISSING: Final = {"42P01": "table", "42703": "column", "42883": "function", "3F000": "schema"}
_NO_OPERATOR: Final = "op_error"
"""The server's function that says so. To SQLSTATE 42883 an operator is a function, too."""
_BAD_DATA: Final = "22"
"""The class of SQLSTATE whose messages quote the value that could not be taken."""
_NONE_FREE: Final = "could not connect: no connection became free in time; enlarge the engine's pool"
_FAILED_EARLIER: Final = "the host's transaction has failed earlier and cannot go on (SQLSTATE 25P02); roll it back"
_EXAMPLE: Final = "postgresql+psycopg://user@host:5432/database"


class DatabaseFailure(AssignError):
    """The database did not do what it was asked. Says what, and the remedy where one is known.

    Attributes:
        sqlstate: the server's code; ``None``: it was not reached, or went away.
        constraint: the name of the constraint that was violated, if one was.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None, constraint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.constraint = constraint


class ConnectionLost(DatabaseFailure):
    """There is no connection to the database, or there was one and it is gone."""


class DatabaseTimeout(DatabaseFailure, TimeoutError):
    """A connection, a lock or a statement took longer than the time that was left; nothing was written."""


def sqlstate(error: DBAPIError) -> str | None:
    """The five characters; ``None`` when the server was not reached or went away."""
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None


def reason_code(error: DBAPIError) -> ReasonCode:
    """The cause of a database error."""
    state = sqlstate(error)
    if state is None:
        # The driver's own: it lost the server, or would not send what it was given.
        gone = error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
        return ReasonCode.NETWORK_FAILURE if gone else ReasonCode.DATABASE_ERROR
    return _CODES.get(state) or _CLASSES.get(state[:2]) or ReasonCode.DATABASE_ERROR


def said(error: DBAPIError) -> str:
    """The first line of what the server or the driver says. What follows it quotes the row."""
    lines = str(error.orig).strip().splitlines()
    first = lines[0] if lines else type(error.orig).__name__
    if (sqlstate(error) or "").startswith(_BAD_DATA):
        first = re.sub(r'".*"', '"…"', first)
    return first[:_LONGEST_SAID]


def failure(error: DBAPIError) -> DatabaseFailure:
    """The error for the host: one line, without the statement and its values. Raise it ``from None``."""
    state, first, code = sqlstate(error), said(error), reason_code(error)
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if code in {ReasonCode.LOCK_TIMEOUT, ReasonCode.TIMEOUT}:
        return DatabaseTimeout(f"{first} (SQLSTATE {state}); nothing was written", sqlstate=state)
    if getattr(getattr(error.orig, "diag", None), "source_function", None) == _NO_OPERATOR:
        return DatabaseFailure(
            f"{first} (SQLSTATE {state}): a value or a column has another type than its place; pass ids as str, "
            "and run `assign-core verify` to see whether a column has the wrong shape",
            sqlstate=state,
        )
    if state in _MISSING:
        return DatabaseFailure(
            f"{first} (SQLSTATE {state}): the {_MISSING[state]} is missing; "
            "run `assign-core migrate`, or `assign-core verify` to see what else is",
            sqlstate=state,
        )
    if state in _MISSHAPEN:
        return DatabaseFailure(
            f"{first} (SQLSTATE {state}): run `assign-core verify` to see what has the wrong shape", sqlstate=state
        )
    if code is ReasonCode.NETWORK_FAILURE:
        return ConnectionLost(f"connection is lost: {first}; check the server and the DSN", sqlstate=state)
    if state is None:
        return DatabaseFailure(f"{first} (the driver's {type(error).__name__})")
    return DatabaseFailure(f"{first} (SQLSTATE {state})", sqlstate=state, constraint=constraint)


def unreached(error: DBAPIError) -> DatabaseFailure:
    """The error for the host when there was no connection yet."""
    if reason_code(error) is ReasonCode.DATABASE_ERROR and sqlstate(error) is None:
        # The driver repeats what it cannot read, and that may be a password.
        return ConnectionLost(f"could not connect: the DSN cannot be read; pass one such as {_EXAMPLE}")
    return ConnectionLost(f"could not connect: {said(error)}; check the server and the DSN", sqlstate=sqlstate(error))


def not_in_time(timeout: float) -> DatabaseTimeout:
    """The error for the host when there was no connection by then."""
    return DatabaseTimeout(
        f"could not connect within {max(timeout, 0):.3f} s; nothing was written; see to the server and the pool"
    )


@contextmanager
def connecting(timeout: float) -> Iterator[None]:
    """Errors on the way to a connection become the host's.

    Raises:
        ConnectionLost: see :func:`unreached`.
        DatabaseTimeout: none became free in time.
    """
    try:
        yield
    except DBAPIError as error:
        raise unreached(error) from None
    except PoolTimeout:
        raise DatabaseTimeout(_NONE_FREE) from None
    except TimeoutError:
        raise not_in_time(timeout) from None


@contextmanager
def translated() -> Iterator[None]:
    """Database errors inside become the host's.

    Raises:
        DatabaseFailure: see :func:`failure`.
    """
    try:
        yield
    except DBAPIError as error:
        raise failure(error) from None
    except PoolTimeout:
        raise DatabaseTimeout(_NONE_FREE) from None
    except PendingRollbackError:
        raise DatabaseFailure(_FAILED_EARLIER, sqlstate="25P02") from None
