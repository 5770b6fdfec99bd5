"""Why an attempt failed, and what that says about the next one.

Planners report failures as free text: prose, constraint names, class names of wrappers around the real cause.
What may change the outcome (time, freed seats, another plan, nothing) depends on the *cause*, so one ordered
table maps text to a reason code, and each code belongs to one failure class. The order of the table is its
logic: codes beat prose (a code was chosen on purpose), causes beat wrappers (the name of the class that carried
a message says nothing about the message), and the database's own trouble beats what it interrupted ("No table
lock acquired" is about the lock, not about tables). Whatever matches nothing is *ambiguous*: an unknown
outcome is never dressed up as a known one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from assign_core.word import Word


class FailureClass(Word):
    """What may change the outcome of the next attempt."""

    PERMANENT = "permanent"
    """Only a changed booking or configuration."""
    REJECTED = "rejected"
    """Another plan: this one broke a rule at confirm."""
    CAPACITY = "capacity"
    """Only freed seats."""
    CONTENTION = "contention"
    """A known or short time: somebody else was faster, or holds the seats."""
    INFRASTRUCTURE = "infrastructure"
    """Recovery of the planner or the database."""
    AMBIGUOUS = "ambiguous"
    """Unknown: ask the booking's row first."""


class ReasonCode(Word):
    """A failure's cause, stable across versions; stored as ``reasonCode``."""

    NO_TABLES_AVAILABLE = "no_tables_available"
    NO_CAPACITY = "no_capacity"
    FILTERED_CAPACITY = "filtered_capacity"
    MAX_TABLES = "max_tables"

    PARTY_TOO_LARGE = "party_too_large"
    SERVICE_OVERRUN = "service_overrun"
    OUTSIDE_SERVICE = "outside_service"
    BOOKING_NOT_FOUND = "booking_not_found"

    TABLES_NOT_MOVABLE = "tables_not_movable"
    TABLES_NOT_ADJACENT = "tables_not_adjacent"
    ZONE_LOCKED = "zone_locked"

    HOLD_CONFLICT = "hold_conflict"
    OVERLAP = "overlap"

    LOCK_TIMEOUT = "lock_timeout"
    DEADLOCK = "deadlock"
    SERIALIZATION_FAILURE = "serialization_failure"
    REPOSITORY_FAILURE = "repository_failure"
    NETWORK_FAILURE = "network_failure"
    RATE_LIMITED = "rate_limited"
    DATABASE_ERROR = "database_error"

    TIMEOUT = "timeout"
    ABORTED = "aborted"
    ATTEMPT_LOST = "attempt_lost"
    EVALUATION_LIMIT = "evaluation_limit"
    HOLD_NOT_FOUND = "hold_not_found"
    BOOKING_CHANGED = "booking_changed"
    DUPLICATE_REQUEST = "duplicate_request"
    UNKNOWN = "unknown"


_CLASSES: Final[dict[FailureClass, tuple[ReasonCode, ...]]] = {
    FailureClass.CAPACITY: (
        ReasonCode.NO_TABLES_AVAILABLE,
        ReasonCode.NO_CAPACITY,
        ReasonCode.FILTERED_CAPACITY,
        ReasonCode.MAX_TABLES,
    ),
    FailureClass.PERMANENT: (
        ReasonCode.PARTY_TOO_LARGE,
        ReasonCode.SERVICE_OVERRUN,
        ReasonCode.OUTSIDE_SERVICE,
        ReasonCode.BOOKING_NOT_FOUND,
    ),
    FailureClass.REJECTED: (ReasonCode.TABLES_NOT_MOVABLE, ReasonCode.TABLES_NOT_ADJACENT, ReasonCode.ZONE_LOCKED),
    FailureClass.CONTENTION: (ReasonCode.HOLD_CONFLICT, ReasonCode.OVERLAP),
    FailureClass.INFRASTRUCTURE: (
        ReasonCode.LOCK_TIMEOUT,
        ReasonCode.DEADLOCK,
        ReasonCode.SERIALIZATION_FAILURE,
        ReasonCode.REPOSITORY_FAILURE,
        ReasonCode.NETWORK_FAILURE,
        ReasonCode.RATE_LIMITED,
        ReasonCode.DATABASE_ERROR,
    ),
    FailureClass.AMBIGUOUS: (
        ReasonCode.TIMEOUT,
        ReasonCode.ABORTED,
        ReasonCode.ATTEMPT_LOST,
        ReasonCode.EVALUATION_LIMIT,
        ReasonCode.HOLD_NOT_FOUND,
        ReasonCode.BOOKING_CHANGED,
        ReasonCode.DUPLICATE_REQUEST,
        ReasonCode.UNKNOWN,
    ),
}

