"""When a party would have its tables, or why it cannot come then.

All arithmetic is on UTC, so an evening on which the clock changes is as long as it really is: a stay of two hours
is two hours for the guests, whatever the wall clock says. Only the text of a refusal uses local time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

from assign_floor.floor import Floor

_SLOT = timedelta(minutes=15)


def _utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError(f"The time {value.isoformat()} has no time zone; attach the restaurant's zone or UTC.")
    return value.astimezone(UTC)


@attrs.frozen(kw_only=True)
class Window:
    """A half-open span of time, [start, end), kept in UTC whatever zone it is given in.

    Raises:
        ValueError: a time without a zone, or an end that is not after the start.
    """

    start: datetime = attrs.field(converter=_utc)
    end: datetime = attrs.field(converter=_utc)

    def __attrs_post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(
                f"The window starts at {self.start.isoformat()} and ends at {self.end.isoformat()}; "
                "the end must be later."
            )

    def overlaps(self, other: Window) -> bool:
        """Whether the two share a moment; windows that only touch do not."""
        return self.start < other.end and other.start < self.end

    def slots(self) -> tuple[datetime, ...]:
        """The starts, in UTC, of all quarter hours that the window touches, in order."""
        past = timedelta(minutes=self.start.minute % 15, seconds=self.start.second, microseconds=self.start.microsecond)
        slot = self.start - past
        slots = []
        while slot < self.end:
            slots.append(slot)
            slot += _SLOT
        return tuple(slots)


@attrs.frozen
class Refusal:
    """Why the house cannot take a party at that time, whatever tables are free."""

    reason: str


def window_for(floor: Floor, party: int, start: datetime) -> Window | Refusal:
    """The window a party would occupy, turnover included, or why the service rules it out.

    The turnover counts against the closing time as well: the tables have to be clear when the service ends.

    Raises:
        ValueError: ``start`` has no time zone, or ``party`` is less than 1.
    """
    begins = _utc(start)
    window = Window(start=begins, end=begins + floor.durations.of(party) + floor.turnover)
    if not floor.services:
        return window
    local = begins.astimezone(floor.tz)
    today = local.date()
    # A service may have opened yesterday and run past midnight.
    sittings = [
        (*service.on(day, floor.tz), service)
        for day in (today - timedelta(days=1), today)
        for service in floor.services
    ]
    around = [sitting for sitting in sittings if sitting[0] <= begins < sitting[1]]
    if not around:
        return Refusal(f"Outside service hours ({local:%H:%M}).")
    # Services do not overlap on the clock face, but a skipped hour can push one into the next: the later one counts.
    _, closes, service = max(around, key=lambda sitting: sitting[0])
    if window.end > closes:
        return Refusal(f"Reservation would overrun {service.name} service (end {service.closes:%H:%M}).")
    return window
