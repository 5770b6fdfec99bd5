"""The job as it is without assign-core: four searches at fixed delays, whatever the last one found.

It is the baseline that every percentage is counted from, so it is given every advantage it had: it reads the status
before each search and stops when the booking is seated, closed or past its cutoff, and it uses the same planner and the
same holds. What it lacks is knowledge of the last result. It tells telemetry what the planner said and what became of
it, as such a job does, so that its history can be replayed.
"""

from __future__ import annotations

from assign_core.decision import Action, decide
from assign_core.effects import (
    Acquire,
    CloseAttempt,
    Confirm,
    Emit,
    NewAttemptId,
    Now,
    ReleaseHold,
    RequestQuote,
    Sleep,
    Unfinished,
    Within,
)
from assign_core.errors import DeadlineExceeded
from assign_core.last_result import LastResult, Source
from assign_core.narration import Narrator
from assign_core.notebook import milliseconds
from assign_core.policy import Policy
from assign_core.ports import (
    Acquired,
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
from assign_core.reasons import CLASS_OF, Classification, ReasonCode, classify_reason


async def unshared_job(booking_id: str, *, policy: Policy) -> bool:
    """Whether the booking is seated in the end."""
    for attempt in range(policy.max_attempts):
        if attempt:
            await Within(None)
            await Sleep(policy.delay_after(attempt).total_seconds())
        await Within(policy.job_deadline.total_seconds())
        seated = await _search(booking_id, policy, attempt + 1)
        if seated is not None:
            return seated
    return False


async def _search(booking_id: str, policy: Policy, attempt: int) -> bool | None:
    """``True``: seated; ``False``: nothing to do any more; ``None``: try again."""
    attempt_id, now = await NewAttemptId(), await Now()
    lease = Lease(
        attempt_id=attempt_id, source=Source.JOB, taken_at=now, expires_at=now + policy.job_deadline + policy.grace
    )
    found = await Acquire(booking_id, lease)
    if not isinstance(found, Acquired):
        return None
    booking = found.booking
    # What the last attempt found is not looked at: only status, start and the number of attempts count.
    decision = decide(booking, None, policy=policy, now=now)
    too_late = attempt > 1 and booking.start_at is not None and booking.start_at - now < policy.cutoff
    if decision.action is not Action.ATTEMPT or too_late:
        await CloseAttempt(Record(booking_id=booking_id, attempt_id=attempt_id, result=None))
        return decision.action is Action.ENSURE_EMAIL
    seated = False
    narrator = Narrator(booking_id, attempt_id, Source.JOB, "queue")
    said = narrator.looked(now, None, decision, policy)
    request = QuoteRequest(
        booking_id=booking_id,
        revision=booking.revision,
        attempt_id=attempt_id,
        strategy=policy.strategy,
        hold_seconds=policy.job_hold.total_seconds(),
    )
    stage = "quote"
    try:
        quote = await RequestQuote(request)
        answered = await Now()
        if isinstance(quote, Unfinished):
            raise TypeError(f"a search that may not outlive its deadline came back unfinished: {request!r}")
        why_not = _class_of(quote.reason, quote.reason_code) if isinstance(quote, NoHold) else None
        said += narrator.quoted(
            answered,
            quote,
            why_not,
            None,
            duration_ms=milliseconds(answered - now),
            strategy=policy.strategy,
            attempt=attempt,
        )
        if isinstance(quote, Hold):
            stage = "confirm"
            answer = await _confirm(booking_id, attempt_id, booking.revision, quote)
            seated = isinstance(answer, Confirmed)
            if not isinstance(answer, Confirmed):
                why_not = _class_of(answer.reason, answer.reason_code)
                said.append(narrator.refused(await Now(), quote.plan, answer.reason, why_not, attempt))
    except DeadlineExceeded:
        seated = False
        said.append(narrator.attempt_error(await Now(), attempt, stage, "JOB_TIMEOUT", None))
    await Emit(said)
    if not seated:
        await ReleaseHold(booking_id, attempt_id)
        await CloseAttempt(Record(booking_id=booking_id, attempt_id=attempt_id, result=None))
    return True if seated else None


def _class_of(reason: str, code: ReasonCode | None) -> Classification:
    return classify_reason(reason) if code is None else Classification(code, CLASS_OF[code])


async def _confirm(booking_id: str, attempt_id: str, revision: int, hold: Hold) -> Confirmed | NotConfirmed:
    now = await Now()
    return await Confirm(
        Confirmation(
            booking_id=booking_id,
            attempt_id=attempt_id,
            revision=revision,
            hold=hold,
            result=LastResult(
                source=Source.JOB, recorded_at=now, success=True, attempt_id=attempt_id, revision=revision
            ),
            email=Email(booking_id=booking_id, kind=EmailKind.of(revision), revision=revision),
        )
    )
