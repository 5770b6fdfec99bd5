"""The planner on PostgreSQL: the same search as the in-memory one, over a floor that is read in one query.

What the search finds free may be taken by the time it is held. So the hold is put against the exclusion constraint, and
where that says no the next candidate is tried; when all are gone it looks once more. It tells seats that are taken from
seats that are only held, and from those it knows when to come back.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from threading import Lock
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from attrs import frozen
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import await_only

from assign_core.ports import Clock, Hold, NoHold, Plan, Quote, QuoteRequest
from assign_core.reasons import ReasonCode
from assign_floor import (
    Candidate,
    Durations,
    Floor,
    Refusal,
    Search,
    Service,
    Table,
    Window,
    fits_again,
    search,
    window_for,
)
from assign_postgres.connections import async_connections, connections, unit
from assign_postgres.errors import reason_code
from assign_postgres.names import Names
from assign_postgres.rows import is_storable, statement

_LOOKS: Final = 2
"""How often a search is made before it is plain that others are faster."""
_FLOORS_KEPT: Final = 64
"""Floors that stay built. A floor changes rarely, and building one costs more than a search."""

_LOOK: Final = """
SELECT booking.id, booking.party_size, booking.start_at, booking.zone, booking.restaurant_id,
       house.timezone, extract(epoch FROM house.turnover)::float8 AS turnover,
       (SELECT json_agg(json_build_array(name, opens::text, closes::text) ORDER BY name)::text
        FROM {schema}.service_periods WHERE restaurant_id = house.id) AS services,
       (SELECT json_agg(json_build_array(max_party, extract(epoch FROM stay)::float8)
                        ORDER BY max_party NULLS LAST)::text
        FROM {schema}.seating_durations WHERE restaurant_id = house.id) AS durations,
       (SELECT json_agg(json_build_array(id, seats, min_party, zone, movable) ORDER BY id COLLATE "C")::text
        FROM {schema}.restaurant_tables WHERE restaurant_id = house.id) AS tables,
       (SELECT json_agg(json_build_array(table_a, table_b) ORDER BY table_a COLLATE "C", table_b COLLATE "C")::text
        FROM {schema}.table_adjacency
        JOIN {schema}.restaurant_tables AS one ON one.id = table_a
        WHERE one.restaurant_id = house.id) AS adjacency,
       (SELECT array_agg(DISTINCT table_id) FROM {schema}.table_assignments AS seated
        WHERE seated.restaurant_id = house.id AND seated.booking_id <> booking.id AND seated.during && wished.during
       ) AS taken,
       (SELECT json_agg(json_build_array(table_id, expires_at))::text FROM {schema}.table_holds AS hold
        WHERE hold.restaurant_id = house.id AND hold.booking_id <> booking.id AND hold.during && wished.during
          AND hold.expires_at > CAST(:now AS timestamptz)
       ) AS held
FROM {schema}.bookings AS booking
JOIN {schema}.restaurants AS house ON house.id = booking.restaurant_id
CROSS JOIN LATERAL (
    SELECT {schema}.booking_window(booking.restaurant_id, booking.party_size, booking.start_at) AS during
) AS wished
WHERE booking.id = :booking"""

_HOLD: Final = """
SELECT {schema}.hold_tables(
    :hold, :booking, :attempt, :restaurant, CAST(:tables AS text[]),
    tstzrange(CAST(:starts AS timestamptz), CAST(:ends AS timestamptz)),
    CAST(:now AS timestamptz), CAST(:until AS timestamptz)
) AS held"""

_HELD: Final = "Hold conflicts prevented all candidates"
_RELEASE: Final = "SELECT {schema}.release_holds(:booking, :attempt)"
# Before the floor is looked at, never after: a version that is newer than what the search saw would tell a parked
# booking that it has heard of seats which it has not.
#
# What this attempt held before was refused. It is given back even before that, so that it is no news to a search that
# fails; to all others it is.
_VERSION: Final = """
SELECT {schema}.release_holds(:booking, :attempt) AS released,
       {schema}.booking_capacity_version(:booking, CAST(:now AS timestamptz)) AS version"""


@frozen
class _Seen:
    """What one look at the house says."""

    row: Row[Any]
    version: int | None
    floor: Floor
    taken: frozenset[str]
    held: Mapping[str, datetime]


class FloorReader:
    """Reads the house and builds its floor; a floor that has not changed is not built again."""

    def __init__(self) -> None:
        self._floors: OrderedDict[tuple[object, ...], Floor] = OrderedDict()
        self._lock = Lock()

    def seen(self, row: Row[Any], version: int | None) -> _Seen:
        """Raises ``LookupError`` for a house without tables or durations."""
        if not row.tables or not row.durations:
            missing = "restaurant_tables" if not row.tables else "seating_durations"
            raise LookupError(f"restaurant {row.restaurant_id!r} has no {missing}; add them before quoting")
        held: dict[str, datetime] = {}
        for table, until in json.loads(row.held or "[]"):
            expires = datetime.fromisoformat(until)
            held[table] = max(expires, held.get(table, expires))
        return _Seen(row, version, self._floor(row), frozenset(row.taken or ()), held)

    def _floor(self, row: Row[Any]) -> Floor:
        key = (row.timezone, row.turnover, row.services, row.durations, row.tables, row.adjacency)
        with self._lock:
            floor = self._floors.get(key)
            if floor is not None:
                self._floors.move_to_end(key)
                return floor
        built = _built(row)  # without the lock, which the searches in other houses want too
        with self._lock:
            # Of two that were built at once one is kept, because a floor remembers what it worked out.
            floor = self._floors.setdefault(key, built)
            while len(self._floors) > _FLOORS_KEPT:
                self._floors.popitem(last=False)
            return floor


def _built(row: Row[Any]) -> Floor:
    durations = [(party, timedelta(seconds=seconds)) for party, seconds in json.loads(row.durations or "[]")]
    return Floor(
        tables=[
            Table(id=name, seats=seats, min_party=least, zone=zone, movable=movable)
            for name, seats, least, zone, movable in json.loads(row.tables or "[]")
        ],
        adjacent=[(one, other) for one, other in json.loads(row.adjacency or "[]")],
        services=[
            Service(name=name, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes))
            for name, opens, closes in json.loads(row.services or "[]")
        ],
        durations=Durations(durations),
        turnover=timedelta(seconds=row.turnover),
        tz=ZoneInfo(row.timezone),
    )


Aside: TypeAlias = Callable[[Callable[[], Search]], Search]


def at_once(work: Callable[[], Search]) -> Search:
    """In the caller's own thread, which waits for nothing else."""
    return work()


