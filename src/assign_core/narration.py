"""What an attempt tells telemetry: pure functions from what happened to the events that say so.

The flows say *when*; this module says *what*, with every key that the catalogue names. One meaning per event: a
cutoff is not also a failure, and the summary is made in one place only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from assign_core.booking import Booking
from assign_core.decision import Action, Decision
from assign_core.events import Event, EventName, JobResult, Scalar, Severity, category_of, event
from assign_core.evidence import USABLE
from assign_core.last_result import LastResult, Source, Strategy, Unreadable
from assign_core.policy import Policy
from assign_core.ports import EmailKind, Hold, Lease, NoHold, Plan, Quote
from assign_core.reasons import Classification, FailureClass, ReasonCode

_UNHEARD: Final = frozenset({FailureClass.INFRASTRUCTURE, FailureClass.AMBIGUOUS})
"""Failures after which no search has given an answer."""


@dataclass(slots=True)
class JobRun:
    """What a job remembers from its first look to its summary.

    ``job`` has one for each call; ``run_job`` has one for all its looks.
    """

    started_at: datetime | None = None
    skipped_first: bool = False
    skip_reason: str | None = None
    inline_attempt_id: str | None = None
    inline_reason: str | None = None
    inline_trigger: str | None = None

    def remember(self, last: LastResult | Unreadable | None, decision: Decision) -> None:
        """Keep what the summary will want to say of the inline attempt."""
        if not isinstance(last, LastResult) or last.source is not Source.INLINE:
            return
        self.inline_attempt_id, self.inline_reason, self.inline_trigger = last.attempt_id, last.reason, last.trigger
        if puts_first_attempt_off(last, decision):
            self.skipped_first, self.skip_reason = True, last.reason


def puts_first_attempt_off(last: LastResult | Unreadable | None, decision: Decision) -> bool:
    """A job without the inline attempt's finding would have searched by now."""
    return (
        isinstance(last, LastResult)
        and last.source is Source.INLINE
        and decision.attempts_used == 0
        and decision.action is Action.WAIT
    )


def knobs(strategy: Strategy) -> Mapping[str, Scalar]:
    """A strategy, with the key names that dashboards know."""
    return {"requireAdjacency": strategy.require_adjacency, "maxTables": strategy.max_tables}


def _tables(plan: Plan) -> str:
    return ",".join(plan.tables)


