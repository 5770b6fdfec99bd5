"""Telemetry events as values: their names, severities and context keys, in one table.

Dashboards and alerts are built on names and keys, so both are data here and each event has one meaning: a cutoff is
not also a failure, and a finished job has exactly one summary. Events say what happened; they are handed to the
telemetry port after the fact, and nothing waits for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from assign_core.errors import InvalidValue
from assign_core.reasons import Classification, FailureClass
from assign_core.word import Word

Scalar = str | int | float | bool | None
Context = Mapping[str, "Scalar | Mapping[str, Scalar]"]
"""What an event carries: plain JSON, one level deep but for the strategy."""


class Severity(Word):
    """What a store of events has to admit; nothing else is ever emitted."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class EventName(Word):
    """Every event there is."""

    QUOTE = "auto_assign.quote"
    STARTED = "auto_assign.started"
    ATTEMPT = "auto_assign.attempt"
    ATTEMPT_ERROR = "auto_assign.attempt_error"
    ATTEMPT_LOST = "auto_assign.attempt_lost"
    INLINE_SKIP_ATTEMPT = "auto_assign.inline_skip_attempt"
    INLINE_TIMEOUT_ADJUSTMENT = "auto_assign.inline_timeout_adjustment"
    HARD_STOP = "auto_assign.hard_stop"
    CUTOFF_SKIPPED = "auto_assign.cutoff_skipped"
    EXITED_ALREADY_CONFIRMED = "auto_assign.exited_already_confirmed"
    SUCCEEDED = "auto_assign.succeeded"
    FAILED = "auto_assign.failed"
    SUMMARY = "auto_assign.summary"
    UNREADABLE_RESULT = "auto_assign.unreadable_result"
    CAPACITY_CHANGE_MISSED = "auto_assign.capacity_change_missed"
    EMAIL_ERROR = "auto_assign.email_error"
    TELEMETRY_DROPPED = "auto_assign.telemetry_dropped"

    INLINE_QUOTE_RESULT = "inline_auto_assign.quote_result"
    INLINE_QUOTE_ERROR = "inline_auto_assign.quote_error"
    INLINE_NO_HOLD = "inline_auto_assign.no_hold"
    INLINE_CONFIRM_SUCCEEDED = "inline_auto_assign.confirm_succeeded"
    INLINE_CONFIRM_FAILED = "inline_auto_assign.confirm_failed"
    INLINE_CONFIRM_OVERLAP = "inline_auto_assign.confirm_overlap"
    INLINE_TIMEOUT = "inline_auto_assign.timeout"
    INLINE_OPERATION_ABORTED = "inline_auto_assign.operation_aborted"
    INLINE_SUCCEEDED = "inline_auto_assign.succeeded"
    INLINE_LATE_CONFIRM = "inline_auto_assign.late_confirm"


class JobResult(Word):
    """How a finished job ended, as its summary says."""

    SUCCEEDED = "succeeded"
    CUTOFF = "cutoff"
    ALREADY_CONFIRMED = "already_confirmed"
    EXHAUSTED = "exhausted"
    ERROR = "error"
    PARKED = "parked"
    NOT_ACTIONABLE = "not_actionable"


class ReasonCategory(Word):
    """The three words that dashboards know for a failure class."""

    HARD = "hard"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


_CATEGORIES: Final = {
    FailureClass.PERMANENT: ReasonCategory.HARD,
    FailureClass.CAPACITY: ReasonCategory.HARD,
    FailureClass.REJECTED: ReasonCategory.HARD,
    FailureClass.CONTENTION: ReasonCategory.TRANSIENT,
    FailureClass.INFRASTRUCTURE: ReasonCategory.TRANSIENT,
    FailureClass.AMBIGUOUS: ReasonCategory.UNKNOWN,
}


