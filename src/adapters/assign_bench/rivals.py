"""The job that the rivals share: attempts of its own, told with the same effects as the real flows.

It is given every advantage the real one had: it takes the booking's lease, reads the status before each search, and
stops when the booking is seated, closed, or nearer to its start than the cutoff; it uses the same planner and the same
holds; finding the lease taken costs it no attempt. What it lacks is knowledge, and each rival says which.

**E-mail.** The host queues a job for every booking. One that honours the e-mail flag asks the ledger whether the guest
of a seated booking has been written to. One that does not is the job of the real system before that flag: it finds the
booking confirmed and sends "confirmed" itself, past any ledger, so a guest whose inline attempt has written gets the
same e-mail twice. Neither tells the staff more than once, at the end, that no table was found.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from functools import lru_cache, partial

from attrs import define

from assign_bench.host import Host
from assign_bench.retries import Retry, Seen
from assign_bench.seen import MailAgain
from assign_core.booking import Booking
from assign_core.decision import Action, Decision, decide
from assign_core.effects import (
    Acquire,
    CloseAttempt,
    Confirm,
    Deliver,
    NewAttemptId,
    Now,
    ReleaseHold,
    RequestQuote,
    Within,
)
from assign_core.errors import DeadlineExceeded
from assign_core.last_result import LastResult, Source
from assign_core.policy import Policy
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    EmailKind,
    Hold,
    Lease,
    NoHold,
    NotConfirmed,
    QuoteRequest,
    Record,
)
from assign_core.reasons import CLASS_OF, FailureClass, ReasonCode, classify_reason, reason_of


class Ending(Enum):
    """How a rival's job ended."""

    SEATED = "seated"
    """By this job."""
    FOUND_SEATED = "found_seated"
    SUPPRESSED = "suppressed"
    """Found seated, and the guest written to."""
    CLOSED = "closed"
    """Cancelled, or too near to its start."""


@define
class Job:
    """A job's own memory, which ends with it."""

    booking_id: str
    policy: Policy
    retry: Retry
    honours_flag: bool
    budget: int | None = None
    inline: LastResult | None = None
    failures: tuple[FailureClass, ...] = ()

    def seen(self, now: datetime) -> Seen:
        return Seen(booking_id=self.booking_id, now=now, inline=self.inline, failures=self.failures)


@define(eq=False)
class RivalJobs:
    """:class:`~assign_bench.host.Jobs` of a rival: each a row of attempts with pauses in between."""

    host: Host
    retry: Retry
    honours_flag: bool = False

    def __attrs_post_init__(self) -> None:
        place = self.host.restaurant
        place.heard.append(lambda booking_id, quote: self.retry.heard(booking_id, quote, place.clock.monotonic()))

    def start(self, booking_id: str) -> None:
        self._attempt(Job(booking_id, self.host.policy, self.retry, self.honours_flag))

    def _attempt(self, job: Job) -> None:
        self.host.works(attempt(job), partial(self._ended, job))

    def _ended(self, job: Job, ending: Ending | None) -> None:
        place = self.host.restaurant
        if ending is not None:
            place.tally.suppressed += ending is Ending.SUPPRESSED
            return
        pause = self._pause(job)
        if pause is None:
            place.mail_again(Email(booking_id=job.booking_id, kind=EmailKind.STAFF_NOTICE, revision=0))
        else:
            self.host.simulation.after(pause, partial(self._attempt, job))

    def _pause(self, job: Job) -> float | None:
        if not job.failures:
            # Somebody else has the booking's lease.
            return job.policy.delays[0].total_seconds()
        if job.budget is not None and len(job.failures) >= job.budget:
            return None
        return job.retry.pause(job.seen(self.host.restaurant.clock.now()))