CLASS_OF: Final[dict[ReasonCode, FailureClass]] = {
    code: failure_class for failure_class, codes in _CLASSES.items() for code in codes
}
"""The failure class of every reason code."""


class Classification(NamedTuple):
    """A reason, classified."""

    code: ReasonCode
    failure_class: FailureClass


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """One row of the table: a text that ``pattern`` finds has this ``code``.

    ``kind`` says why the row stands where it does. A *code* row is matched with case, as a whole word. *Cause* and
    *wrapper* rows are prose, looked for in the text's lower case; wrappers come last, when no cause was found inside
    them. No pattern repeats anything without a bound, or a crafted text would cost the square of its length.
    """

    kind: Literal["code", "cause", "wrapper"]
    pattern: str
    code: ReasonCode


def _code(tokens: str, code: ReasonCode) -> ReasonRule:
    return ReasonRule("code", rf"(?<![\w-])(?:{tokens})(?![\w-])", code)


def _sqlstate(digits: str, code: ReasonCode) -> ReasonRule:
    """A code of digits only may also be a number, so it has to be introduced as a code or to begin the text."""
    return ReasonRule(
        "code", rf"(?:^|SQLSTATE\W{{0,3}}|\bcode\W{{0,4}}|ERROR:\s{{0,3}}|[\[(])(?:{digits})(?![\w-])", code
    )


def _cause(pattern: str, code: ReasonCode) -> ReasonRule:
    return ReasonRule("cause", pattern, code)


