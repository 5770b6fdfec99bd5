"""Who acts, and in what house: what a schedule is a schedule of.

An actor's name is its kind, with a number if there are several: ``job`` and ``job2`` are two jobs for one booking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from assign_core.flows import OnDeadline
from assign_core.last_result import LastResult, Source
from assign_core.policy import Policy
from assign_core.ports import NoHold
from assign_core.reasons import ReasonCode
from assign_testing.explorer.world import World

BOOKING: Final = "b"
"""The booking that everything is about."""
RIVAL: Final = "c"
"""Another, which wants the same tables."""

KINDS: Final = {
    "inline": "the guest's request attempts",
    "job": "a job attempts",
    "worker": "a worker sees the job to its end, and sleeps between attempts",
    "relay": "the mail relay looks into the outbox once",
    "modify": "the guest modifies the booking, for two",
    "cancel": "the guest cancels",
    "by_hand": "staff confirm the booking by hand, at the large table",
    "seat_other": "staff seat another party at the small table, held or not",
    "free": "another party cancels, and its table is free",
    "rival": "another guest's request attempts",
}


@dataclass(frozen=True, slots=True)
class House:
    """A situation.

    Attributes:
        furnish: makes it in an empty world.
        planner_says: the answer of a planner that is broken; ``None``: it searches.
        deduplicates: the mail system recognises idempotency keys.
        jobs_ahead: seconds by which the clocks of the jobs' processes are ahead of the store's.
    """

    name: str
    furnish: Callable[[World], object]
    planner_says: NoHold | None = None
    deduplicates: bool = False
    jobs_ahead: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A cast of actors in a house."""

    cast: tuple[str, ...]
    house: House
    policy: Policy = field(default_factory=Policy)
    on_deadline: OnDeadline = "cancel"

    @property
    def name(self) -> str:
        handed = "" if self.on_deadline == "cancel" else ", hand over"
        return f"{{{', '.join(self.cast)}}} in {self.house.name}{handed}"


def kind_of(actor: str) -> str:
    """``job`` for ``job2``, and for ``job2~3``, its third life."""
    return actor.partition("~")[0].rstrip("0123456789")


_AHEAD: Final = timedelta(hours=3)
"""Near enough for the cutoff to end what nobody else ends, and far enough for every budget to be used."""


def _book(world: World, booking_id: str = BOOKING, party: int = 2, ahead: timedelta = _AHEAD) -> None:
    world.book(booking_id, party=party, start_at=world.clock.now() + ahead)


def seat_walk_in(world: World) -> bool:
    """Staff give the small table to a party at the door; ``False`` if it is taken."""
    walk_in = "other-walk-in"
    _book(world, walk_in, ahead=world.look(BOOKING).start_at - world.clock.now())
    seated = world.seat_by_hand(walk_in, ["small"])
    if not seated:
        world.cancel(walk_in)  # they leave again
    return seated


def _fill(world: World, *tables: str, ahead: timedelta = _AHEAD) -> None:
    for table in tables:
        _book(world, f"other-{table}", ahead=ahead)
        if not world.seat_by_hand(f"other-{table}", [table]):
            raise RuntimeError(f"table {table!r} is not free in a new world; the backend's reset() left something")


def _free(world: World) -> None:
    _book(world)


def _one_table(world: World) -> None:
    _book(world)
    _book(world, RIVAL)
    _fill(world, "small")


def _full(world: World) -> None:
    _book(world)
    _fill(world, "small", "large")


def _too_large(world: World) -> None:
    _book(world, party=8)


def _refusing(world: World) -> None:
    _book(world)
    world.refuse("small")


def _refusing_all(world: World) -> None:
    _book(world)
    world.refuse("small", "large")


def _late(world: World) -> None:
    """So near to the start that a few minutes bring the cutoff."""
    ahead = timedelta(minutes=14)
    _book(world, ahead=ahead)
    _fill(world, "small", "large", ahead=ahead)


def _stale(world: World) -> None:
    """An attempt of ten minutes ago found no seats, and nobody kept versions then. There are seats now."""
    _book(world)
    old = LastResult(
        source=Source.JOB,
        recorded_at=world.clock.now() - timedelta(minutes=10),
        success=False,
        reason="No suitable tables available",
        reason_code=ReasonCode.NO_CAPACITY,
        attempt_id="old/1",
        attempt=2,
    )
    world.plant(BOOKING, old)