def beside_the_loop(work: Callable[[], Search]) -> Search:
    """In a thread: the first search of a large floor takes tens of milliseconds, which an event loop has not."""
    return await_only(asyncio.to_thread(work))


class Quotes:
    """The planner's calls against a connection.

    Args:
        aside: makes a search; where others must not wait for it, somewhere else.
    """

    def __init__(
        self, clock: Clock, names: Names, *, require_adjacency: bool, max_tables: int, aside: Aside = at_once
    ) -> None:
        self._clock = clock
        self._aside = aside
        self._version, self._look, self._hold, self._release = (
            statement(names, sql) for sql in (_VERSION, _LOOK, _HOLD, _RELEASE)
        )
        self._adjacency = require_adjacency
        self._max_tables = max_tables
        self._reader = FloorReader()

    def quote(self, connection: Connection, request: QuoteRequest, timeout: float) -> Quote:
        until = self._clock.monotonic() + timeout
        version = None
        for _ in range(_LOOKS):
            seen = self._seen(connection, request, until - self._clock.monotonic())
            if seen is None:
                return NoHold(reason="BOOKING_NOT_FOUND", reason_code=ReasonCode.BOOKING_NOT_FOUND)
            window = window_for(seen.floor, seen.row.party_size, seen.row.start_at)
            if isinstance(window, Refusal):
                return NoHold(reason=window.reason)
            found = self._search(seen, request, seen.taken | seen.held.keys())
            if not found.candidates:
                return self._nothing(seen, request, found)
            for tried, candidate in enumerate(found.candidates):
                left = until - self._clock.monotonic()
                held = self._take(connection, seen, request, window, candidate, left)
                if isinstance(held, NoHold):
                    return held
                if held is not None:
                    return self._held(seen, request, candidate, held, len(found.candidates) - tried - 1)
            # All of them were lost to others while this search was looking.
            version = seen.version
        return NoHold(reason=_HELD, reason_code=ReasonCode.HOLD_CONFLICT, capacity_version=version)

    def would_find(self, connection: Connection, request: QuoteRequest, timeout: float) -> bool:
        if not is_storable(request.booking_id):
            return False
        values = {"booking": request.booking_id, "now": self._clock.now()}
        row = unit(connection, self._clock, timeout, lambda: connection.execute(self._look, values).one_or_none())
        if row is None:
            return False
        seen = self._reader.seen(row, None)
        if isinstance(window_for(seen.floor, row.party_size, row.start_at), Refusal):
            return False
        return bool(self._search(seen, request, seen.taken | seen.held.keys()).candidates)

    def release(self, connection: Connection, booking_id: str, attempt_id: str, timeout: float) -> None:
        if not is_storable(booking_id):
            return
        values = {"booking": booking_id, "attempt": attempt_id}
        unit(connection, self._clock, timeout, lambda: connection.execute(self._release, values))

    def _seen(self, connection: Connection, request: QuoteRequest, timeout: float) -> _Seen | None:
        if not is_storable(request.booking_id):
            return None
        values = {"booking": request.booking_id, "now": self._clock.now()}

        def look() -> tuple[int | None, Row[Any] | None]:
            asked = {**values, "attempt": request.attempt_id}
            version: int | None = connection.execute(self._version, asked).one().version
            return version, connection.execute(self._look, values).one_or_none()

        version, row = unit(connection, self._clock, timeout, look)
        return None if row is None else self._reader.seen(row, version)

    def _search(self, seen: _Seen, request: QuoteRequest, busy: frozenset[str]) -> Search:
        knobs = request.strategy
        return self._aside(
            lambda: search(
                seen.floor,
                party=seen.row.party_size,
                busy=busy,
                require_adjacency=self._adjacency if knobs.require_adjacency is None else knobs.require_adjacency,
                max_tables=self._max_tables if knobs.max_tables is None else knobs.max_tables,
                excluded=[plan.tables for plan in request.excluded],
                zone=seen.row.zone,
            )
        )

    def _take(
        self,
        connection: Connection,
        seen: _Seen,
        request: QuoteRequest,
        window: Window,
        candidate: Candidate,
        timeout: float,
    ) -> tuple[str, datetime] | NoHold | None:
        """The hold's id and end; ``None`` when somebody else was faster."""
        now, hold_id = self._clock.now(), self._clock.new_id()
        until = now + timedelta(seconds=request.hold_seconds)
        values = {
            "hold": hold_id,
            "booking": request.booking_id,
            "attempt": request.attempt_id,
            "restaurant": seen.row.restaurant_id,
            "tables": list(candidate.tables),
            "starts": window.start,
            "ends": window.end,
            "now": now,
            "until": until,
        }
        try:
            leased = unit(connection, self._clock, timeout, lambda: connection.execute(self._hold, values).scalar_one())
        except DBAPIError as error:
            if reason_code(error) is ReasonCode.OVERLAP:
                return None
            raise
        if not leased:
            return NoHold(reason="BOOKING_CHANGED: attempt closed", reason_code=ReasonCode.BOOKING_CHANGED)
        return hold_id, until

    def _held(
        self, seen: _Seen, request: QuoteRequest, candidate: Candidate, held: tuple[str, datetime], alternates: int
    ) -> Hold:
        hold_id, until = held
        return Hold(
            hold_id=hold_id,
            plan=Plan(candidate.tables),
            expires_at=until,
            strategy=request.strategy,
            alternates=alternates,
            capacity_version=seen.version,
        )

    def _nothing(self, seen: _Seen, request: QuoteRequest, found: Search) -> NoHold:
        without = self._search(seen, request, seen.taken) if seen.held else found
        if without.candidates:
            return NoHold(
                reason=_HELD,
                reason_code=ReasonCode.HOLD_CONFLICT,
                retry_after=fits_again(
                    seen.held, lambda still: bool(self._search(seen, request, seen.taken.union(still)).candidates)
                ),
                capacity_version=seen.version,
                alternates=len(without.candidates),
            )
        return NoHold(reason=found.reason or "No suitable tables available", capacity_version=seen.version)