REASON_RULES: Final[tuple[ReasonRule, ...]] = (
    # Codes that a planner, or PostgreSQL (the standard's SQLSTATE), chose on purpose.
    _code("BOOKING_NOT_FOUND", ReasonCode.BOOKING_NOT_FOUND),
    _code("HOLD_RATE_LIMIT", ReasonCode.RATE_LIMITED),
    _code("INLINE_TIMEOUT|JOB_TIMEOUT", ReasonCode.TIMEOUT),
    _code("ATTEMPT_LOST", ReasonCode.ATTEMPT_LOST),
    _code("BOOKING_CHANGED", ReasonCode.BOOKING_CHANGED),
    _code("40P01", ReasonCode.DEADLOCK),
    _sqlstate("40001", ReasonCode.SERIALIZATION_FAILURE),
    _code("55P03", ReasonCode.LOCK_TIMEOUT),
    _code("23P01", ReasonCode.OVERLAP),
    _sqlstate("57014", ReasonCode.TIMEOUT),
    _code("ECONNREFUSED|ECONNRESET|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH", ReasonCode.NETWORK_FAILURE),
    # Of a uniqueness violation the constraint's name is the code.
    ReasonRule(
        "code", r"unique constraint \S{0,130}idempotency.{0,400}SQLSTATE\W{0,3}23505", ReasonCode.DUPLICATE_REQUEST
    ),
    _code(r"SQLSTATE\W{0,3}(?:08[0-9A-Z]{3}|57P0[1-4])", ReasonCode.NETWORK_FAILURE),
    # A code that nobody here knows is still a code: the text beside it may say anything.
    _code(r"SQLSTATE\W{0,3}[0-9A-Z]{5}", ReasonCode.DATABASE_ERROR),
    # The database's own trouble, before the work that it interrupted.
    _cause(r"\bdeadlock", ReasonCode.DEADLOCK),
    _cause(r"could not serialize access|serialization failure", ReasonCode.SERIALIZATION_FAILURE),
    _cause(
        r"\block wait timeout|\block timeout|lock not available|could not obtain lock|\bno table lock",
        ReasonCode.LOCK_TIMEOUT,
    ),
    # Other constraints are errors of the program, whatever their names contain.
    _cause(r"violates unique constraint \S{0,130}idempotency", ReasonCode.DUPLICATE_REQUEST),
    _cause(r"violates (?:check|foreign key|not-null|unique) constraint", ReasonCode.DATABASE_ERROR),
    # Somebody else was faster, as only an exclusion constraint can say.
    _cause(r"violates exclusion constraint|(?:allocations?|assignments?)_(?:no_)?overlap", ReasonCode.OVERLAP),
    _cause(r"no_overlapping_", ReasonCode.OVERLAP),
    _cause(r"\bhold conflicts?\b", ReasonCode.HOLD_CONFLICT),
    _cause(r"repository failure", ReasonCode.REPOSITORY_FAILURE),
    _cause(
        r"fetch failed|connection (?:refused|reset|closed|terminated|timed out|is lost)|could not connect"
        r"|server closed the connection|terminating connection|too many (?:connections|clients)\b"
        r"|network (?:error|is unreachable)",
        ReasonCode.NETWORK_FAILURE,
    ),
    _cause(r"\brate limit(?:ed)?\b|too many requests", ReasonCode.RATE_LIMITED),
    # This plan was refused; another may pass.
    _cause(r"require(?:s)? movable tables?|\bnot movable\b|\bimmovable\b", ReasonCode.TABLES_NOT_MOVABLE),
    _cause(r"locked to zone|cannot assign zone|assignments in a different zone", ReasonCode.ZONE_LOCKED),
    _cause(r"\bnot adjacent\b|\bnon-adjacent\b", ReasonCode.TABLES_NOT_ADJACENT),
    # Nothing but another booking or another configuration helps.
    _cause(r"insufficient global capacity", ReasonCode.PARTY_TOO_LARGE),
    _cause(
        r"\b(?:would overrun|(?:reservation|booking|seating|party|meal) overruns?)\b.{0,60}\bservice\b",
        ReasonCode.SERVICE_OVERRUN,
    ),
    _cause(r"outside (?:of )?service hours|outside (?:of )?opening hours", ReasonCode.OUTSIDE_SERVICE),
    _cause(r"\bbooking not found\b", ReasonCode.BOOKING_NOT_FOUND),
    # No seats. The nouns are spelled out: "no table lock" and "no table assignments" are about something else.
    _cause(
        r"\bno (?:suitable |free |eligible |adjacent )?(?:tables?|table combinations?) (?:is |are )?"
        r"(?:available|free|found|fits?)\b",
        ReasonCode.NO_TABLES_AVAILABLE,
    ),
    _cause(
        r"\bno (?:suitable|available) (?:tables?|table combinations?)\b(?! (?:locks?|holds?|assignments?)\b)",
        ReasonCode.NO_TABLES_AVAILABLE,
    ),
    _cause(r"insufficient filtered capacity", ReasonCode.FILTERED_CAPACITY),
    _cause(r"\b(?:no|not enough|insufficient) (?:remaining )?capacity\b", ReasonCode.NO_CAPACITY),
    _cause(r"unable to satisfy max(?:imum)? tables", ReasonCode.MAX_TABLES),
    # The outcome is unknown.
    _cause(r"evaluation limit", ReasonCode.EVALUATION_LIMIT),
    _cause(r"holdnotfound|hold (?:was )?not found|hold (?:has )?expired", ReasonCode.HOLD_NOT_FOUND),
    _cause(r"statement timeout|\btimed out\b|\btime-?out\b", ReasonCode.TIMEOUT),
    # Names of carriers, heard only when nothing was found inside them.
    ReasonRule("wrapper", r"aborterror|\babort(?:ed)?\b|cancellederror|\bcancell?ed\b", ReasonCode.ABORTED),
    ReasonRule("wrapper", r"timeouterror|deadlineexceeded", ReasonCode.TIMEOUT),
    ReasonRule("wrapper", r"connection(?:\w{1,20})?error|operationalerror|interfaceerror", ReasonCode.NETWORK_FAILURE),
    ReasonRule(
        "wrapper",
        r"databaseerror|integrityerror|programmingerror|internalerror|dataerror",
        ReasonCode.DATABASE_ERROR,
    ),
)
"""The table, in order: the first row that matches decides."""

