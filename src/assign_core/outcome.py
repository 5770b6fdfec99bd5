"""How an attempt ended, for the host that asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from assign_core.booking import EmailState
from assign_core.decision import Decision
from assign_core.last_result import LastResult
from assign_core.ports import Plan
from assign_core.word import Word


class Verdict(Word):
    """What became of the booking, as far as this call knows."""

    CONFIRMED = "confirmed"
    ALREADY_CONFIRMED = "already_confirmed"
    WAIT = "wait"
    GAVE_UP = "gave_up"
    NOT_ACTIONABLE = "not_actionable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one call of ``inline`` or ``job``.

    Attributes:
        verdict: *confirmed* by this call; *already confirmed* by someone else; *wait*: still pending, and a job
            should look again at ``wait_until``; *gave up*: still pending, and no job will change that; *not
            actionable*: cancelled, completed, waitlisted, or not in the store at all (then ``decision`` is ``None``).
        decision: the policy's last word, and why.
        attempted: the planner was called.
        attempt_id: the attempt's id; ``None`` when another attempt had the booking's lease.
        result: what was recorded; ``None`` when nothing was.
        plan: the tables, when confirmed by this call.
        wait_until: for *wait*, when to look again (aware).
        parked: *wait* of which the staff has been told; see :class:`~assign_core.decision.Decision`.
        capacity_version: while parked, the version that ends the wait when it grows; ``None``: only time ends it.
        email: the ledger's state of the e-mail this call queued or delivered; ``None``: it did neither.
        handed_over: the deadline has passed, and the very same attempt goes on in the background.
    """

    booking_id: str
    verdict: Verdict
    decision: Decision | None
    attempted: bool = False
    attempt_id: str | None = None
    result: LastResult | None = None
    plan: Plan | None = None
    wait_until: datetime | None = None
    parked: bool = False
    capacity_version: int | None = None
    email: EmailState | None = None
    handed_over: bool = False