class PostgresPlanner:
    """:class:`assign_core.ports.Planner` over the reference schema. Keeps its time.

    Args:
        place: an engine, or a connection in whose transaction the hold is taken.
        require_adjacency, max_tables: the knobs where a request leaves them to the planner.
    """

    def __init__(
        self,
        place: Engine | Connection,
        clock: Clock,
        *,
        names: Names | None = None,
        require_adjacency: bool = True,
        max_tables: int = 3,
    ) -> None:
        self._with = connections(place).run
        self._quotes = Quotes(clock, names or Names(), require_adjacency=require_adjacency, max_tables=max_tables)

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        return self._with(timeout, lambda connection, left: self._quotes.quote(connection, request, left))

    def would_find(self, request: QuoteRequest, *, timeout: float) -> bool:
        """Whether a search now would succeed. Takes no hold and changes nothing."""
        return self._with(timeout, lambda connection, left: self._quotes.would_find(connection, request, left))

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._with(timeout, lambda connection, left: self._quotes.release(connection, booking_id, attempt_id, left))


class AsyncPostgresPlanner:
    """:class:`assign_core.ports.AsyncPlanner` over the reference schema. A cancelled search cancels its statement."""

    def __init__(
        self,
        place: AsyncEngine | AsyncConnection,
        clock: Clock,
        *,
        names: Names | None = None,
        require_adjacency: bool = True,
        max_tables: int = 3,
    ) -> None:
        self._with = async_connections(place).run
        self._quotes = Quotes(
            clock,
            names or Names(),
            require_adjacency=require_adjacency,
            max_tables=max_tables,
            aside=beside_the_loop,
        )

    async def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        return await self._with(timeout, lambda connection, left: self._quotes.quote(connection, request, left))

    async def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        await self._with(
            timeout, lambda connection, left: self._quotes.release(connection, booking_id, attempt_id, left)
        )
