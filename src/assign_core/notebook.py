"""An attempt's notebook: what has happened so far.

An attempt can be interrupted anywhere, and must then be recorded truthfully: whether the planner was called, whether
a hold may be left behind, how long the search has taken. The flow writes it down as it goes, in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from assign_core.booking import OPEN, Booking, EmailState
from assign_core.decision import Decision
from assign_core.events import Event
from assign_core.last_result import LastResult, Source, Strategy, Unreadable, record
from assign_core.narration import JobRun, Narrator
from assign_core.policy import Policy
from assign_core.ports import Acquired, Email, EmailKind, Hold, Lease, Plan
from assign_core.reasons import Classification, ReasonCode


@dataclass(slots=True)
class Notes:
    """An attempt's notebook: what has happened so far, so that any interruption can be recorded truthfully."""

    booking_id: str
    source: Source
    policy: Policy
    trigger: str
    hand_over: bool = False
    run: JobRun = field(default_factory=JobRun)
    parks: bool = True
    """Parking ends the job, and has a summary (``run_job`` goes on instead)."""

    id: str = ""
    booking: Booking = field(default_factory=lambda: Booking(id="?"))
    known: LastResult | Unreadable | None = None
    lost: LastResult | None = None
    decision: Decision | None = None
    stage: Literal["acquire", "decide", "quote", "confirm", "closing", "committed", "closed"] = "acquire"
    number: int = 0
    searched: bool = False
    searching_since: datetime | None = None
    may_hold: bool = False
    held: bool = False
    plan: Plan | None = None
    strategy: Strategy | None = None
    duration_ms: int = 0
    alternates: int | None = None
    capacity_version: int | None = None
    handed_over: bool = False
    said: list[Event] = field(default_factory=list)
    """Events that nobody has been told."""
    handed: tuple[Event, ...] = ()
    """Events that went with a confirm whose answer is not known."""

    @property
    def narrator(self) -> Narrator:
        return Narrator(self.booking_id, self.id or None, self.source, self.trigger)

    @property
    def over(self) -> bool:
        """The attempt is committed or closed: what interrupts it now has nothing left to interrupt."""
        return self.stage in {"committed", "closed"}

    def disproves_version(self, hold: Hold) -> bool:
        """The booking was parked because nothing had become free, and a search has now found tables all the same."""
        audited = self.decision is not None and "revalidation_due" in self.decision.rules
        decided_on, seen = self.booking.capacity_version, hold.capacity_version
        # What became free while the planner searched is no change that was missed.
        return audited and (seen is None or decided_on is None or seen <= decided_on)

    def lease(self, now: datetime) -> Lease:
        """Long enough for the attempt and its clean-up, and no longer: a crashed attempt blocks until then."""
        policy = self.policy
        span = policy.job_deadline if self.source is Source.JOB else policy.inline_deadline
        if self.hand_over:
            span += policy.job_deadline
        return Lease(attempt_id=self.id, source=self.source, taken_at=now, expires_at=now + span + 3 * policy.grace)

    def opened(self, found: Acquired, now: datetime) -> None:
        """Take in the booking as it is, and the attempt that died before this one, if one did."""
        self.stage = "decide"
        self.booking, self.known = found.booking, found.last
        self.capacity_version = found.booking.capacity_version
        if isinstance(found.last, Unreadable):
            self.said.append(self.narrator.unreadable(now, found.last))
        lease = found.lost
        if lease is not None and found.booking.status in OPEN:
            # Whether its planner call began is unknown, so it counts: crashes must not make attempts free.
            self.said.append(self.narrator.lost(now, lease))
            self.lost = LastResult(
                source=lease.source,
                recorded_at=min(now, lease.expires_at),
                success=False,
                reason="ATTEMPT_LOST",
                reason_code=ReasonCode.ATTEMPT_LOST,
                attempt_id=lease.attempt_id,
                attempt=next_number(found.last, found.booking, lease.lost_first or lease.source) + lease.lost_before,
                revision=found.booking.revision,
            )
            self.known = record(found.last, self.lost, revision=found.booking.revision, now=now)

    def result(
        self,
        now: datetime,
        *,
        success: bool,
        reason: str | None = None,
        found: Classification | None = None,
        retry_after: datetime | None = None,
    ) -> LastResult:
        """This attempt's result."""
        return LastResult(
            source=self.source,
            recorded_at=now,
            success=success,
            reason=reason,
            reason_code=None if found is None else found.code,
            strategy=self.strategy,
            trigger=self.trigger,
            alternates=self.alternates,
            duration_ms=self.duration_ms,
            attempt_id=self.id,
            attempt=self.number,
            revision=self.booking.revision,
            held=self.held,
            capacity_version=self.capacity_version,
            retry_after=retry_after,
        )

    def guest_email(self) -> Email:
        revision = self.booking.revision
        return Email(booking_id=self.booking_id, kind=EmailKind.of(revision), revision=revision)

    def suppress_email(self) -> bool:
        """Whether the guest's e-mail need not even be queued. A claim is no reason: until it is handed over it can be
        withdrawn, as that of a booking which is open again is; and to queue what is queued changes nothing.
        """
        claimed = self.booking.email is EmailState.CLAIMED
        return self.decision is not None and self.decision.suppress_email and not claimed


def next_number(last: LastResult | Unreadable | None, booking: Booking, source: Source) -> int:
    """An attempt's number: 0 for a revision's first if made inline, else one more than the last."""
    if isinstance(last, LastResult) and last.revision == booking.revision:
        return last.attempt + 1
    return 0 if source is Source.INLINE else 1


def milliseconds(span: timedelta) -> int:
    """Whole milliseconds, never negative: a clock may be set back."""
    return max(0, round(span.total_seconds() * 1000))