def category_of(found: Classification | None) -> ReasonCategory | None:
    """*Hard*: the same search now gives the same answer. *Transient*: time may mend it. Else *unknown*."""
    return None if found is None else _CATEGORIES[found.failure_class]


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A row of the catalogue."""

    severity: Severity
    meaning: str
    keys: tuple[str, ...]


_QUOTE_KEYS: Final = (
    "planner_duration_ms",
    "planner_success",
    "planner_reason",
    "planner_reason_code",
    "planner_reason_category",
    "planner_strategy",
    "trigger",
    "attempt_index",
    "planner_error",
    "planner_internal",
)
_REASON_KEYS: Final = ("reason", "reasonCode", "trigger")

CATALOGUE: Final[Mapping[EventName, EventSpec]] = MappingProxyType(
    {
        EventName.QUOTE: EventSpec(Severity.INFO, "the planner was called, and this is what it said", _QUOTE_KEYS),
        EventName.STARTED: EventSpec(Severity.INFO, "a job looks at a booking", ("trigger", "rules")),
        EventName.ATTEMPT: EventSpec(
            Severity.INFO, "a job's attempt begins", ("attempt", "maxAttempts", "trigger", "rules")
        ),
        EventName.ATTEMPT_ERROR: EventSpec(
            Severity.WARNING, "a job's attempt ended without a confirm", ("attempt", "stage", *_REASON_KEYS)
        ),
        EventName.ATTEMPT_LOST: EventSpec(
            Severity.WARNING,
            "an earlier attempt's process died before it could record anything",
            ("lost_attempt_id", "source", "taken_at"),
        ),
        EventName.INLINE_SKIP_ATTEMPT: EventSpec(
            Severity.INFO,
            "the inline attempt's finding puts the job's first attempt off",
            (
                "inline_attempt_id",
                "reason",
                "reasonCode",
                "previousMaxAttempts",
                "nextMaxAttempts",
                "notBefore",
                "trigger",
            ),
        ),
        EventName.INLINE_TIMEOUT_ADJUSTMENT: EventSpec(
            Severity.INFO,
            "the inline attempt timed out, so the job's budget is that of an unknown outcome",
            ("inline_attempt_id", "previousMaxAttempts", "nextMaxAttempts", "strategy", "trigger"),
        ),
        EventName.HARD_STOP: EventSpec(
            Severity.NOTICE, "given up: only a changed booking or configuration helps", _REASON_KEYS
        ),
        EventName.CUTOFF_SKIPPED: EventSpec(
            Severity.NOTICE, "given up: the start is too near", ("start_at", "cutoff_seconds", "trigger")
        ),
        EventName.EXITED_ALREADY_CONFIRMED: EventSpec(
            Severity.INFO, "nothing to assign: the booking is seated already", ("status", "suppressEmail", "trigger")
        ),
        EventName.SUCCEEDED: EventSpec(
            Severity.INFO, "a job confirmed the booking", ("attempt", "tables", "email", "trigger")
        ),
        EventName.FAILED: EventSpec(
            Severity.WARNING, "given up: the retry budget is used up", ("attemptsUsed", "maxAttempts", *_REASON_KEYS)
        ),
        EventName.SUMMARY: EventSpec(
            Severity.INFO,
            "a job has finished; exactly one for each",
            (
                "attemptsUsed",
                "maxAttempts",
                "result",
                "totalDurationMs",
                "trigger",
                "skippedInitialAttempt",
                "inlineSkipReason",
                "hardStopReason",
                "inline_attempt_id",
                "inline_reason",
                "inline_trigger",
            ),
        ),
        EventName.UNREADABLE_RESULT: EventSpec(
            Severity.WARNING, "the stored result cannot be read, and counts for nothing", ("problem", "trigger")
        ),
        EventName.CAPACITY_CHANGE_MISSED: EventSpec(
            Severity.ERROR,
            "a search found tables although the capacity version had not grown: the host's versions miss changes",
            ("attempt", "tables", "capacity_version", "trigger"),
        ),
        EventName.EMAIL_ERROR: EventSpec(
            Severity.ERROR, "the mailer failed; the ledger says what is known of the e-mail", ("kind", "error")
        ),
        EventName.TELEMETRY_DROPPED: EventSpec(
            Severity.WARNING, "telemetry failed earlier and lost this many events", ("dropped", "error")
        ),
        EventName.INLINE_QUOTE_RESULT: EventSpec(
            Severity.INFO,
            "the planner answered in time",
            ("success", "durationMs", "alternates", "tables", *_REASON_KEYS),
        ),
        EventName.INLINE_QUOTE_ERROR: EventSpec(
            Severity.ERROR, "the planner failed", ("error", "reasonCode", "durationMs", "trigger")
        ),
        EventName.INLINE_NO_HOLD: EventSpec(Severity.NOTICE, "no tables for the guest now", _REASON_KEYS),
        EventName.INLINE_CONFIRM_SUCCEEDED: EventSpec(
            Severity.INFO, "the assignment is committed", ("tables", "email", "trigger")
        ),
        EventName.INLINE_CONFIRM_FAILED: EventSpec(
            Severity.WARNING, "the confirm was refused or failed", ("tables", *_REASON_KEYS)
        ),
        EventName.INLINE_CONFIRM_OVERLAP: EventSpec(
            Severity.NOTICE, "the confirm was refused: somebody else was faster", ("tables", *_REASON_KEYS)
        ),
        EventName.INLINE_TIMEOUT: EventSpec(
            Severity.WARNING,
            "a deadline passed: the request's, or, of an attempt that was handed over, the job's; unless this is the "
            "hand-over, after which it goes on in the background, it ends",
            ("deadlineMs", "handedOver", "trigger"),
        ),
        EventName.INLINE_OPERATION_ABORTED: EventSpec(
            Severity.NOTICE, "the host cancelled the attempt", ("error", "trigger")
        ),
        EventName.INLINE_SUCCEEDED: EventSpec(
            Severity.INFO, "the guest has a table", ("durationMs", "email", "trigger")
        ),
        EventName.INLINE_LATE_CONFIRM: EventSpec(
            Severity.NOTICE, "a confirm whose answer was lost turned out to be committed", ("stage", "trigger")
        ),
    }
)
"""Every event with its severity, meaning and exact context keys."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        name: what; with ``severity`` and the keys of ``context`` as in :data:`CATALOGUE`.
        at: when; aware.
        booking_id: to which booking; ``None`` for events about telemetry itself.
        attempt_id: in which attempt, if in one.
    """

    name: EventName
    severity: Severity
    at: datetime
    booking_id: str | None
    attempt_id: str | None
    context: Context


def event(
    name: EventName,
    at: datetime,
    booking_id: str | None,
    attempt_id: str | None,
    severity: Severity | None = None,
    **context: Scalar | Mapping[str, Scalar],
) -> Event:
    """An event with every key that its row names, ``None`` where nothing was given.

    Raises:
        InvalidValue: a key that the row does not name.
    """
    spec = CATALOGUE[name]
    unknown = context.keys() - set(spec.keys)
    if unknown:
        raise InvalidValue(f"{name} has no context key {sorted(unknown)}; its row names {', '.join(spec.keys)}")
    return Event(
        name,
        spec.severity if severity is None else severity,
        at,
        booking_id,
        attempt_id,
        MappingProxyType({key: context.get(key) for key in spec.keys}),
    )
