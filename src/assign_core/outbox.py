"""What a sender does with a queued e-mail, decided without sending anything.

Handing an e-mail over has three steps, and a crash may fall between any two: mark it as being sent, send it, settle it.
So a mark that is found old means *unknown*: it is shown to people, and sent again only by a transport that says that it
recognises the idempotency key. Losing an answer is never taken for a refusal.

An e-mail waits, and meanwhile its booking goes on. Its words are made from the booking as it is when they are sent, so
what is no longer true is not said: a confirmation of a booking that the guest has moved or cancelled is withdrawn. A
booking that is confirmed again queues it again. Every adapter's ledger asks :func:`still_true`, :func:`next_step` and
:func:`end_of`, so that none can be braver than another.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

from assign_core.booking import OPEN, SEATED, EmailState
from assign_core.errors import AssignError
from assign_core.ports import Email, EmailKind
from assign_core.word import Word


class EmailRefused(AssignError):
    """Raised by a transport that will never accept this e-mail, for instance because it has no address."""


class EmailNotSent(AssignError):
    """Raised by a transport that is sure not to have handed it over, for instance because nobody answered.

    The e-mail goes on waiting, and is tried again.
    """


class MailSystemAway(EmailNotSent):
    """Raised by a transport that could hand over no other e-mail either, for instance because nobody answers.

    A relay ends its round with it.
    """


class Transport(Protocol):
    """The mail system.

    Returning means that it accepted the e-mail. Raising anything but :class:`EmailRefused` and :class:`EmailNotSent`
    (or :class:`MailSystemAway`, which is one) leaves open whether it did.
    """

    @property
    def deduplicates(self) -> bool:
        """A second e-mail with the same idempotency key is not sent."""
        ...

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None: ...


class AsyncTransport(Protocol):
    """:class:`Transport`, asynchronous."""

    @property
    def deduplicates(self) -> bool: ...

    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None: ...


class Step(Word):
    """What to do with a ledger's row."""

    SEND = "send"
    """It is yours: mark it as being sent, and send it."""
    LEAVE = "leave"
    """It is settled, or somebody is sending it."""
    GIVE_UP = "give_up"
    """Its sender died: settle it as unknown."""
    WITHDRAW = "withdraw"
    """Nobody has begun, and what it would say is no longer so: forget it."""


def still_true(email: Email, *, status: str | None, revision: int | None) -> bool:
    """Whether a booking still is as the e-mail says: of that revision and, to the guest, seated; to the staff, open.

    Args:
        status, revision: the booking's; ``None``: there is no such booking any more.
    """
    return revision == email.revision and status in (OPEN if email.kind is EmailKind.STAFF_NOTICE else SEATED)


def next_step(
    state: EmailState, sending_until: datetime | None, *, now: datetime, deduplicates: bool, called_for: bool
) -> Step:
    """What a sender may do.

    Args:
        state, sending_until: the ledger's row; ``sending_until`` is the end of the last sender's lease.
        deduplicates: the transport recognises the idempotency key.
        called_for: the booking still is as the e-mail says: :func:`still_true`.
    """
    if state is EmailState.UNKNOWN and deduplicates and called_for:
        return Step.LEAVE if sending_until is not None and sending_until > now else Step.SEND
    if state is not EmailState.CLAIMED:
        return Step.LEAVE
    if sending_until is None:
        return Step.SEND if called_for else Step.WITHDRAW
    if sending_until > now:
        return Step.LEAVE
    return Step.SEND if deduplicates and called_for else Step.GIVE_UP


class End(NamedTuple):
    """How a hand-over ended that its transport did not accept."""

    state: EmailState
    """As what the ledger settles it."""
    reason: str
    raises: bool
    """Whether the transport's exception goes on once that is settled."""


def end_of(error: BaseException) -> End:
    """What it means that a transport has raised this."""
    match error:
        case EmailRefused():
            return End(EmailState.FAILED, str(error), raises=False)
        case EmailNotSent():
            return End(EmailState.CLAIMED, str(error), raises=isinstance(error, MailSystemAway))
        case _:
            return End(EmailState.UNKNOWN, f"{type(error).__name__}: {error}", raises=True)
