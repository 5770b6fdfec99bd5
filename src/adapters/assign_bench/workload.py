"""A workload: everything that happens to a restaurant in one service, whatever policy assigns its tables.

It is a frozen value that says who books, changes, cancels, stays away and walks in, what the staff does, when the
planner is in trouble and how long it takes. Two policies that are given the same workload are given the same world,
down to the how-manyeth search for a booking; and because it is a value, it can be written to a file and run again.

Times are seconds after :attr:`Workload.begins`, unless they are ``datetime``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from attrs import field, frozen
from attrs.validators import deep_iterable, ge, instance_of

from assign_core.flows import OnDeadline
from assign_floor import Floor, Table
from assign_sim import LogNormal

_FOUND: Final = LogNormal(6.0, 12.5)
_NOTHING: Final = LogNormal(42.0, 218.0)
_REFUSED: Final = LogNormal(0.3, 0.5)


@frozen(kw_only=True)
class Latencies:
    """How long things take, in seconds.

    The planner's are log-normal, fitted by median and 95th percentile to a real booking system's recordings: a search
    that finds tables takes 6.0 s and 12.5 s, one that finds none 42 s and 218 s, and what the service rules out is
    refused in 0.3 s and 0.5 s.

    Attributes:
        found, nothing, refused: a search, by its outcome.
        unreachable: until a planner that is down says so.
        store: a round trip to the database.
        transport: handing an e-mail over.
    """

    found: LogNormal = _FOUND
    nothing: LogNormal = _NOTHING
    refused: LogNormal = _REFUSED
    unreachable: float = 0.05
    store: float = 0.005
    transport: float = 0.3


@frozen(kw_only=True)
class Change:
    """The guest changes the booking. ``None`` leaves party or time as it is."""

    at: float
    party: int | None = None
    start_at: datetime | None = None


@frozen(kw_only=True)
class Guest:
    """One booking's life as the guest leads it.

    Attributes:
        books_at: when the request arrives.
        start_at: when the party means to come.
        cancels_at: when the guest cancels; ``None``: never.
        change: what the guest changes; ``None``: nothing.
        no_show: a seated party does not come. Its tables are given away a quarter of an hour after the start.
        promised: the zone that the staff has promised. The planner does not know; the confirm insists on it.
    """

    booking_id: str
    party: int
    books_at: float
    start_at: datetime
    cancels_at: float | None = None
    change: Change | None = None
    no_show: bool = False
    promised: str | None = None


@frozen(kw_only=True)
class WalkIn:
    """A party at the door. The staff seats it at once, at tables that nobody has or holds, or turns it away."""

    id: str
    at: float
    party: int


@frozen(kw_only=True)
class Elsewhere:
    """A party that asks on another channel: a partner's widget, or the staff at the telephone.

    The channel takes a hold on tables, if it finds any, and keeps it while the party decides.

    Attributes:
        held_for: seconds for which the hold lasts.
        decides_after: seconds until the party says yes or no; ``None``: it never does, and the hold expires.
        stays: it says yes, and sits at these tables. With a no they are let go.

    Raises:
        ValueError: it decides when its hold has expired, or says yes by saying nothing.
    """

    id: str
    at: float
    party: int
    start_at: datetime
    held_for: float
    decides_after: float | None
    stays: bool

    def __attrs_post_init__(self) -> None:
        if self.stays and self.decides_after is None:
            raise ValueError(f"party {self.id!r} stays and never says so; give it a time to decide after")
        if self.decides_after is not None and not 0 < self.decides_after < self.held_for:
            raise ValueError(
                f"party {self.id!r} decides after {self.decides_after:g} s, and its hold lasts {self.held_for:g} s; "
                "let it decide before"
            )


@frozen(kw_only=True)
class ByHand:
    """A member of staff tries to seat a booking that still waits, joining any tables of one zone that may be joined."""

    at: float
    booking_id: str


@frozen(kw_only=True)
class FloorChange:
    """The staff takes tables out, or puts tables up. A party that sits at a table taken out keeps it."""

    at: float
    removes: tuple[str, ...] = ()
    adds: tuple[Table, ...] = ()
    beside: tuple[tuple[str, str], ...] = ()


TroubleKind = Literal["refuses", "hangs", "slow"]


@frozen(kw_only=True)
class Trouble:
    """A time in which the planner refuses connections, never answers, or takes ``factor`` times as long.

    It is the moment at which a search *begins* that counts.
    """

    begins: float
    ends: float
    kind: TroubleKind
    factor: float = 1.0


@frozen(kw_only=True)
class Workload:
    """One service of one restaurant.

    Attributes:
        name, seed: what made it.
        begins: the virtual clock's start; aware.
        fixed: tables that may not be joined with others. The planner takes them for movable; the confirm refuses.
        ends: when the last table is cleared, in seconds.
        web_workers: guests' requests that are served at once.
        job_workers: job attempts that run at once; a job that sleeps needs none.
        on_deadline: what becomes of an inline search that the deadline interrupts.

    Raises:
        ValueError: no workers, or a booking id twice.
    """

    name: str
    seed: int
    begins: datetime
    ends: float
    floor: Floor
    guests: tuple[Guest, ...] = field(validator=deep_iterable(instance_of(Guest)))
    walk_ins: tuple[WalkIn, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    floor_changes: tuple[FloorChange, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    fixed: tuple[str, ...] = ()
    latencies: Latencies = Latencies()
    web_workers: int = field(default=4, validator=ge(1))
    job_workers: int = field(default=6, validator=ge(1))
    on_deadline: OnDeadline = "hand_over"

    def __attrs_post_init__(self) -> None:
        ids = [guest.booking_id for guest in self.guests]
        ids += [walk_in.id for walk_in in self.walk_ins] + [party.id for party in self.elsewhere]
        if len(set(ids)) < len(ids):
            raise ValueError(f"workload {self.name!r} of seed {self.seed} has a booking id twice; ids are unique")

    def trouble_at(self, seconds: float) -> Trouble | None:
        """What is wrong with the planner at that time."""
        return next((each for each in self.troubles if each.begins <= seconds < each.ends), None)

    def refuses_at(self, seconds: float) -> bool:
        """The planner refuses connections at that time."""
        trouble = self.trouble_at(seconds)
        return trouble is not None and trouble.kind == "refuses"


NO_SHOW_AFTER: Final = 15 * 60.0
"""Seconds after the start at which the staff gives up waiting for a party."""
