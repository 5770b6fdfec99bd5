"""Transactions that the server undoes: knots of locks, and orders that stricter isolation does not allow.

A host may run its database at *repeatable read* or *serializable*, and may lock rows in an order of its own. Either
way the server undoes some of what ours have begun. It is done again, and the tables show nothing of it. Both are
brought about by hand at one step after another, and then by several workers after the same bookings and few tables.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event
from typing import Any, Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import event
from sqlalchemy.engine.interfaces import ExceptionContext
from tests.faults.boundaries import gated
from tests.faults.restaurant import App, Restaurant, engine_for, runtime_at
from tests.faults.worker import LIMIT, NAME, until_it_waits

from assign_core import Outcome, Verdict
from assign_core.booking import EmailState
from assign_core.events import EventName
from assign_postgres import DatabaseFailure, PostgresMailer

STRICT: Final = ("repeatable read", "serializable")
UNSERIALIZABLE: Final = "40001"
DEADLOCK: Final = "40P01"
STEPS: Final = ("acquire", "hold", "confirm", "record", "claim", "settle")
KNOTTED: Final = {
    "confirm": "auto_assign_attempts",
    "record": "auto_assign_attempts",
    "claim": "auto_assign_emails",
    "settle": "auto_assign_emails",
}
"""What a step locks when it has locked the booking's row."""
EACH: Final = 1
EACH_IN_SOAK: Final = 50
RUSHES: Final = 2
RUSHES_IN_SOAK: Final = 50
AT_ONCE: Final = 4


class Way:
    """A way to the database, which notes what the server has undone on it."""

    def __init__(self, house: Restaurant, isolation: str) -> None:
        escaped = isolation.replace(" ", r"\ ")
        options = f"-c default_transaction_isolation={escaped} -c deadlock_timeout=500ms"
        self.engine = engine_for(make_conninfo(house.dsn, application_name=NAME, options=options))
        self.undone: Counter[str] = Counter()
        event.listen(self.engine, "handle_error", self._note)

    def _note(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, psycopg.Error) and error.sqlstate in {UNSERIALIZABLE, DEADLOCK}:
            self.undone[error.sqlstate] += 1


@contextmanager
def way_to(house: Restaurant, isolation: str) -> Iterator[Way]:
    way = Way(house, isolation)
    try:
        yield way
    finally:
        way.engine.dispose()


def disturbed(house: Restaurant, way: Way, step: str, disturb: Callable[[psycopg.Connection, Event], None]) -> Outcome:
    """An attempt for ``b`` that is disturbed at a step: told to go on by the event, it waits for a lock of the host."""
    arrived, go_on = Event(), Event()

    def reached(name: str) -> None:
        if name == f"before {step}" and not arrived.is_set():
            arrived.set()
            assert go_on.wait(LIMIT)

    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(house.dsn) as host,
        house.app(database=way.engine, wrap=lambda app: gated(app, reached)) as engine,
    ):
        attempt = pool.submit(engine.job, "b")
        try:
            assert arrived.wait(LIMIT), f"the attempt has not come to {step}"
            disturb(host, go_on)
        finally:
            go_on.set()
        return attempt.result(LIMIT)


def prepared(house: Restaurant, step: str) -> None:
    house.reopen()
    house.book("b")
    house.book("other", party=4)
    if step == "record":
        house.book("big", party=6)
        house.seat("big", ["small1", "large1"])


def check_undisturbed(house: Restaurant, step: str, outcome: Outcome) -> None:
    """It is as if nothing had been undone."""
    assert outcome.verdict is (Verdict.WAIT if step == "record" else Verdict.CONFIRMED)
    assert outcome.email is EmailState.SENT
    house.check(at_rest=False)
    house.settle()
    house.check()
    assert house.status("b") == ("pending" if step == "record" else "confirmed")
    assert house.events(EventName.ATTEMPT_LOST) == 0
    assert set(house.ledger().values()) == {"sent"}


def change_the_row(house: Restaurant) -> Callable[[psycopg.Connection, Event], None]:
    """While the attempt waits for it, so that what its snapshot shows is no longer so."""

    def disturb(host: psycopg.Connection, go_on: Event) -> None:
        host.execute("UPDATE bookings SET customer_email = customer_email WHERE id = 'b'")
        go_on.set()
        with psycopg.connect(house.dsn, autocommit=True) as watcher:
            until_it_waits(watcher)
        host.commit()

    return disturb


