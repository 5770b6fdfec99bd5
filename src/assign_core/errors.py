"""What can go wrong at the edge of the core, and what to do about it.

The core never raises because the world misbehaved: a planner that fails is a result, and any result has a
decision. It does refuse values that cannot be meant, where they enter, and says which value and what to do.
"""

from __future__ import annotations

from datetime import UTC, datetime


class AssignError(Exception):
    """Base of every error that assign-core raises on purpose."""


class InvalidValue(AssignError, ValueError):
    """A value that no caller can mean: it is refused where it enters, and nothing has been done."""


class NaiveTime(InvalidValue):
    """A time without a zone. Ages computed from it would be wrong by hours, so it is refused."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(f"{name} has no time zone: {value}; pass an aware time such as datetime.now(timezone.utc)")


class BookingNotFound(AssignError, LookupError):
    """The booking store knows no booking of this id."""

    def __init__(self, booking_id: str) -> None:
        super().__init__(f"no booking {booking_id!r} in the store; create the booking before asking for its tables")


class DeadlineExceeded(BaseException):
    """Thrown into a flow at the effect that it awaits when its time is up.

    Not an ``Exception``: a flow that catches the failures of a planner must not swallow its own deadline.

    Attributes:
        begun: the effect may have been performed, in part or whole; ``False``: no time was left to begin it.
    """

    def __init__(self, effect: object, *, begun: bool = True) -> None:
        super().__init__(effect)
        self.begun = begun


def aware(name: str, value: datetime) -> datetime:
    """``value`` in UTC.

    Raises:
        NaiveTime: it has no zone.
        InvalidValue: it is not a time, or lies outside what UTC can hold.
    """
    if value.__class__ is datetime and value.tzinfo is UTC:
        return value
    if not isinstance(value, datetime):
        raise InvalidValue(f"{name} is not a time: {value!r}; pass a datetime with a zone")
    if value.utcoffset() is None:
        raise NaiveTime(name, value)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidValue(f"{name} is outside the calendar in UTC: {value}") from None
