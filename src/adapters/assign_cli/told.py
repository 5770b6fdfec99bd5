"""What a row of ``observability_events`` tells of an attempt: the one reader behind every form of that table.

A file, an export or a connection gives each row as texts by column; here it becomes a :class:`Told`, or a
``ValueError`` that says what is wrong with it. Only events that say something of a planner call are read, and of
these only what they say of it: a host's table holds much else, and that is not ours to judge. Names of columns and
keys that differ from one host to another are known by all their spellings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn, TypeVar

from assign_cli.history import Unit, moment_in_recording
from assign_cli.inputs import shown
from assign_core.events import EventName
from assign_core.reasons import ReasonCode

_T = TypeVar("_T")

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name", "event", "event_type"),
    "at": ("at", "created_at", "occurred_at"),
    "booking_id": ("booking_id",),
    "attempt_id": ("attempt_id",),
    "context": ("context",),
}
"""What is read of a row, and how hosts call it."""
REQUIRED: Final = ("name", "at", "context")
"""Without these a table is no ``observability_events``. A booking's id may stand in the context instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a row stands: the line of a file, or the how-manyeth row of a document or table."""

    file: str
    line: int
    unit: Unit = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event, reduced to what it says of an attempt. ``None``: it does not say.

    Attributes:
        success: whether the planner found tables.
        duration_ms: of the planner call; of the deadline, where that ended it.
        number: the attempt's number, 0 for an inline one.
        handed_over: the attempt goes on although its deadline has passed.
    """

    place: Place
    name: EventName
    at: datetime
    booking_id: str
    attempt_id: str | None = None
    success: bool | None = None
    reason: str | None = None
    reason_code: ReasonCode | None = None
    duration_ms: int | None = None
    number: int | None = None
    trigger: str | None = None
    stage: str | None = None
    handed_over: bool = False


_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "success": ("planner_success", "success"),
    "reason": ("planner_error", "planner_reason", "error", "reason"),
    "duration": ("planner_duration_ms", "durationMs", "duration_ms", "deadlineMs"),
    "code": ("planner_reason_code", "reasonCode", "reason_code"),
    "number": ("attempt_index",),
    "trigger": ("trigger",),
    "stage": ("stage",),
    "handed_over": ("handedOver",),
    "booking_id": ("booking_id", "bookingId"),
    "attempt_id": ("attempt_id", "attemptId"),
}
CONFIRMS: Final = frozenset(
    {
        EventName.SUCCEEDED,
        EventName.INLINE_CONFIRM_SUCCEEDED,
        EventName.INLINE_SUCCEEDED,
        EventName.INLINE_LATE_CONFIRM,
    }
)
ANSWERS: Final = frozenset({EventName.QUOTE, EventName.INLINE_QUOTE_RESULT, EventName.INLINE_QUOTE_ERROR})
REFUSALS: Final = frozenset({EventName.INLINE_CONFIRM_FAILED, EventName.INLINE_CONFIRM_OVERLAP})
INTERRUPTIONS: Final = frozenset({EventName.INLINE_TIMEOUT, EventName.INLINE_OPERATION_ABORTED})
RELEVANT: Final = (
    ANSWERS
    | REFUSALS
    | INTERRUPTIONS
    | CONFIRMS
    | {EventName.ATTEMPT, EventName.ATTEMPT_ERROR, EventName.INLINE_NO_HOLD}
)
"""The events that say something of a planner call."""
_LONGEST_MS: Final = 10**9


def told(place: Place, row: Mapping[str, object]) -> Told | None:
    """What a row says; ``None`` if its event says nothing of a planner call.

    Args:
        row: by the names of :data:`COLUMNS`; a context may be an object or the text of one.

    Raises:
        ValueError: the event is one of ours and cannot be read; the message says why.
    """
    name = _name(row.get("name"))
    if name is None:
        return None
    problems: list[str] = []
    context = _read(problems, "context", row.get("context"), _context) or {}

    def of(what: str, reader: Callable[[object], _T | None]) -> _T | None:
        """The first of a key's spellings that says anything."""
        named = next((each for each in _KEYS[what] if context.get(each) is not None), None)
        return None if named is None else _read(problems, f"context key {named!r}", context[named], reader)

    at = _read(problems, "at", row.get("at"), moment_in_recording)
    booking_id = _read(problems, "booking_id", row.get("booking_id"), _id) or of("booking_id", _id)
    attempt_id = _read(problems, "attempt_id", row.get("attempt_id"), _id) or of("attempt_id", _id)
    if booking_id is None and not problems:
        problems.append("booking_id is empty; every event of an attempt needs one")
    reason, code, success = of("reason", _text), of("code", _text), of("success", _flag)
    duration_ms, number = of("duration", _milliseconds), of("number", _count)
    trigger, stage, handed_over = of("trigger", _text), of("stage", _text), of("handed_over", _flag)
    if name in ANSWERS and success is None and not problems:
        success = _whether_found(name, context, reason or code)
        if success is None:
            problems.append("context says neither whether the planner found tables nor why not")
    if problems or booking_id is None or at is None:
        raise ValueError("; ".join(problems))
    return Told(
        place=place,
        name=name,
        at=at,
        booking_id=booking_id,
        attempt_id=attempt_id,
        success=success,
        # A host with codes of its own and no prose: its code is the text to be classified.
        reason=reason if reason is not None else code,
        reason_code=ReasonCode(code) if code in _CODES else None,
        duration_ms=duration_ms,
        number=number,
        trigger=trigger,
        stage=stage,
        handed_over=bool(handed_over),
    )


_CODES: Final = frozenset(ReasonCode)


def _read(problems: list[str], what: str, value: object, reader: Callable[[object], _T]) -> _T | None:
    """``None``, and a problem more, if it cannot be read."""
    try:
        return reader(value)
    except ValueError as error:
        problems.append(f"{what} {error}")
        return None


def _whether_found(name: EventName, context: Mapping[str, object], why_not: str | None) -> bool | None:
    """Of an answer that does not say so itself. A host that names reasons only names one for every failure."""
    if name is EventName.INLINE_QUOTE_ERROR or why_not:
        return False
    return True if any(each in context for each in (*_KEYS["reason"], *_KEYS["code"])) else None


def columns_of(present: Sequence[str]) -> dict[str, str]:
    """Which of the columns that are ``present`` holds what; by the names of :data:`COLUMNS`.

    Raises:
        ValueError: one is missing that every such table has.
    """
    found = {}
    for wanted, spellings in COLUMNS.items():
        column = next((each for each in spellings if each in present), None)
        if column is not None:
            found[wanted] = column
        elif wanted in REQUIRED:
            raise ValueError(f"there is no column {' or '.join(map(repr, spellings))}")
    return found


# Readers of one value. Each returns it, or raises ValueError with the predicate of a sentence.


def _name(value: object) -> EventName | None:
    return next((each for each in RELEVANT if each == value), None) if isinstance(value, str) else None


def _context(value: object) -> Mapping[str, object]:
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is {shown(value)}, which is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"is {shown(value)}; expected a JSON object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it says {name}")


def _id(value: object) -> str | None:
    # Some hosts' bookings are numbered.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    found = _text(value)
    return found if found and found.strip() else None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise ValueError(f"is {shown(value)}; expected a text")


def _flag(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"is {shown(value)}; expected true or false")


def _count(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError(f"is {shown(value)}; expected a whole number from 0")


def _milliseconds(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_MS:
        raise ValueError(f"is {shown(value)}; expected milliseconds from 0 to {_LONGEST_MS}")
    return round(value) if math.isfinite(value) else None