async def attempt(job: Job) -> Ending | None:
    """One look, and a search if it comes to that. How the job ends; ``None``: it does not yet."""
    policy = job.policy
    await Within(policy.job_deadline.total_seconds())
    attempt_id, now = await NewAttemptId(), await Now()
    lease = Lease(
        attempt_id=attempt_id, source=Source.JOB, taken_at=now, expires_at=now + policy.job_deadline + policy.grace
    )
    found = await Acquire(job.booking_id, lease)
    if isinstance(found, Busy):
        return None
    if found is None:
        return Ending.CLOSED
    # What the last attempt found is not looked at: only status, start and the ledger of e-mails count.
    decision = decide(found.booking, None, policy=policy, now=now)
    if decision.action is Action.ENSURE_EMAIL:
        return await _see_to_email(job, found.booking, attempt_id, decision)
    start = found.booking.start_at
    too_late = start is not None and bool(job.failures) and start - now < policy.cutoff
    if decision.action is not Action.ATTEMPT or too_late:
        await CloseAttempt(Record(booking_id=job.booking_id, attempt_id=attempt_id, result=None))
        return Ending.CLOSED
    if job.budget is None:
        job.inline = found.last if isinstance(found.last, LastResult) else None
        job.budget = job.retry.budget(job.seen(now))
    failure = await _search(job, found, attempt_id)
    if failure is None:
        return Ending.SEATED
    job.failures += (failure,)
    return None


async def _see_to_email(job: Job, booking: Booking, attempt_id: str, decision: Decision) -> Ending:
    email = Email(booking_id=booking.id, kind=EmailKind.of(booking.revision), revision=booking.revision)
    wanted = email if job.honours_flag and not decision.suppress_email else None
    await CloseAttempt(Record(booking_id=booking.id, attempt_id=attempt_id, result=None, email=wanted))
    if not job.honours_flag:
        await MailAgain(email)
    elif wanted is None:
        return Ending.SUPPRESSED
    else:
        await Deliver(email)
    return Ending.FOUND_SEATED


async def _search(job: Job, found: Acquired, attempt_id: str) -> FailureClass | None:
    """One call of the planner, if the rival wants one; ``None``: the booking is seated."""
    if not job.retry.searches(job.seen(await Now())):
        await CloseAttempt(Record(booking_id=job.booking_id, attempt_id=attempt_id, result=None))
        return FailureClass.CAPACITY
    request = QuoteRequest(
        booking_id=job.booking_id,
        revision=found.booking.revision,
        attempt_id=attempt_id,
        strategy=job.policy.strategy,
        hold_seconds=job.policy.job_hold.total_seconds(),
    )
    try:
        quote = await RequestQuote(request)
        if isinstance(quote, Hold):
            answer = await _confirm(request, quote)
            if isinstance(answer, Confirmed):
                await Deliver(_guest_email(request))
                return None
            failure = _class_of(answer.reason_code, answer.reason)
        elif isinstance(quote, NoHold):
            failure = _class_of(quote.reason_code, quote.reason)
        else:
            failure = FailureClass.AMBIGUOUS
    except DeadlineExceeded:
        failure = FailureClass.AMBIGUOUS
    except Exception as error:  # noqa: BLE001 - whatever the planner raises, the attempt has failed
        failure = classify_reason(reason_of(error)).failure_class
    await ReleaseHold(job.booking_id, attempt_id)
    await CloseAttempt(Record(booking_id=job.booking_id, attempt_id=attempt_id, result=None))
    return failure


@lru_cache(maxsize=64)
def _class_of(code: ReasonCode | None, reason: str) -> FailureClass:
    return classify_reason(reason).failure_class if code is None else CLASS_OF[code]


def _guest_email(request: QuoteRequest) -> Email:
    return Email(booking_id=request.booking_id, kind=EmailKind.of(request.revision), revision=request.revision)


async def _confirm(request: QuoteRequest, hold: Hold) -> Confirmed | NotConfirmed:
    result = LastResult(
        source=Source.JOB,
        recorded_at=await Now(),
        success=True,
        attempt_id=request.attempt_id,
        revision=request.revision,
    )
    return await Confirm(
        Confirmation(
            booking_id=request.booking_id,
            attempt_id=request.attempt_id,
            revision=request.revision,
            hold=hold,
            result=result,
            email=_guest_email(request),
        )
    )
