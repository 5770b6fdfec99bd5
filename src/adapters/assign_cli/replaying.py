"""What the policy would have done in a recorded history: computation over values, no I/O.

Each recorded attempt is put to the policy at the moment it began, with what the policy would have known by then: the
results of the attempts it had allowed itself, and of no others. The recorded history cannot say what a search *at
another time* would have found, so the accounts lean to the careful side:

* a call that the policy **puts off** is saved only if the record has a later one to take its place; otherwise it is
  still to be made, once, and counts as made;
* a recorded success that is put off is **delayed**, to the moment the policy names;
* a recorded success that the policy has given up on is **lost**.

A booking that is attempted after it was confirmed must have been reset in between, and one that is attempted because
the guest has modified it is another booking to the planner. Either starts afresh, as a new revision: what was found
before says nothing about it, and spends none of its budget.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from assign_cli.history import RecordedAttempt, RecordedInline
from assign_core import (
    Action,
    Booking,
    BookingStatus,
    Decision,
    FailureClass,
    LastResult,
    Policy,
    Source,
    classify_reason,
    decide,
)
from assign_core.word import Word

_ZERO: Final = timedelta(0)


class Effect(Word):
    """What becomes of a recorded planner call under the policy."""

    MADE = "made"
    SAVED = "saved"
    """Not made: given up, or put off to a later attempt that the record has."""
    PUT_OFF = "put_off"
    """Made later than recorded; the record does not say what it would have found."""
    DELAYED = "delayed"
    """A success, made later than recorded."""
    LOST = "lost"
    """A success, not made at all."""


CALLS: Final = frozenset({Effect.MADE, Effect.PUT_OFF, Effect.DELAYED})
"""What costs a planner call all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A recorded attempt and what the policy says to it.

    Attributes:
        asked_at: when the policy was asked.
        decision: what it answered.
        effect: what that does to the recorded call.
        delay: how much later the call is made, if it is.
        revision: how often the booking had been reset before.
        pause: from the booking's previous recorded result to the beginning of this attempt; ``None`` where there is
            none since the last reset.
    """

    row: RecordedAttempt
    asked_at: datetime
    decision: Decision
    effect: Effect
    delay: timedelta | None
    revision: int
    pause: timedelta | None

    @property
    def failure_class(self) -> FailureClass | None:
        """Of the recorded failure, if it is one."""
        return result_of(self.row).failure_class


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedInline:
    """A recorded inline attempt: what the policy says before it, and to the job that comes after it."""

    row: RecordedInline
    before: Decision
    after: Decision

    @property
    def failure_class(self) -> FailureClass | None:
        """Of the recorded failure, if it is one."""
        return None if self.row.success else classify_reason(self.row.reason).failure_class


def result_of(row: RecordedAttempt, *, attempt: int = 1, revision: int = 0) -> LastResult:
    """What a recorded attempt leaves on its booking."""
    return LastResult(
        source=row.source,
        recorded_at=row.reported_at,
        success=row.success,
        reason=None if row.success else row.reason,
        reason_code=None if row.success else row.reason_code,
        attempt_id=row.attempt_id,
        duration_ms=row.duration_ms,
        attempt=attempt,
        revision=revision,
    )


def replay_attempts(
    rows: Sequence[RecordedAttempt], policy: Policy, *, runs_are_resets: bool = False
) -> tuple[Replayed, ...]:
    """Every row with the policy's answer, in the order given.

    Args:
        rows: of any number of bookings, in any order; a booking's are taken by the time of their reports.
        policy: the settings.
        runs_are_resets: every booking was reset before every run, so that no run's evidence counts in the next.
    """
    by_booking: defaultdict[str, list[int]] = defaultdict(list)
    for place in sorted(range(len(rows)), key=lambda place: rows[place].reported_at):
        by_booking[rows[place].booking_id].append(place)
    answers: dict[int, Replayed] = {}
    for places in by_booking.values():
        history = [rows[place] for place in places]
        answers.update(zip(places, _replay_booking(history, policy, runs_are_resets), strict=True))
    return tuple(answers[place] for place in range(len(rows)))


def _replay_booking(history: list[RecordedAttempt], policy: Policy, runs_are_resets: bool) -> list[Replayed]:
    answers: list[Replayed] = []
    last: LastResult | None = None
    previous: RecordedAttempt | None = None
    revision = 0
    for row in history:
        if previous is not None and (previous.success or row.modified or (runs_are_resets and previous.run != row.run)):
            revision += 1
            last = previous = None
        answer = _answer(row, last, previous, policy, revision)
        if answer.effect is Effect.MADE:
            first_inline = last is None and row.source is Source.INLINE
            number = 0 if first_inline else answer.decision.attempts_used + 1
            last = result_of(row, attempt=number, revision=revision)
        answers.append(answer)
        previous = row
    return _with_calls_put_off_once(answers)


def _answer(
    row: RecordedAttempt,
    last: LastResult | None,
    previous: RecordedAttempt | None,
    policy: Policy,
    revision: int,
) -> Replayed:
    # A booking's attempts do not overlap, because each needs its lease: one that was recorded as beginning before
    # the last one had ended would have begun when it had.
    asked_at = row.began_at if last is None else max(row.began_at, last.recorded_at)
    decision = decide(Booking(id=row.booking_id, revision=revision), last, policy=policy, now=asked_at)
    delay = None
    if decision.action is Action.ATTEMPT:
        effect = Effect.MADE
    elif decision.action is Action.WAIT and decision.not_before is not None:
        effect = Effect.DELAYED if row.success else Effect.PUT_OFF
        delay = decision.not_before - row.began_at
    else:
        effect = Effect.LOST if row.success else Effect.SAVED
    return Replayed(
        row=row,
        asked_at=asked_at,
        decision=decision,
        effect=effect,
        delay=delay,
        revision=revision,
        pause=None if previous is None else max(row.began_at - previous.reported_at, _ZERO),
    )


def _with_calls_put_off_once(answers: list[Replayed]) -> list[Replayed]:
    """However often a revision's next search is put off, it is one search, and the next one allowed is it."""
    settled: list[Replayed] = []
    covered: set[int] = set()
    for answer in reversed(answers):
        if answer.effect is Effect.PUT_OFF and answer.revision in covered:
            answer = replace(answer, effect=Effect.SAVED, delay=None)
        elif answer.effect in CALLS:
            covered.add(answer.revision)
        settled.append(answer)
    settled.reverse()
    return settled


def replay_inline(rows: Sequence[RecordedInline], policy: Policy) -> tuple[ReplayedInline, ...]:
    """Every row with the policy's answer before the inline attempt, and to the job that follows it."""
    answers: list[ReplayedInline] = []
    for row in rows:
        last = LastResult(
            source=Source.INLINE,
            recorded_at=row.recorded_at,
            success=row.success,
            reason=row.reason,
            duration_ms=row.duration_ms,
            attempt_id=row.attempt_id,
            email_sent=row.email_sent,
        )
        before = decide(Booking(id=row.booking_id), None, policy=policy, now=row.began_at)
        seen = Booking(id=row.booking_id, status=status_of(row.final_status))
        answers.append(ReplayedInline(row=row, before=before, after=decide(seen, last, policy=policy, now=row.seen_at)))
    return tuple(answers)


def status_of(final_status: str) -> str:
    """The booking status in a recorded one, which may say more (``confirmed_inline_api``); else the text itself."""
    known = [status.value for status in BookingStatus if final_status.startswith(status.value)]
    return max(known, key=len, default=final_status)
