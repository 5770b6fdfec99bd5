"""What the policy needs to know of the host's row, and nothing else.

The host's booking has names, notes and prices; the policy sees its status, its start, how often it was modified,
what may have become free around it, and whether the guest has been written to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from assign_core.errors import InvalidValue, aware
from assign_core.word import Word


class BookingStatus(Word):
    """The statuses the core acts on. A host may have others; the core leaves such bookings alone."""

    PENDING = "pending"
    PENDING_ALLOCATION = "pending_allocation"
    CONFIRMED = "confirmed"
    CHECKED_IN = "checked_in"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"


OPEN: Final = frozenset({BookingStatus.PENDING.value, BookingStatus.PENDING_ALLOCATION.value})
"""Statuses that a table may be assigned to, and the only ones a confirm may leave."""
SEATED: Final = frozenset({BookingStatus.CONFIRMED.value, BookingStatus.CHECKED_IN.value})
CLOSED: Final = frozenset({BookingStatus.COMPLETED.value, BookingStatus.CANCELLED.value, BookingStatus.NO_SHOW.value})


class EmailState(Word):
    """What the ledger says of one e-mail (a booking, a kind, a revision)."""

    CLAIMED = "claimed"
    """The intent is durable, and one sender at a time may act on it."""
    SENT = "sent"
    """The transport accepted it."""
    UNKNOWN = "unknown"
    """It was handed over and the answer was lost. Shown to people, not silently sent again."""
    FAILED = "failed"
    """The transport refused it for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A booking as the policy sees it.

    Attributes:
        id: the host's identifier.
        status: one of :class:`BookingStatus`, or a status of the host's own (such as a waitlist's).
        start_at: when the guests come; ``None`` where the host does not know yet, and then there is no cutoff.
        revision: how often guest or staff modified the booking. Evidence of an older revision does not count.
        capacity_version: grows whenever seats may have become free in the booking's window; ``None``: not kept.
        email: the ledger's state of this revision's confirmation; ``None``: nobody has claimed it.

    Raises:
        NaiveTime: ``start_at`` has no zone.
        InvalidValue: an empty id, or a negative revision.
    """

    id: str
    status: str = BookingStatus.PENDING.value
    start_at: datetime | None = None
    revision: int = 0
    capacity_version: int | None = None
    email: EmailState | None = None

    def __post_init__(self) -> None:
        if self.start_at is not None:
            object.__setattr__(self, "start_at", aware("start_at", self.start_at))
        if not self.id:
            raise InvalidValue("a booking's id is empty; pass the host's identifier")
        if self.revision < 0:
            raise InvalidValue(f"revision of booking {self.id!r} is negative: {self.revision}; revisions count from 0")
