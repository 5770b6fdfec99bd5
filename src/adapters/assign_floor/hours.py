"""When the house serves, and how long a party keeps its tables.

A service is given in local wall time and recurs every day. On the two odd nights of the year a wall time may not
exist or may come twice; it is then read as calendars do (RFC 5545, section 3.3.5): a skipped time counts on from
before the gap, and a repeated one means its first occurrence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import attrs

_DAY = timedelta(days=1)


def _first_occurrence(value: time) -> time:
    return value.replace(fold=0)


@attrs.frozen(kw_only=True)
class Service:
    """A daily service such as lunch, half-open: [opens, closes) in local wall time.

    ``closes`` at or before ``opens`` means the next day, so equal times mean a service round the clock.

    Raises:
        ValueError: an empty name, or a time that carries a time zone of its own.
    """

    name: str
    opens: time = attrs.field(converter=_first_occurrence)
    closes: time = attrs.field(converter=_first_occurrence)

    def __attrs_post_init__(self) -> None:
        if not self.name:
            raise ValueError("A service's name is empty; guests and staff read it in refusals.")
        for label, value in (("opens", self.opens), ("closes", self.closes)):
            if value.tzinfo is not None:
                raise ValueError(
                    f"Service {self.name!r} {label} at {value.isoformat()} with a time zone of its own; "
                    "give the plain wall time, and the zone as the floor's tz."
                )

    def on(self, day: date, tz: tzinfo) -> tuple[datetime, datetime]:
        """Opening and closing, in UTC, of the service that opens on the local date ``day``."""
        last = day + _DAY if self.closes <= self.opens else day
        opens = datetime.combine(day, self.opens, tzinfo=tz)
        return opens.astimezone(UTC), datetime.combine(last, self.closes, tzinfo=tz).astimezone(UTC)

    def overlaps(self, other: Service) -> bool:
        """Whether the two share a moment of the 24-hour clock face."""
        (mine, until), (theirs, theirs_until) = self._face(), other._face()
        return any(mine < theirs_until + turn and theirs + turn < until for turn in (-_DAY, timedelta(), _DAY))

    def _face(self) -> tuple[timedelta, timedelta]:
        opens, closes = _since_midnight(self.opens), _since_midnight(self.closes)
        return opens, closes + _DAY if closes <= opens else closes


def _since_midnight(value: time) -> timedelta:
    return timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)


def _steps(steps: Iterable[tuple[int | None, timedelta]]) -> tuple[tuple[int | None, timedelta], ...]:
    return tuple((most, stay) for most, stay in steps)


@attrs.frozen
class Durations:
    """How long a party stays, by its size: steps of (largest party, stay) in ascending order.

    The last step also serves every larger party, so its own bound may be ``None``.

    >>> Durations([(2, timedelta(minutes=90)), (None, timedelta(hours=2))]).of(5)
    datetime.timedelta(seconds=7200)

    Raises:
        ValueError: no steps, bounds that do not rise from 1, or a stay that is not positive.
    """

    steps: tuple[tuple[int | None, timedelta], ...] = attrs.field(converter=_steps)

    def __attrs_post_init__(self) -> None:
        if not self.steps:
            raise ValueError("Durations have no steps; give at least (None, stay), which serves every party.")
        below = 0
        for position, (most, stay) in enumerate(self.steps, 1):
            if stay <= timedelta():
                raise ValueError(f"Durations give parties of up to {most} a stay of {stay}; it must be positive.")
            if most is None:
                if position < len(self.steps):
                    raise ValueError(f"Durations step {position} is open-ended (None); only the last one may be.")
            elif most <= below:
                raise ValueError(f"Durations step {position} ends at {most}, after {below}; bounds must rise from 1.")
            else:
                below = most

    def of(self, party: int) -> timedelta:
        """The stay of a party of ``party`` guests, without turnover.

        Raises:
            ValueError: ``party`` is less than 1.
        """
        if party < 1:
            raise ValueError(f"A party of {party} has no duration; a party is at least 1 guest.")
        for most, stay in self.steps:
            if most is None or party <= most:
                return stay
        return self.steps[-1][1]


DEFAULT_DURATIONS = Durations(
    (
        (2, timedelta(minutes=90)),
        (4, timedelta(minutes=105)),
        (6, timedelta(minutes=120)),
        (None, timedelta(minutes=150)),
    )
)
"""90 minutes for two, 105 for four, two hours for six, two and a half beyond."""


def check_services(services: tuple[Service, ...]) -> None:
    """Raise ``ValueError`` when two of the services overlap, naming both."""
    for one, other in itertools.combinations(services, 2):
        if one.overlaps(other):
            raise ValueError(
                f"Services {one.name!r} ({one.opens:%H:%M}-{one.closes:%H:%M}) and {other.name!r} "
                f"({other.opens:%H:%M}-{other.closes:%H:%M}) overlap; a start must belong to one of them at most."
            )