_CODES: Final = tuple((re.compile(rule.pattern).search, rule.code) for rule in REASON_RULES if rule.kind == "code")
_PROSE: Final = tuple((re.compile(rule.pattern).search, rule.code) for rule in REASON_RULES if rule.kind != "code")
_MAY_HOLD_A_CODE: Final = re.compile("[A-Z0-9]{5}").search
"""What every code has and prose seldom has: most texts need not be searched for each of them."""
_BY_VALUE: Final = {code.value: code for code in ReasonCode}
_UNKNOWN: Final = Classification(ReasonCode.UNKNOWN, FailureClass.AMBIGUOUS)

LONGEST_REASON_READ: Final = 2048
"""Characters of a text that are looked at. The cause of a failure stands in its first lines, and a megabyte of
stack trace must not cost a request its deadline."""


def classify_reason(text: str | None) -> Classification:
    """The code and class of a planner's free-text reason. Total: anything unknown is ambiguous.

    A text that *is* a reason code's value (``"hold_conflict"``) is that code.

    >>> classify_reason("No table lock acquired: lock wait timeout").failure_class.value
    'infrastructure'
    """
    if not isinstance(text, str):
        return _UNKNOWN
    text = text[:LONGEST_REASON_READ].strip()
    if not text:
        return _UNKNOWN
    code = _BY_VALUE.get(text)
    if code is None:
        code = _found(_CODES, text) if _MAY_HOLD_A_CODE(text) else None
        # Without flags the search engine may look for a pattern's first letters, which is several times faster.
        code = _found(_PROSE, text.lower()) if code is None else code
        if code is None:
            return _UNKNOWN
    return Classification(code, CLASS_OF[code])


def _found(rows: tuple[tuple[Callable[[str], object], ReasonCode], ...], text: str) -> ReasonCode | None:
    for search, code in rows:
        if search(text):
            return code
    return None


LONGEST_LINK: Final = 400
"""Characters of each message in a chain of exceptions. Wrappers like to quote the request that failed, and the cause
must still be within what is read and stored."""
_LONGEST_CHAIN: Final = 16


def reason_of(error: BaseException) -> str:
    """An exception as a reason text: its class, its message and those of its causes, innermost last.

    The classes are *wrappers* to :func:`classify_reason`, so the message of a cause decides where there is one. The
    members of an exception group are causes too.
    """
    parts: list[str] = []
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting and len(parts) < _LONGEST_CHAIN:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        try:
            message = str(link).strip()[:LONGEST_LINK]
        except Exception:  # noqa: BLE001 - a foreign exception's __str__ may fail; its class still says something
            message = ""
        name = type(link).__name__
        parts.append(f"{name}: {message}" if message else name)
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
        if link.__cause__ is not None:
            waiting.append(link.__cause__)
        elif link.__context__ is not None and not link.__suppress_context__:
            waiting.append(link.__context__)
    return " <- ".join(parts)
