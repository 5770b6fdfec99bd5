"""Knots of locks, and transactions that fit into no order: the server undoes one of those involved. It is done again.

The knots are tied for real; what the server does rarely and at its own time is raised by a trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest
from sqlalchemy import Engine, text
from tests.postgres.test_postgres_lessons import House, T, until_waiting

from assign_core import Verdict
from assign_core.booking import EmailState
from assign_core.ports import Acquired, Confirmed, Email, EmailKind, Hold, Recorded
from assign_core.reasons import FailureClass
from assign_postgres import DatabaseFailure, PostgresStore

EMAIL: Final = Email(booking_id="b", kind=EmailKind.CONFIRMATION, revision=0)
DEADLOCK: Final = "40P01"
SERIALIZATION: Final = "40001"


@pytest.fixture
def house(engine: Engine) -> Iterator[House]:
    made = House(engine).furnish()
    with made.telemetry:
        yield made


def raises(house: House, state: str, table: str, *, times: int) -> None:
    """The first times that the table is written to. A sequence forgets nothing when it is rolled back."""
    house.run("CREATE SEQUENCE failed")
    house.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('failed') <= {times} THEN RAISE EXCEPTION 'knot' USING ERRCODE = '{state}'; END IF; "
        "RETURN coalesce(NEW, OLD); END $$"
    )
    house.run(f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")


def acquires(house: House) -> Callable[[], object]:
    house.book()
    return house.acquire


def records(house: House) -> Callable[[], object]:
    house.book()
    house.acquire()
    return house.record


def confirms(house: House) -> Callable[[], object]:
    house.book()
    house.acquire()
    hold = house.hold()
    return lambda: house.confirm(hold)


def quotes(house: House) -> Callable[[], object]:
    house.book()
    house.acquire()
    return house.hold


def delivers(house: House) -> Callable[[], object]:
    house.book()
    house.confirmed()
    return lambda: house.mailer.deliver(EMAIL, timeout=T)


CALLS: Final[dict[str, tuple[Callable[[House], Callable[[], object]], str, type[object]]]] = {
    "acquire": (acquires, "auto_assign_attempts", Acquired),
    "record": (records, "auto_assign_attempts", Recorded),
    "confirm": (confirms, "table_assignments", Confirmed),
    "quote": (quotes, "table_holds", Hold),
    "deliver": (delivers, "auto_assign_emails", EmailState),
}


@pytest.mark.once
@pytest.mark.parametrize("state", [DEADLOCK, SERIALIZATION])
@pytest.mark.parametrize("call", CALLS)
def test_what_the_server_has_undone_is_done_again(house: House, call: str, state: str) -> None:
    prepare, table, answer = CALLS[call]
    made = prepare(house)
    raises(house, state, table, times=3)
    assert isinstance(made(), answer)
    assert house.value("SELECT last_value FROM failed") > 3
    if call == "deliver":
        assert house.post.accepted == [EMAIL.key]


@pytest.mark.once
@pytest.mark.parametrize("state", [DEADLOCK, SERIALIZATION])
def test_what_is_undone_every_time_is_told_as_what_it_is(house: House, state: str) -> None:
    made = confirms(house)
    raises(house, state, "table_assignments", times=10**6)
    with pytest.raises(DatabaseFailure, match=state):
        made()
    assert house.value("SELECT last_value FROM failed") == 5, "a bounded number of tries"
    assert (house.status(), house.tables(), house.ledger()) == ("pending", set(), {})


@pytest.mark.once
def test_an_attempt_that_is_undone_every_time_is_recorded(house: House) -> None:
    house.book()
    raises(house, DEADLOCK, "table_assignments", times=10**6)
    outcome = house.app.inline("b")
    assert outcome.verdict is Verdict.WAIT
    assert outcome.result is not None
    assert house.last().failure_class is FailureClass.INFRASTRUCTURE
    assert house.held() == set()


@pytest.mark.once
def test_in_a_transaction_of_the_hosts_it_is_for_the_host_to_repeat(house: House, engine: Engine) -> None:
    """Its own locks are part of the knot, and its snapshot of the disorder."""
    house.book()
    raises(house, DEADLOCK, "auto_assign_attempts", times=1)
    with engine.begin() as connection:
        house.store = PostgresStore(connection, house.runtime)
        with pytest.raises(DatabaseFailure, match=DEADLOCK):
            house.acquire()
        assert isinstance(house.acquire(), Acquired), "the transaction is usable"


def test_a_knot_with_a_host_who_locks_in_another_order_is_untied(house: House, engine: Engine) -> None:
    """The booking's row is locked first, everywhere in ours. A host may know no better."""
    house.book()
    house.acquire()
    before = deadlocks(house)
    with ThreadPoolExecutor(1) as pool, engine.connect() as host, host.begin():
        # The server undoes whoever notices first, and that is to be us.
        host.execute(text("SET LOCAL deadlock_timeout = '60s'"))
        host.execute(text("SELECT FROM auto_assign_attempts WHERE booking_id = 'b' FOR UPDATE"))
        recording: Future[Any] = pool.submit(house.record)
        until_waiting(house)
        host.execute(text("UPDATE bookings SET zone = 'main' WHERE id = 'b'"))
        host.commit()
        assert recording.result(T).status == "pending"
    # More than once where ours is back before the host has noticed that the row is free.
    assert deadlocks(house) > before
    assert house.last().attempt_id == "a1"


def deadlocks(house: House) -> int:
    house.rows("SELECT pg_stat_force_next_flush()")
    found: int = house.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return found