FREE: Final = House("a free house", _free)
KEYED: Final = House("a free house whose mail system knows keys", _free, deduplicates=True)
ONE_TABLE: Final = House("a house with one table left", _one_table)
FULL: Final = House("a full house", _full)
TOO_LARGE: Final = House("a house too small for the party", _too_large)
REFUSING: Final = House("a house whose confirm refuses the first plan", _refusing)
BROKEN: Final = House("a house with a broken planner", _free, planner_says=NoHold(reason="fetch failed"))
STALE: Final = House("a free house with stale evidence", _stale)
STUBBORN: Final = House("a house whose confirm refuses every plan", _refusing_all)
HOPELESS: Final = House(
    "a free house whose planner calls it hopeless",
    _free,
    planner_says=NoHold(reason="Overruns the service", reason_code=ReasonCode.SERVICE_OVERRUN),
)
LATE: Final = House("a full house shortly before the start", _late)

FAST: Final = House("a free house whose jobs have fast clocks", _free, jobs_ahead=20.0)
SLOW: Final = House("a full house whose jobs have slow clocks", _full, jobs_ahead=-20.0)

_ALL: Final = (FREE, KEYED, ONE_TABLE, FULL, TOO_LARGE, REFUSING, STUBBORN, BROKEN, HOPELESS, STALE, LATE, FAST, SLOW)
HOUSES: Final = {house.name: house for house in _ALL}


def scenario(
    *cast: str, house: House | str = FREE, policy: Policy | None = None, on_deadline: OnDeadline = "cancel"
) -> Scenario:
    """A cast in a house.

    Raises:
        ValueError: an actor or a house that is not known, or two actors of one name.
    """
    unknown = [actor for actor in cast if kind_of(actor) not in KINDS]
    if unknown or not cast or len(set(cast)) < len(cast):
        raise ValueError(f"the cast is {cast}; pass names, each once, of {', '.join(KINDS)}, numbered where doubled")
    if isinstance(house, str):
        if house not in HOUSES:
            raise ValueError(f"no house is called {house!r}; there are {', '.join(HOUSES)}")
        house = HOUSES[house]
    return Scenario(cast=cast, house=house, policy=policy or Policy(), on_deadline=on_deadline)


EXHAUSTIVE: Final = (
    scenario("inline", "job", "relay"),
    scenario("job", "job2", "relay"),
    scenario("inline", "modify", "job", "relay"),
)
"""Every schedule of these, up to two preemptions and one fault."""


def _random() -> Iterable[Scenario]:
    yield from EXHAUSTIVE
    yield scenario("inline", "job", "relay", "by_hand")
    yield scenario("inline", "job", "relay", "relay2", house=KEYED)
    yield scenario("inline", "rival", "job", "relay", house=ONE_TABLE)
    yield scenario("inline", "job", "free", "relay", house=FULL)
    yield scenario("inline", "modify", "job", "relay", house=TOO_LARGE)
    yield scenario("inline", "job", "job2", "relay", house=REFUSING)
    yield scenario("inline", "job", "job2", house=BROKEN)
    yield scenario("inline", "job", "relay", house=STALE)
    yield scenario("inline", "job", "cancel", "relay")
    yield scenario("inline", "job", "modify", "by_hand", "relay")
    yield scenario("inline", "job", "relay", on_deadline="hand_over")
    yield scenario("inline", "job", "modify", "relay", house=KEYED, on_deadline="hand_over")
    yield scenario("inline", "job", "free", "relay", house=FULL, on_deadline="hand_over")
    yield scenario("inline", "job", "seat_other", "relay")
    yield scenario("inline", "job", "by_hand", "relay", house=HOPELESS)
    yield scenario("inline", "job", "job2", house=STUBBORN)
    yield scenario("inline", "job", "free", "relay", house=LATE)
    yield scenario("inline", "worker", "free", "relay", house=LATE)
    yield scenario("inline", "worker", "seat_other", "modify")
    yield scenario("inline", "job", "modify", "relay", house=FAST)
    yield scenario("inline", "job", "free", "relay", house=SLOW)


RANDOM: Final = tuple(_random())
"""What random schedules are drawn from."""