def tie_a_knot(house: Restaurant, table: str) -> Callable[[psycopg.Connection, Event], None]:
    """Lock the second first. The attempt is to notice before the host does, and so to be the one that is undone."""

    def disturb(host: psycopg.Connection, go_on: Event) -> None:
        host.execute("SET LOCAL deadlock_timeout = '10s'")
        host.execute(f"SELECT FROM {table} WHERE booking_id = 'b' FOR UPDATE".encode())
        go_on.set()
        with psycopg.connect(house.dsn, autocommit=True) as watcher:
            until_it_waits(watcher)
        with suppress(psycopg.errors.DeadlockDetected):
            host.execute("UPDATE bookings SET customer_email = customer_email WHERE id = 'b'")
        host.commit()

    return disturb


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("isolation", STRICT)
def test_what_fits_into_no_order_is_done_again(
    house: Restaurant, isolation: str, step: str, soak: bool, counted: Counter[str]
) -> None:
    with way_to(house, isolation) as way:
        for _ in range(EACH_IN_SOAK if soak else EACH):
            prepared(house, step)
            way.undone.clear()
            outcome = disturbed(house, way, step, change_the_row(house))
            assert way.undone[UNSERIALIZABLE] == 1
            counted["transactions undone, serialization failure"] += 1
            check_undisturbed(house, step, outcome)


@pytest.mark.parametrize("step", KNOTTED)
def test_a_knot_is_untied_and_tied_no_more(house: Restaurant, step: str, soak: bool, counted: Counter[str]) -> None:
    wanted = EACH_IN_SOAK if soak else EACH
    with way_to(house, "read committed") as way:
        for _ in range(3 * wanted):  # where the host comes late, it is the one that notices; that is no knot of ours
            prepared(house, step)
            outcome = disturbed(house, way, step, tie_a_knot(house, KNOTTED[step]))
            check_undisturbed(house, step, outcome)
            if way.undone[DEADLOCK] == wanted:
                break
        assert way.undone[DEADLOCK] == wanted
    counted["transactions undone, deadlock"] += wanted


def _serve(house: Restaurant, way: Way, seed: int) -> None:
    """What a host's process does, as far as the server lets it; a call that failed for good has told its caller."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    app = App.over(way.engine, runtime_at(house.now), house.post, house.folder, source="job")
    engine, relay = app.engine(), PostgresMailer(app.outbox, app.transport)
    ids = [booking_id for (booking_id,) in house.rows("SELECT id FROM bookings ORDER BY id")]
    calls: list[Callable[[], Any]] = [partial(engine.job, each) for each in ids]
    calls += [relay.relay, engine.run_due, app.flushed]
    for call in chance.sample(calls, k=len(calls)):
        try:
            call()
        except (DatabaseFailure, TimeoutError, ExceptionGroup) as error:
            if isinstance(error, ExceptionGroup) and error.split((DatabaseFailure, TimeoutError))[1]:
                raise
    app.buffer.close()


@pytest.mark.parametrize("isolation", STRICT)
def test_workers_after_the_same_tables_undo_each_other_and_nobody_loses(
    house: Restaurant, isolation: str, soak: bool, counted: Counter[str]
) -> None:
    chance = random.Random(2)  # noqa: S311 - repeatable, not secret
    for number in range(RUSHES_IN_SOAK if soak else RUSHES):
        house.reopen(pairs=2)
        for guest in range(8):
            house.book(f"b{guest}", party=chance.choice((2, 2, 4, 6)))
        with way_to(house, isolation) as way, ThreadPoolExecutor(AT_ONCE) as pool:
            for serving in [pool.submit(_serve, house, way, AT_ONCE * number + each) for each in range(AT_ONCE)]:
                serving.result(2 * LIMIT)
        counted["transactions undone in a rush"] += way.undone.total()
        house.check(at_rest=False, named=False)
        house.settle()
        house.check(named=False)
    if soak:
        assert counted["transactions undone in a rush"] > 0
