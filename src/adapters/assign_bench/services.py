"""The workloads there are, each made from a seed and nothing else.

All of them are a dinner in the sample restaurant (24 tables, 80 seats, room for some 33 parties), booked on the same
day. They differ in how many ask, when, and what goes wrong; :data:`WORKLOADS` says how.

Parties, times and the share of changes follow the usual shape of a dinner service: twos and fours, a peak at half past
seven, one in eight cancelled, one in twelve changed, one in twenty not kept.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from assign_bench.workload import ByHand, Change, Elsewhere, FloorChange, Guest, Trouble, TroubleKind, WalkIn, Workload
from assign_core.flows import OnDeadline
from assign_floor import Floor, Table, sample_floor

MORNING: Final = datetime(2026, 1, 9, 9, 0, tzinfo=UTC)
"""When bookings open, and the clock starts."""
_HOUR: Final = 3600.0
_OPENS: Final = 9 * _HOUR
"""Dinner, in seconds after :data:`MORNING`."""
_CLOSES: Final = 14 * _HOUR
_PARTIES: Final = ((1, 4), (2, 40), (3, 14), (4, 22), (5, 8), (6, 7), (7, 2), (8, 2), (12, 1))
"""Covers and their weights."""
_TIMES: Final = ((18.0, 10), (18.5, 14), (19.0, 20), (19.5, 24), (20.0, 16), (20.5, 10), (21.0, 6))
"""Start times in hours and their weights."""


@frozen(kw_only=True)
class _Shape:
    """What one kind of service is made of.

    Attributes:
        what: it is, in a sentence.
        bookings: how many ask.
        rush: share that asks within minutes of the opening.
        late: share that asks within the last two hours before coming.
        walk_ins: parties at the door.
        by_hand: bookings that a member of staff tries to seat.
        floor_changes: whether a table is taken out and another put up.
        elsewhere: parties that ask on another channel.
        promised: share of the bookings to which the staff has promised a zone.
        fixed: tables that the planner takes for movable and that are not.
        troubles: of the planner: kind, factor, and how long in minutes.
        on_deadline: what becomes of an inline search that the deadline interrupts.
        like: the workload whose evenings these are; ``None``: evenings of its own.
    """

    what: str
    bookings: int
    rush: float
    late: float
    walk_ins: int
    by_hand: int
    floor_changes: bool = True
    elsewhere: int = 0
    promised: float = 0.0
    fixed: int = 0
    troubles: tuple[tuple[TroubleKind, float, float], ...] = ()
    on_deadline: OnDeadline = "hand_over"
    like: str | None = None


_CANCELS: Final = (
    "in a host that cancels an inline search at the deadline: nearly every inline attempt ends unknown, so the job's "
    "first search is needed whoever decides, and there is less to save."
)
_BUSY: Final = _Shape(
    what="Four ask where three have room, so seats are short around half past seven.",
    bookings=45,
    rush=0.15,
    late=0.2,
    walk_ins=8,
    by_hand=2,
)
_SOLD_OUT: Final = _Shape(
    what="Three ask for each place, many of them at the moment at which bookings open.",
    bookings=100,
    rush=0.35,
    late=0.15,
    walk_ins=8,
    by_hand=4,
)
_SHAPES: Final = MappingProxyType(
    {
        "quiet": _Shape(
            what="Nearly everybody has a table at once.",
            bookings=22,
            rush=0.0,
            late=0.2,
            walk_ins=5,
            by_hand=0,
            floor_changes=False,
        ),
        "busy": _BUSY,
        "sold_out": _SOLD_OUT,
        "outage": evolve(
            _BUSY,
            what="A busy evening on which the planner refuses, hangs and is slow, for a while each.",
            troubles=(("refuses", 1.0, 12.0), ("hangs", 1.0, 10.0), ("slow", 4.0, 45.0)),
        ),
        "last_minute": _Shape(
            what="A busy evening on which most ask within the last two hours, and many walk in.",
            bookings=45,
            rush=0.0,
            late=0.8,
            walk_ins=16,
            by_hand=2,
        ),
        "rush": evolve(
            _BUSY,
            what="Most ask within minutes of the opening, while another channel holds tables for a minute or two and "
            "lets half of them go; and the confirm refuses some plans that the planner believes in.",
            bookings=45,
            rush=0.7,
            elsewhere=60,
            promised=0.2,
            fixed=8,
        ),
        "busy_cancel": evolve(_BUSY, what=f"The evenings of busy, {_CANCELS}", on_deadline="cancel", like="busy"),
        "sold_out_cancel": evolve(
            _SOLD_OUT, what=f"The evenings of sold_out, {_CANCELS}", on_deadline="cancel", like="sold_out"
        ),
    }
)

WORKLOADS: Final[Mapping[str, str]] = MappingProxyType({name: shape.what for name, shape in _SHAPES.items()})
"""The names that :func:`workload` knows, and what each is."""


def workload(name: str, seed: int) -> Workload:
    """The service of that name and seed.

    Raises:
        ValueError: no such name.
    """
    shape = _SHAPES.get(name)
    if shape is None:
        raise ValueError(f"there is no workload {name!r}; pass one of {', '.join(WORKLOADS)}")
    dice = random.Random(f"{shape.like or name}:{seed}")  # noqa: S311 - a workload has to be repeatable, not secret
    # Another's, so that what is added to a service leaves the rest of its evenings as they are.
    other = random.Random(f"{shape.like or name}:{seed}:other")  # noqa: S311 - as above
    floor = sample_floor()
    guests = sorted((_guest(dice, number, shape) for number in range(shape.bookings)), key=lambda guest: guest.books_at)
    return Workload(
        name=name,
        seed=seed,
        begins=MORNING,
        ends=_CLOSES,
        floor=floor,
        guests=tuple(_promised(other, guest, floor, shape) for guest in guests),
        walk_ins=tuple(_walk_in(dice, number) for number in range(shape.walk_ins)),
        by_hand=tuple(_by_hand(dice, guest) for guest in sorted(dice.sample(guests, shape.by_hand), key=_id)),
        floor_changes=_floor_changes(dice, floor) if shape.floor_changes else (),
        troubles=tuple(_trouble(dice, guests, *each) for each in shape.troubles),
        elsewhere=tuple(_elsewhere(other, number, shape) for number in range(shape.elsewhere)),
        fixed=tuple(sorted(other.sample([table.id for table in floor.tables if table.movable], shape.fixed))),
        on_deadline=shape.on_deadline,
    )


def _id(guest: Guest) -> str:
    return guest.booking_id


def _seconds(moment: datetime) -> float:
    return (moment - MORNING).total_seconds()


def _guest(dice: random.Random, number: int, shape: _Shape) -> Guest:
    start_at = _start(dice)
    start = _seconds(start_at)
    party = int(_weighted(dice, _PARTIES))
    books_at = _asks_at(dice, start, shape)
    later = books_at + dice.uniform(0.05, 0.95) * (start - 0.25 * _HOUR - books_at)
    fate = dice.random()
    return Guest(
        booking_id=f"b{number:04d}",
        party=party,
        books_at=books_at,
        start_at=start_at,
        cancels_at=later if fate < 0.125 else None,
        change=_change(dice, party, start_at, later) if 0.125 <= fate < 0.21 else None,
        no_show=0.21 <= fate < 0.26,
    )


def _asks_at(dice: random.Random, start: float, shape: _Shape) -> float:
    when = dice.random()
    if when < shape.rush:
        return dice.expovariate(1 / 240.0)
    if when < shape.rush + shape.late:
        return start - dice.uniform(0.4, 2.0) * _HOUR
    # Requests thicken towards the evening.
    return (start - 0.75 * _HOUR) * dice.betavariate(2.2, 1.6)


def _start(dice: random.Random) -> datetime:
    return MORNING.replace(hour=0) + timedelta(hours=_weighted(dice, _TIMES))


def _change(dice: random.Random, party: int, start_at: datetime, at: float) -> Change:
    if dice.random() < 0.5:
        return Change(at=at, party=max(1, party + dice.choice((-2, -1, 1, 2))))
    moved = start_at + timedelta(minutes=30 * dice.choice((-1, 1, 2)))
    earliest = MORNING + timedelta(seconds=max(at + 0.25 * _HOUR, _OPENS))
    return Change(at=at, start_at=moved if moved >= earliest else start_at + timedelta(minutes=30))


def _walk_in(dice: random.Random, number: int) -> WalkIn:
    at = dice.uniform(_OPENS, _OPENS + 3 * _HOUR)
    return WalkIn(id=f"w{number:04d}", at=at, party=int(_weighted(dice, _PARTIES[1:5])))


def _promised(dice: random.Random, guest: Guest, floor: Floor, shape: _Shape) -> Guest:
    """The main room and the terrace are asked for; nobody is promised the bar."""
    zones = [zone for zone in floor.zones if zone != "bar"]
    return evolve(guest, promised=dice.choice(zones)) if dice.random() < shape.promised else guest


def _elsewhere(dice: random.Random, number: int, shape: _Shape) -> Elsewhere:
    """Half stay; of the others one half says no, and the other says nothing."""
    start_at = _start(dice)
    held_for = dice.uniform(60.0, 120.0)
    fate = dice.random()
    return Elsewhere(
        id=f"e{number:04d}",
        at=_asks_at(dice, _seconds(start_at), shape),
        party=int(_weighted(dice, _PARTIES)),
        start_at=start_at,
        held_for=held_for,
        decides_after=dice.uniform(0.2, 0.9) * held_for if fate < 0.75 else None,
        stays=fate < 0.5,
    )


def _by_hand(dice: random.Random, guest: Guest) -> ByHand:
    start = _seconds(guest.start_at)
    return ByHand(at=guest.books_at + dice.uniform(0.05, 0.9) * (start - guest.books_at), booking_id=guest.booking_id)


def _floor_changes(dice: random.Random, floor: Floor) -> tuple[FloorChange, ...]:
    out = dice.choice(floor.tables).id
    put_up = Table(id="X01", seats=4, min_party=2, zone="terrace")
    return (
        FloorChange(at=dice.uniform(1.0, 8.0) * _HOUR, removes=(out,)),
        FloorChange(
            at=dice.uniform(1.0, 8.0) * _HOUR, adds=(put_up,), beside=(("T06", "X01"),) if out != "T06" else ()
        ),
    )


def _trouble(dice: random.Random, guests: list[Guest], kind: TroubleKind, factor: float, minutes: float) -> Trouble:
    """It begins shortly before somebody asks, so that it is met."""
    met = dice.choice([guest for guest in guests if guest.books_at > _HOUR])
    begins = met.books_at - dice.uniform(0.0, 0.5) * minutes * 60.0
    return Trouble(begins=begins, ends=begins + minutes * 60.0, kind=kind, factor=factor)


def _weighted(dice: random.Random, table: tuple[tuple[float, int], ...]) -> float:
    return dice.choices([value for value, _ in table], [weight for _, weight in table])[0]