@dataclass(frozen=True, slots=True)
class Narrator:
    """Who speaks: every event of an attempt carries its booking, its id and its trigger."""

    booking_id: str
    attempt_id: str | None
    source: Source
    trigger: str

    def _say(
        self,
        name: EventName,
        at: datetime,
        severity: Severity | None = None,
        **context: Scalar | Mapping[str, Scalar],
    ) -> Event:
        return event(name, at, self.booking_id, self.attempt_id, severity, **context)

    # Before the attempt.

    def unreadable(self, at: datetime, found: Unreadable) -> Event:
        return self._say(EventName.UNREADABLE_RESULT, at, problem=found.problem, trigger=self.trigger)

    def lost(self, at: datetime, lease: Lease) -> Event:
        return self._say(
            EventName.ATTEMPT_LOST,
            at,
            lost_attempt_id=lease.attempt_id,
            source=lease.source.value,
            taken_at=lease.taken_at.isoformat(),
        )

    def looked(
        self, at: datetime, last: LastResult | Unreadable | None, decision: Decision, policy: Policy
    ) -> list[Event]:
        """A job has looked at the booking, and what the inline attempt's finding changes."""
        if self.source is not Source.JOB:
            return []
        rules = ",".join(decision.rules)
        said = [self._say(EventName.STARTED, at, trigger=self.trigger, rules=rules)]
        if isinstance(last, LastResult) and last.source is Source.INLINE and decision.evidence in USABLE:
            if puts_first_attempt_off(last, decision):
                said.append(
                    self._say(
                        EventName.INLINE_SKIP_ATTEMPT,
                        at,
                        inline_attempt_id=last.attempt_id,
                        reason=last.reason,
                        reasonCode=decision.reason_code,
                        previousMaxAttempts=policy.max_attempts,
                        nextMaxAttempts=decision.max_attempts,
                        notBefore=decision.not_before.isoformat() if decision.not_before else None,
                        trigger=self.trigger,
                    )
                )
            if decision.reason_code is ReasonCode.TIMEOUT and "outcome_unknown" in decision.rules:
                said.append(
                    self._say(
                        EventName.INLINE_TIMEOUT_ADJUSTMENT,
                        at,
                        inline_attempt_id=last.attempt_id,
                        previousMaxAttempts=policy.max_attempts,
                        nextMaxAttempts=decision.max_attempts,
                        strategy=knobs(decision.strategy),
                        trigger=self.trigger,
                    )
                )
        if decision.action is Action.ATTEMPT:
            said.append(
                self._say(
                    EventName.ATTEMPT,
                    at,
                    attempt=decision.attempts_used + 1,
                    maxAttempts=decision.max_attempts,
                    trigger=self.trigger,
                    rules=rules,
                )
            )
        return said

    # The attempt.

    def quoted(
        self,
        at: datetime,
        quote: Quote,
        found: Classification | None,
        error: str | None,
        *,
        duration_ms: int,
        strategy: Strategy,
        attempt: int,
    ) -> list[Event]:
        """What the planner said, or how it failed."""
        success = isinstance(quote, Hold)
        reason = quote.reason if isinstance(quote, NoHold) else None
        code = None if found is None else found.code
        category = category_of(found)
        said = [
            self._say(
                EventName.QUOTE,
                at,
                Severity.WARNING if error else None,
                planner_duration_ms=duration_ms,
                planner_success=success,
                planner_reason=reason,
                planner_reason_code=code,
                planner_reason_category=category,
                planner_strategy=knobs(strategy),
                trigger=self.trigger,
                attempt_index=attempt,
                planner_error=error,
                planner_internal=None if found is None else found.failure_class,
            )
        ]
        if self.source is not Source.INLINE:
            return said
        if error is not None:
            said.append(
                self._say(
                    EventName.INLINE_QUOTE_ERROR,
                    at,
                    error=error,
                    reasonCode=code,
                    durationMs=duration_ms,
                    trigger=self.trigger,
                )
            )
            return said
        said.append(
            self._say(
                EventName.INLINE_QUOTE_RESULT,
                at,
                success=success,
                durationMs=duration_ms,
                alternates=quote.alternates,
                tables=_tables(quote.plan) if isinstance(quote, Hold) else None,
                reason=reason,
                reasonCode=code,
                trigger=self.trigger,
            )
        )
        if not success:
            said.append(self._say(EventName.INLINE_NO_HOLD, at, reason=reason, reasonCode=code, trigger=self.trigger))
        return said

    def change_missed(self, at: datetime, hold: Hold, version: int | None, attempt: int) -> Event:
        """A search for a parked booking has found tables although nothing was said to have become free."""
        return self._say(
            EventName.CAPACITY_CHANGE_MISSED,
            at,
            attempt=attempt,
            tables=_tables(hold.plan),
            capacity_version=version,
            trigger=self.trigger,
        )

    def refused(self, at: datetime, plan: Plan, reason: str, found: Classification, attempt: int) -> Event:
        """A confirm that did not commit."""
        if self.source is not Source.INLINE:
            return self.attempt_error(at, attempt, "confirm", reason, found)
        overlap = found.failure_class is FailureClass.CONTENTION
        return self._say(
            EventName.INLINE_CONFIRM_OVERLAP if overlap else EventName.INLINE_CONFIRM_FAILED,
            at,
            tables=_tables(plan),
            reason=reason,
            reasonCode=found.code,
            trigger=self.trigger,
        )

    def attempt_error(
        self, at: datetime, attempt: int, stage: str, reason: str | None, found: Classification | None
    ) -> Event:
        return self._say(
            EventName.ATTEMPT_ERROR,
            at,
            attempt=attempt,
            stage=stage,
            reason=reason,
            reasonCode=None if found is None else found.code,
            trigger=self.trigger,
        )

    def timed_out(self, at: datetime, deadline: timedelta, *, handed_over: bool) -> list[Event]:
        if self.source is not Source.INLINE:
            return []
        deadline_ms = deadline.total_seconds() * 1000
        return [
            self._say(
                EventName.INLINE_TIMEOUT, at, deadlineMs=deadline_ms, handedOver=handed_over, trigger=self.trigger
            )
        ]

    def aborted(self, at: datetime, error: str) -> list[Event]:
        if self.source is not Source.INLINE:
            return []
        return [self._say(EventName.INLINE_OPERATION_ABORTED, at, error=error, trigger=self.trigger)]

    def confirmed(self, at: datetime, plan: Plan, *, email_queued: bool, attempt: int, duration_ms: int) -> list[Event]:
        """The commit, as it will be known if it succeeds: these events can travel with it."""
        email = "queued" if email_queued else "suppressed"
        if self.source is Source.JOB:
            return [
                self._say(
                    EventName.SUCCEEDED, at, attempt=attempt, tables=_tables(plan), email=email, trigger=self.trigger
                )
            ]
        return [
            self._say(EventName.INLINE_CONFIRM_SUCCEEDED, at, tables=_tables(plan), email=email, trigger=self.trigger),
            self._say(EventName.INLINE_SUCCEEDED, at, durationMs=duration_ms, email=email, trigger=self.trigger),
        ]

    def late_confirm(self, at: datetime, stage: str) -> list[Event]:
        """A confirm whose answer was lost is committed. What it committed, its own events say."""
        if self.source is not Source.INLINE:
            return []
        return [self._say(EventName.INLINE_LATE_CONFIRM, at, stage=stage, trigger=self.trigger)]

    # After it.

    def ended(
        self, at: datetime, booking: Booking, decision: Decision, reason: str | None, policy: Policy
    ) -> list[Event]:
        """The decision that ends a job, in the event that means it."""
        if self.source is not Source.JOB:
            return []
        if decision.action is Action.ENSURE_EMAIL:
            return self.exited(at, booking.status, suppressed=decision.suppress_email)
        if decision.action is not Action.GIVE_UP:
            return []
        match how_it_ended(decision):
            case JobResult.CUTOFF:
                return [
                    self._say(
                        EventName.CUTOFF_SKIPPED,
                        at,
                        start_at=booking.start_at.isoformat() if booking.start_at else None,
                        cutoff_seconds=policy.cutoff.total_seconds(),
                        trigger=self.trigger,
                    )
                ]
            case _ if "permanent_failure" in decision.rules:
                return [
                    self._say(
                        EventName.HARD_STOP, at, reason=reason, reasonCode=decision.reason_code, trigger=self.trigger
                    )
                ]
            case _:
                return [
                    self._say(
                        EventName.FAILED,
                        at,
                        attemptsUsed=decision.attempts_used,
                        maxAttempts=decision.max_attempts,
                        reason=reason,
                        reasonCode=decision.reason_code,
                        trigger=self.trigger,
                    )
                ]

    def exited(self, at: datetime, status: str, *, suppressed: bool) -> list[Event]:
        """A job that finds the booking seated, by somebody else."""
        if self.source is not Source.JOB:
            return []
        return [
            self._say(
                EventName.EXITED_ALREADY_CONFIRMED, at, status=status, suppressEmail=suppressed, trigger=self.trigger
            )
        ]

    def summary(
        self, at: datetime, run: JobRun, result: JobResult, decision: Decision | None, reason: str | None, attempts: int
    ) -> Event:
        """A job has finished."""
        started = at if run.started_at is None else run.started_at
        hard = decision is not None and "permanent_failure" in decision.rules
        return self._say(
            EventName.SUMMARY,
            at,
            attemptsUsed=attempts,
            maxAttempts=0 if decision is None else decision.max_attempts,
            result=result.value,
            totalDurationMs=max(0, round((at - started).total_seconds() * 1000)),
            trigger=self.trigger,
            skippedInitialAttempt=run.skipped_first,
            inlineSkipReason=run.skip_reason,
            hardStopReason=reason if hard else None,
            inline_attempt_id=run.inline_attempt_id,
            inline_reason=run.inline_reason,
            inline_trigger=run.inline_trigger,
        )

    def email_error(self, at: datetime, kind: EmailKind, error: str) -> Event:
        return self._say(EventName.EMAIL_ERROR, at, kind=kind.value, error=error)


def how_it_ended(decision: Decision) -> JobResult:
    """A job's result, from the decision that ended it."""
    match decision.action:
        case Action.ENSURE_EMAIL:
            return JobResult.ALREADY_CONFIRMED
        case Action.NONE:
            return JobResult.NOT_ACTIONABLE
        case Action.GIVE_UP:
            if "cutoff" in decision.rules or "start_passed" in decision.rules:
                return JobResult.CUTOFF
            # The budget went on errors, and no search ever said no: that is another story than a full house.
            return JobResult.ERROR if decision.failure_class in _UNHEARD else JobResult.EXHAUSTED
        case _:
            return JobResult.PARKED
