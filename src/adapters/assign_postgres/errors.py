"""What a database error means: by its SQLSTATE, never by the look of its text.

Only an exclusion violation says that somebody else was faster. An error that this table does not know is
*infrastructure*: it is never dressed up as a conflict, which would be retried as if time could mend it.
"""

from __future__ import annotations

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


class DatabaseFailure(AssignError):
    """The database did not do what it was asked. Says what, and the remedy where one is known."""


class DatabaseTimeout(DatabaseFailure, TimeoutError):
    """A lock or a statement took longer than the time that was left; nothing was written."""


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


def failure(error: DBAPIError) -> DatabaseFailure:
    """The error for the host: one line, without the statement and its values."""
    state = sqlstate(error)
    said = str(error.orig).strip().splitlines()
    first = said[0][:_LONGEST_SAID] if said else type(error.orig).__name__
    code = reason_code(error)
    if code in {ReasonCode.LOCK_TIMEOUT, ReasonCode.TIMEOUT}:
        return DatabaseTimeout(f"{first} (SQLSTATE {state}); nothing was written")
    if state in _MISSING:
        return DatabaseFailure(
            f"{first} (SQLSTATE {state}): the {_MISSING[state]} is missing; "
            "run `assign-core migrate`, or `assign-core verify` to see what else is"
        )
    if state in _MISSHAPEN:
        return DatabaseFailure(f"{first} (SQLSTATE {state}): run `assign-core verify` to see what has the wrong shape")
    if code is ReasonCode.NETWORK_FAILURE:
        return DatabaseFailure(f"connection is lost: {first}; check the server and the DSN")
    return DatabaseFailure(f"{first} (SQLSTATE {state})")


@contextmanager
def translated() -> Iterator[None]:
    """Database errors inside become the host's.

    Raises:
        DatabaseFailure: see :func:`failure`.
    """
    try:
        yield
    except DBAPIError as error:
        raise failure(error) from error
    except PendingRollbackError as error:
        raise DatabaseFailure("the host's transaction has failed earlier and cannot go on; roll it back") from error
    except PoolTimeout as error:
        raise DatabaseTimeout("no connection became free in time; enlarge the engine's pool") from error
