"""What can go wrong at one step, and which of it can go wrong where.

A step is one effect of a flow, or one stretch of a sender between two points at which it waits. Faults that differ in
nothing that anybody could see are listed once.
"""

from __future__ import annotations

from typing import Final

from assign_core.word import Word


class Fault(Word):
    """What happens at a step instead of its being performed and answered."""

    FAILED = "failed"
    """Not performed; the port raises."""
    LOST = "lost"
    """Performed; the answer is lost, and the port raises."""
    REFUSED = "refused"
    """Not performed; the mail system says that it never will be."""
    NOT_SENT = "not_sent"
    """Not performed; the mail system is sure that it has not been, and may be asked again."""
    AWAY = "away"
    """The same, and it is away for everybody."""
    STOPPED = "stopped"
    """The world stops here for this actor: not performed, and nothing is cleaned up. It is started again later."""
    LATE = "late"
    """Time is up before it is performed; it never is."""
    LATE_LOST = "late_lost"
    """Performed; time is up before the answer comes, and nobody waits for it, unless the search may outlive it."""
    LATE_ANSWER = "late_answer"
    """Performed; the answer comes when time is up."""
    IN_FLIGHT = "in_flight"
    """Time is up and nobody waits; but it is on its way, and is performed at some later moment."""
    ASLEEP = "asleep"
    """The process sleeps until every lease and hold has expired, and then goes on as if nothing had been."""
    CANCELLED = "cancelled"
    """The host cancels before it is performed."""
    CANCELLED_AFTER = "cancelled_after"
    """Performed; the host cancels instead of hearing the answer."""


LONG: Final = 600.0
"""Seconds that outlast every lease and every hold."""

WORK: Final = (
    Fault.FAILED,
    Fault.LOST,
    Fault.STOPPED,
    Fault.LATE,
    Fault.LATE_LOST,
    Fault.LATE_ANSWER,
    Fault.IN_FLIGHT,
    Fault.ASLEEP,
    Fault.CANCELLED,
    Fault.CANCELLED_AFTER,
)
"""At an effect that time limits and a cancellation reaches."""
CLEANUP: Final = (Fault.FAILED, Fault.LOST, Fault.STOPPED, Fault.IN_FLIGHT, Fault.ASLEEP)
"""At an effect that is shielded."""
OUTLIVING: Final = tuple(fault for fault in WORK if fault is not Fault.IN_FLIGHT)
"""At a search that may outlive the deadline: it is in flight whenever it is late."""
BACKGROUND: Final = (Fault.FAILED, Fault.STOPPED, Fault.ASLEEP)
"""Where a host answers its guest and goes on. It may have no background any more."""
ABANDON: Final = (Fault.STOPPED,)
"""Where nobody waits for a search any more; whoever stops here does not give back what it takes."""
ASLEEP: Final = (Fault.STOPPED, Fault.CANCELLED)
"""While a job waits for its next attempt."""
CLAIM: Final = (Fault.FAILED, Fault.LOST, Fault.STOPPED, Fault.ASLEEP)
"""When a sender looks into the outbox and claims."""
HAND_OVER: Final = (
    Fault.FAILED,
    Fault.LOST,
    Fault.REFUSED,
    Fault.NOT_SENT,
    Fault.AWAY,
    Fault.STOPPED,
    Fault.ASLEEP,
    Fault.CANCELLED,
    Fault.CANCELLED_AFTER,
)
"""When it hands an e-mail to the mail system. A shield does not last for ever, so a cancellation may arrive here."""
SETTLE: Final = (Fault.FAILED, Fault.LOST, Fault.STOPPED, Fault.ASLEEP)
"""When it notes what became of it."""
NOTHING: Final[tuple[Fault, ...]] = ()

NOT_PERFORMED: Final = frozenset(
    {
        Fault.FAILED,
        Fault.REFUSED,
        Fault.NOT_SENT,
        Fault.AWAY,
        Fault.STOPPED,
        Fault.LATE,
        Fault.IN_FLIGHT,
        Fault.ASLEEP,
        Fault.CANCELLED,
    }
)
MOVES_CLOCK: Final = frozenset({Fault.LATE, Fault.LATE_LOST, Fault.LATE_ANSWER, Fault.IN_FLIGHT, Fault.ASLEEP})
HEARD: Final = frozenset({Fault.REFUSED, Fault.NOT_SENT, Fault.AWAY})
"""The sender hears what became of its e-mail, so nobody may call it unknown."""


class Unreachable(ConnectionError):
    """What a port raises when a schedule says that it failed."""


class Cancelled(BaseException):
    """A cancellation, as a host's framework would throw it."""
