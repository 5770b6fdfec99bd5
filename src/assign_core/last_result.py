"""What is remembered of an attempt, and how two memories become one.

Every attempt leaves a :class:`LastResult` on its booking, whatever stopped it. Two writers may race (a late
inline attempt, a job, a duplicate job), so results are merged, not overwritten. :func:`merge` is the join of a
semilattice (commutative, associative, idempotent): the order in which results arrive cannot matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from assign_core.errors import InvalidValue, aware
from assign_core.reasons import CLASS_OF, Classification, FailureClass, ReasonCode, classify_reason
from assign_core.word import Word


class Source(Word):
    """Who made an attempt: the guest's request, or the background job."""

    INLINE = "inline"
    JOB = "job"


class EmailVariant(Word):
    """Which confirmation the guest was written: of the booking as made, or as modified."""

    STANDARD = "standard"
    MODIFIED = "modified"

    @classmethod
    def of(cls, revision: int) -> EmailVariant:
        """The variant that belongs to a booking's revision: the first is standard, every later one modified."""
        return cls.STANDARD if revision == 0 else cls.MODIFIED


@dataclass(frozen=True, slots=True)
class Strategy:
    """The planner's two knobs. ``None`` leaves a knob at the planner's own default."""

    require_adjacency: bool | None = None
    max_tables: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastResult:
    """What the last attempt found.

    Attributes:
        source: who made the attempt.
        recorded_at: when its outcome was known; aware, kept in UTC. Ages are counted from here.
        success: the booking was confirmed by this attempt.
        reason: the planner's words, or what stopped the attempt; ``None`` on success.
        reason_code: the cause as a code; ``None`` lets :func:`~assign_core.reasons.classify_reason` read ``reason``.
        strategy: the knobs the planner was called with.
        trigger: what made the host attempt ("creation", "modification", "queue", ...).
        alternates: how many further plans the planner had to offer.
        duration_ms: milliseconds the planner took.
        attempt_id: identifies the attempt, its lease and its holds.
        attempt: its number within the revision. A revision's first attempt is 0 when made inline; every later one
            is one more than the last. So it is also how much of the retry budget has been used.
        revision: the booking's revision that was searched for.
        email_sent: the transport accepted the guest's confirmation of this revision. Set by nobody else.
        email_variant: which confirmation that was.
        held: the planner had taken a hold before the attempt ended; a failure with it is not about seats.
        capacity_version: of the booking's window, as the search saw it.
        retry_after: when the blocking hold expires, where the planner knows.

    Raises:
        NaiveTime: a time has no zone.
        InvalidValue: a negative count or duration.
    """

    source: Source
    recorded_at: datetime
    success: bool
    reason: str | None = None
    reason_code: ReasonCode | None = None
    strategy: Strategy | None = None
    trigger: str | None = None
    alternates: int | None = None
    duration_ms: int | None = None
    attempt_id: str | None = None
    attempt: int = 0
    revision: int = 0
    email_sent: bool = False
    email_variant: EmailVariant | None = None
    held: bool = False
    capacity_version: int | None = None
    retry_after: datetime | None = None

    def __post_init__(self) -> None:
        # Nearly always in UTC already, and this is on the path of every read of a blob.
        if self.recorded_at.__class__ is not datetime or self.recorded_at.tzinfo is not UTC:
            object.__setattr__(self, "recorded_at", aware("recorded_at", self.recorded_at))
        if self.retry_after is not None:
            object.__setattr__(self, "retry_after", aware("retry_after", self.retry_after))
        if (
            self.attempt < 0
            or self.revision < 0
            or (self.duration_ms is not None and self.duration_ms < 0)
            or (self.alternates is not None and self.alternates < 0)
        ):
            raise InvalidValue(
                "attempt, revision, duration_ms and alternates count from 0 upwards: "
                f"{self.attempt}, {self.revision}, {self.duration_ms}, {self.alternates}"
            )

    @property
    def classification(self) -> Classification | None:
        """Why it failed, code before text; ``None`` for a success."""
        if self.success:
            return None
        code = self.reason_code
        return classify_reason(self.reason) if code is None else Classification(code, CLASS_OF[code])

    @property
    def failure_class(self) -> FailureClass | None:
        """What may change the outcome of the next attempt; ``None`` for a success."""
        found = self.classification
        return None if found is None else found.failure_class


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A stored value that is no LastResult. It is evidence of nothing, and kept until a real attempt replaces it."""

    problem: str


def _text(value: object) -> tuple[bool, str]:
    """Anything optional, in an order that tells nothing from an empty text."""
    return (False, "") if value is None else (True, str(value))


def _order(result: LastResult) -> tuple[object, ...]:
    """A total order on everything but the sticky fields: success, then time, then whatever tells two apart."""
    strategy = result.strategy or Strategy()
    return (
        result.success,
        result.recorded_at,
        result.source,
        _text(result.attempt_id),
        _text(result.reason),
        _text(result.reason_code),
        _text(result.trigger),
        result.strategy is not None,
        _text(strategy.require_adjacency),
        _text(strategy.max_tables),
        _text(result.alternates),
        _text(result.duration_ms),
        result.held,
        _text(result.capacity_version),
        _text(result.retry_after),
    )


def _mail_order(result: LastResult) -> tuple[object, ...]:
    """An e-mail that counts for this revision says more than one that does not."""
    variant = result.email_variant
    return result.email_sent, variant is None or variant is EmailVariant.of(result.revision), _text(variant)


def merge(a: LastResult, b: LastResult) -> LastResult:
    """What two attempts say together.

    The newer revision wins whole. Within one revision success beats failure and later beats earlier, the e-mail flag
    (with its variant) is sticky, and the attempt number is the larger. Commutative, associative, idempotent.
    """
    if a.revision != b.revision:
        return a if a.revision > b.revision else b
    winner = a if _order(a) >= _order(b) else b
    attempt = max(a.attempt, b.attempt)
    mail = max((a, b), key=_mail_order)
    if winner.attempt == attempt and (winner.email_sent, winner.email_variant) == (mail.email_sent, mail.email_variant):
        return winner
    return replace(winner, attempt=attempt, email_sent=mail.email_sent, email_variant=mail.email_variant)


CLOCK_SKEW: Final = timedelta(seconds=30)
"""How far two honest clocks may differ."""


def record(
    stored: LastResult | Unreadable | None,
    result: LastResult,
    *,
    revision: int,
    now: datetime,
    late: bool = False,
    skew: timedelta = CLOCK_SKEW,
) -> LastResult:
    """What a store keeps when an attempt's ``result`` arrives, ``now``, at a row of this ``revision``.

    It is merged with what is stored, except where that cannot be true; one false value must not hide every later
    attempt, and so make attempts free:

    - What nobody can read, or is about a revision that the row has not reached, gives way.
    - What lies more than ``skew`` in the future was written by a wrong clock. It keeps what it counts, but not the last
      word. (In the future of *now*: a result may itself arrive late, after one that is newer.)
    - A success is over once a *later* attempt has failed: that one was made because the row no longer showed it.
    - What a later attempt has *found* stands when an earlier one comes back that has outslept its lease (``late``), and
      was counted as lost. It may know what has become of itself, but not more about the booking.
    """
    if not isinstance(stored, LastResult) or stored.revision > revision:
        return result
    if stored.revision != result.revision:
        return merge(stored, result)
    if stored.recorded_at > result.recorded_at and stored.recorded_at - now > skew:
        stored = replace(stored, recorded_at=_just_before(result.recorded_at))
    if stored.success and not result.success and stored.attempt < result.attempt:
        stored = replace(stored, success=False, recorded_at=min(stored.recorded_at, _just_before(result.recorded_at)))
    found = stored.failure_class not in {None, FailureClass.AMBIGUOUS}
    if late and found and stored.attempt > result.attempt and not result.success:
        result = replace(result, recorded_at=min(result.recorded_at, _just_before(stored.recorded_at)))
    return merge(stored, result)


def _just_before(moment: datetime) -> datetime:
    try:
        return moment - timedelta(microseconds=1)
    except OverflowError:
        return moment
