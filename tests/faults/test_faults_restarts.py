"""The server stopped with ``immediate`` and started again, over and over, while several workers are at it.

Each worker is a process that does what hosts do: it serves guests who have just booked, runs what is due, and relays
e-mails, and when the database is away it says so to its caller and goes on. Every crash comes after some number of
steps, drawn at random, so it falls anywhere. The workers' clocks stand in one place in shared memory and are moved on
between crashes, so that leases, holds and evidence expire under way; some workers' clocks are ahead or behind.
"""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.faults.journal import JournalPost
from tests.faults.restaurant import LUNCH, NOON, App, Restaurant, engine_for
from tests.faults.worker import CONTEXT, LIMIT, until

from assign_core import Outcome
from assign_memory import VirtualRuntime
from assign_postgres import DatabaseFailure, PostgresMailer
from assign_postgres.embedded import EmbeddedServer

RESTARTS: Final = 5
RESTARTS_IN_SOAK: Final = 120
SKEWS: Final = (0.0, 20.0, -20.0)
"""Of each worker's clock, in seconds."""
GUESTS: Final = 6
"""That book between two crashes."""
STEP: Final = timedelta(seconds=40)
"""By which the clocks are moved on between two crashes: some leases and holds last longer, some do not."""
_NEW: Final = """
SELECT id FROM bookings WHERE status = 'pending' AND id NOT IN (SELECT booking_id FROM auto_assign_attempts)
ORDER BY md5(id || :worker) LIMIT 3"""


class SharedClock(VirtualRuntime):
    """A clock whose time is set by the test."""

    def __init__(self, elapsed: Any, skew: float) -> None:
        super().__init__(NOON, seed=random.SystemRandom().getrandbits(64))
        self._shared = elapsed
        self._skew = skew

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._shared.value + self._skew)


def away(error: BaseException) -> bool:
    """Whether this is what a host is told when the database is away, or crashes, or is busy; and nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(away, error.exceptions))
    return isinstance(error, DatabaseFailure | TimeoutError | DBAPIError)


def work(dsn: str, folder: Path, elapsed: Any, skew: float, steps: Any, test: Connection) -> None:
    """In the worker: serve, until told to stop; then say what was met that no host should meet."""
    post = JournalPost(folder / "post")
    database, clock = engine_for(dsn), SharedClock(elapsed, skew)
    # One process; two, so that the journal knows who called the planner.
    web = App.over(database, clock, post, folder, source="inline")
    jobs = App.over(database, clock, post, folder, source="job")
    served, engine, relay = web.engine(), jobs.engine(), PostgresMailer(jobs.outbox, post)

    def guests() -> Sequence[Outcome]:
        with database.connect() as connection:
            ids = connection.scalars(text(_NEW), {"worker": str(skew)}).all()
        return [served.inline(each) for each in ids]

    met: list[str] = []
    while not test.poll():
        for step in (guests, engine.run_due, relay.relay, web.buffer.flush, jobs.buffer.flush):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - told at the end, unless the database was away
                if not away(error):
                    met.append("".join(traceback.format_exception(error)))
            with steps.get_lock():
                steps.value += 1
    web.buffer.close()
    jobs.buffer.close()
    test.send(met)


@contextmanager
def workers(house: Restaurant, elapsed: Any, steps: Any) -> Iterator[None]:
    """Several at work; at the end none of them has met anything but a database that was away."""
    pipes: list[Connection] = []
    processes = []
    try:
        for skew in SKEWS:
            here, there = CONTEXT.Pipe()
            process = CONTEXT.Process(target=work, args=(house.dsn, house.folder, elapsed, skew, steps, there))
            process.start()
            there.close()
            pipes.append(here)
            processes.append(process)
        yield
        for here in pipes:
            here.send(None)
        for here in pipes:
            assert here.poll(LIMIT), "a worker does not end"
            assert here.recv() == []
    finally:
        for process, here in zip(processes, pipes, strict=True):
            process.kill()
            process.join(LIMIT)
            process.close()
            here.close()


def _has_come_to(steps: Any, wanted: int) -> bool:
    return bool(steps.value >= wanted)


def test_a_server_that_crashes_again_and_again_loses_nothing(
    house: Restaurant, server: EmbeddedServer, soak: bool, counted: Counter[str]
) -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    restarts = RESTARTS_IN_SOAK if soak else RESTARTS
    house.reopen(pairs=4)
    elapsed, steps = CONTEXT.Value("d", 0.0), CONTEXT.Value("L", 0)
    with workers(house, elapsed, steps):
        for number in range(restarts):
            for guest in range(GUESTS):
                start = LUNCH + (number // 5) * timedelta(hours=2) + timedelta(minutes=30 * chance.randrange(3))
                house.book(f"b{number}-{guest}", party=chance.choice((1, 2, 2, 4, 5, 6)), start_at=start)
            if number % 3 == 2:
                house.cancel(f"b{number - 1}-{chance.randrange(GUESTS)}")
            wanted = steps.value + chance.randrange(4, 40)
            until(partial(_has_come_to, steps, wanted))
            server.crash()
            server.start()
            house.database.dispose()
            elapsed.value += STEP.total_seconds()
            counted["crashes of the server under load"] += 1
    house.clock.advance(elapsed.value + max(SKEWS))
    house.check(at_rest=False, named=False)
    house.settle(late=15.0)
    house.check(named=False)
    told = Counter(row.status for row in house.rows("SELECT status FROM bookings"))
    assert told["confirmed"] > 0
    counted["bookings served between crashes"] += restarts * GUESTS
    counted["e-mails unknown, and shown"] += list(house.ledger().values()).count("unknown")
