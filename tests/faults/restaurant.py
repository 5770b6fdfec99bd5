"""A small restaurant on a real server, that faults happen to: its host, its engine, and its way back to rest.

Time is a value here. Every worker is given the moment at which it works, so leases, holds and evidence expire because
the test moves on and not because it waits. Nothing is restarted that the host's own tables do not ask for: a job when
the store says that it is due, a relay because there is an outbox, and a job for each booking that no attempt has read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, Row, create_engine, text
from tests.faults.invariants import check_invariants
from tests.faults.journal import JournalPlanner, JournalPost, asked

from assign_core import AutoAssign, Policy
from assign_core.booking import EmailState
from assign_core.last_result import LastResult
from assign_core.outbox import Transport
from assign_core.ports import BookingStore, Mailer, Planner, Telemetry
from assign_memory import VirtualRuntime
from assign_postgres import PostgresMailer, PostgresOutbox, PostgresPlanner, PostgresStore, PostgresTelemetry
from assign_wire import loads

NOON: Final = datetime.fromisoformat("2026-01-09T12:00:00+00:00")
LUNCH: Final = NOON + timedelta(hours=2)
PATIENT: Final = Policy(inline_deadline=timedelta(seconds=60), grace=timedelta(seconds=60))
"""The machine may be slow; what is looked for here are faults, not deadlines."""
ROUNDS: Final = 80
"""More than a booking can need: every budget, and every lease that a dead attempt left."""
_EMPTY: Final = """
TRUNCATE restaurants, bookings, auto_assign_attempts, auto_assign_emails, auto_assign_capacity, auto_assign_freed,
    observability_events RESTART IDENTITY CASCADE"""
_OWED: Final = """
SELECT id FROM bookings
WHERE status IN ('pending', 'pending_allocation') AND id NOT IN (SELECT booking_id FROM auto_assign_attempts)
ORDER BY id"""
_NEXT: Final = """
SELECT min(at) FROM (
    SELECT due_at FROM auto_assign_attempts JOIN bookings ON id = booking_id
    WHERE status IN ('pending', 'pending_allocation')
    UNION ALL SELECT sending_until FROM auto_assign_emails WHERE state IN ('claimed', 'unknown')
    UNION ALL SELECT not_before FROM auto_assign_emails WHERE state = 'claimed'
    UNION ALL SELECT expires_at FROM table_holds
    UNION ALL SELECT expires_at FROM auto_assign_attempts
) AS moments(at) WHERE at > :now"""


def engine_for(dsn: str, **options: Any) -> Engine:
    """An engine for a libpq connection string."""
    return create_engine("postgresql+psycopg://", creator=partial(psycopg.connect, dsn), **options)


def runtime_at(now: datetime) -> VirtualRuntime:
    """A clock that stands still, with ids that no other process draws."""
    return VirtualRuntime(now, seed=int.from_bytes(os.urandom(8)))


@dataclass(kw_only=True)
class App:
    """The engine of one host process, over the real adapter.

    Attributes:
        store, planner, mailer, telemetry: the ports that the engine is given; wrap them before :meth:`engine`.
        flushed: writes the events that are waiting.
    """

    database: Engine
    runtime: VirtualRuntime
    transport: Transport | None
    outbox: PostgresOutbox
    store: BookingStore
    planner: Planner
    mailer: Mailer
    telemetry: Telemetry
    buffer: PostgresTelemetry
    flushed: Callable[[], None]

    @classmethod
    def over(
        cls, database: Engine, runtime: VirtualRuntime, transport: Transport | None, folder: Path, *, source: str
    ) -> App:
        """Without anything in between but a planner that notes its calls. Events are written when asked for."""
        outbox = PostgresOutbox(database, runtime)
        buffer = PostgresTelemetry(database, runtime, flush_after=3600.0)
        return cls(
            database=database,
            runtime=runtime,
            transport=transport,
            outbox=outbox,
            store=PostgresStore(database, runtime),
            planner=JournalPlanner(PostgresPlanner(database, runtime), folder / "asked", source),
            mailer=PostgresMailer(outbox, transport),
            telemetry=buffer,
            buffer=buffer,
            flushed=buffer.flush,
        )

    def engine(self) -> AutoAssign:
        return AutoAssign(
            store=self.store,
            planner=self.planner,
            mailer=self.mailer,
            telemetry=self.telemetry,
            runtime=self.runtime,
            policy=PATIENT,
            planner_keeps_time=True,
        )


@dataclass
class Restaurant:
    """A database with one house in it, and its host's hands."""

    dsn: str
    folder: Path
    database: Engine
    clock: VirtualRuntime = field(default_factory=lambda: runtime_at(NOON))
    deduplicates: bool = False

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def post(self) -> JournalPost:
        return JournalPost(self.folder / "post", deduplicates=self.deduplicates)

    def run(self, sql: str, **values: object) -> None:
        with self.database.begin() as connection:
            connection.execute(text(sql), values)

    def rows(self, sql: str, **values: object) -> Sequence[Row[Any]]:
        with self.database.begin() as connection:
            return connection.execute(text(sql), values).all()

    def value(self, sql: str, **values: object) -> Any:
        (row,) = self.rows(sql, **values)
        return row[0]

    def reopen(self, *, pairs: int = 1) -> None:
        """Empty the house, and open it again with ``pairs`` of a table for two beside one for four."""
        for journal in ("post", "asked"):
            (self.folder / journal).unlink(missing_ok=True)
        self.clock = runtime_at(NOON)
        self.run(_EMPTY)
        self.run("INSERT INTO restaurants VALUES ('house', 'House', 'UTC', '0')")
        self.run("INSERT INTO seating_durations VALUES ('house', NULL, '90 minutes')")
        self.run(
            "INSERT INTO restaurant_tables (id, restaurant_id, seats) SELECT kind || n, 'house', seats"
            " FROM generate_series(1, :pairs) AS n, (VALUES ('small', 2), ('large', 4)) AS kinds(kind, seats)",
            pairs=pairs,
        )
        self.run(
            "INSERT INTO table_adjacency SELECT 'large' || n, 'small' || n FROM generate_series(1, :n) AS n", n=pairs
        )

    def book(self, booking_id: str = "b", *, party: int = 2, start_at: datetime = LUNCH) -> None:
        self.run(
            "INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES (:id, 'house', :party, :start)",
            id=booking_id,
            party=party,
            start=start_at,
        )

    def seat(self, booking_id: str, tables: Collection[str]) -> None:
        """Staff seat a party by hand."""
        self.run("UPDATE bookings SET status = 'confirmed' WHERE id = :id", id=booking_id)
        self.run(
            "INSERT INTO table_assignments SELECT id, wanted, restaurant_id,"
            " booking_window(restaurant_id, party_size, start_at)"
            " FROM bookings CROSS JOIN unnest(CAST(:tables AS text[])) AS wanted WHERE id = :id",
            id=booking_id,
            tables=sorted(tables),
        )

    def cancel(self, booking_id: str) -> None:
        self.run("UPDATE bookings SET status = 'cancelled' WHERE id = :id", id=booking_id)

    def status(self, booking_id: str = "b") -> str:
        return str(self.value("SELECT status FROM bookings WHERE id = :id", id=booking_id))

    def last(self, booking_id: str = "b") -> LastResult:
        last = loads(self.value("SELECT auto_assign_last_result::text FROM bookings WHERE id = :id", id=booking_id))
        assert isinstance(last, LastResult), last
        return last

    def ledger(self) -> dict[str, str]:
        rows = self.rows("SELECT booking_id || ':' || kind || ':' || revision AS key, state FROM auto_assign_emails")
        return {row.key: row.state for row in rows}

    def events(self, name: str) -> int:
        return int(self.value("SELECT count(*) FROM observability_events WHERE name = :name", name=name))

    @contextmanager
    def app(
        self,
        *,
        source: str = "job",
        runtime: VirtualRuntime | None = None,
        transport: Transport | None = None,
        sends: bool = True,
        database: Engine | None = None,
        wrap: Callable[[App], None] = lambda _: None,
    ) -> Iterator[AutoAssign]:
        """A host process of this restaurant, in this one.

        Args:
            runtime: its own clock; else the restaurant's.
            sends: it hands e-mails over; else they are left to a relay.
            database: its own way to the database.
        """
        post = (transport or self.post) if sends else None
        made = App.over(database or self.database, runtime or self.clock, post, self.folder, source=source)
        wrap(made)
        try:
            yield made.engine()
        finally:
            made.buffer.close()

    def settle(self, *, transport: Transport | None = None, late: float = 0.0) -> None:
        """Restart everything, and let time pass, until nothing is left to be done. ``late``: seconds, by the poller."""
        post = transport or self.post
        relay = PostgresMailer(PostgresOutbox(self.database, self.clock), post)
        with self.app(transport=post) as engine:
            for _ in range(ROUNDS * (1 + self.value("SELECT count(*) FROM bookings"))):
                states = relay.relay()
                owed = [booking_id for (booking_id,) in self.rows(_OWED)]
                outcomes = [*map(engine.job, owed), *engine.run_due()]
                if outcomes or (post.deduplicates and EmailState.UNKNOWN in states.values()):
                    continue
                moment = self.value(_NEXT, now=self.now)
                if moment is None:
                    break
                self.clock.advance((moment - self.now).total_seconds() + late)
            else:
                raise AssertionError(f"there is no end: something is still to be done at {self.now}")
            for (booking_id,) in self.rows("SELECT id FROM bookings ORDER BY id LIMIT 1"):
                engine.explain(booking_id)  # a look is enough to sweep holds that have expired

    def check(self, *, at_rest: bool = True, named: bool = True) -> None:
        """Every invariant over this restaurant's tables."""
        check_invariants(
            self.database,
            now=self.now,
            handed_over=self.post.handed_over(),
            asked=asked(self.folder / "asked"),
            at_rest=at_rest,
            deduplicates=self.deduplicates,
            named=named,
        )
