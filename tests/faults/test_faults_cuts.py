"""Connections cut by a proxy at every round trip of an attempt and its e-mail, before and after it reached the server.

The trips are not chosen by hand: an attempt is made once to count them, and then again for each with that trip cut.
Every trip in a soak; otherwise every fourth, beginning with another one in each variation. After *before* the server
has done nothing of the trip; after *after* it has done all of it, and the caller does not know. The attempt goes on as
it can, or its host gets an error; everything is restarted, and the tables must show what was true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine
from tests.faults.proxy import Moment, Proxy, proxy_to
from tests.faults.restaurant import Restaurant, engine_for

from assign_core import EventName, Outcome, Verdict
from assign_core.reasons import ReasonCode
from assign_postgres import DatabaseFailure, PostgresMailer, PostgresOutbox
from assign_postgres.embedded import EmbeddedServer

MOMENTS: Final[tuple[Moment, ...]] = ("before", "after", "between")
ROUNDS_IN_SOAK: Final = 10
STRIDE: Final = 4
# What only one statement says.
ACQUIRE: Final = "excluded.lost_before"
CONFIRM: Final = "same_key"
RECORD: Final = "leaves.unrecorded"
HOLD: Final = "hold_tables("


@pytest.fixture(scope="module")
def proxy(server: EmbeddedServer) -> Iterator[Proxy]:
    with proxy_to(server.home / ".s.PGSQL.5432") as running:
        yield running


@pytest.fixture
def through(database: str, proxy: Proxy) -> Iterator[Engine]:
    """A way to the database that can be cut."""
    dsn = make_conninfo(database, host="127.0.0.1", port=proxy.port, sslmode="disable", gssencmode="disable")
    engine = engine_for(dsn)
    yield engine
    engine.dispose()


def attempt(house: Restaurant, through: Engine, kind: str) -> Outcome | DatabaseFailure | TimeoutError:
    """What a host process does for a booking, over a line that may be cut: an attempt, then the relay's round."""
    through.dispose()  # as a new process has it
    try:
        with house.app(source=kind, database=through) as engine:
            outcome = engine.inline("b") if kind == "inline" else engine.job("b")
        PostgresMailer(PostgresOutbox(through, house.clock), house.post).relay()
    except (DatabaseFailure, TimeoutError) as error:
        return error
    return outcome


def prepared(house: Restaurant, *, full: bool) -> None:
    house.reopen()
    house.book("b")
    if full:
        house.book("big", party=6)
        house.seat("big", ["small1", "large1"])


def _is_number(wanted: int, number: int, _statements: str) -> bool:
    return number == wanted


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("full", [False, True], ids=["seated", "full"])
@pytest.mark.parametrize("kind", ["inline", "job"])
def test_a_cut_at_any_round_trip_loses_nothing(
    house: Restaurant,
    through: Engine,
    proxy: Proxy,
    kind: str,
    full: bool,
    moment: Moment,
    soak: bool,
    counted: Counter[str],
) -> None:
    for _ in range(2):  # the first connection of all makes trips that no other does
        prepared(house, full=full)
        proxy.arm(lambda _number, _statements: False, moment)
        attempt(house, through, kind)
    trips = len(proxy.trips)
    first = 1 + ((kind == "job") + 2 * full + MOMENTS.index(moment)) % STRIDE
    for _ in range(ROUNDS_IN_SOAK if soak else 1):
        for number in range(1, trips + 1) if soak else range(first, trips + 1, STRIDE):
            prepared(house, full=full)
            proxy.arm(partial(_is_number, number), moment)
            attempt(house, through, kind)
            assert proxy.done == 1, f"trip {number} of {trips} did not come about"
            counted[f"cuts {moment} a round trip reached the server"] += 1
            house.check(at_rest=False)
            house.settle()
            house.check()
            assert house.status("b") == ("pending" if full else "confirmed")


def cut(proxy: Proxy, statement: str, moment: Moment) -> None:
    proxy.arm(lambda _number, statements: statement in statements, moment)


@pytest.mark.parametrize("kind", ["inline", "job"])
def test_a_confirm_whose_answer_is_lost_is_found_to_be_true(
    house: Restaurant, through: Engine, proxy: Proxy, kind: str
) -> None:
    """Lesson 2: the row says confirmed, and so do the result, the caller's answer and the events."""
    house.book()
    cut(proxy, CONFIRM, "after")
    outcome = attempt(house, through, kind)
    assert isinstance(outcome, Outcome)
    assert (proxy.done, outcome.verdict, house.status()) == (1, Verdict.CONFIRMED, "confirmed")
    assert house.last().success
    assert house.events(EventName.INLINE_LATE_CONFIRM) == (kind == "inline")
    assert house.ledger() == {"b:confirmation:0": "sent"}
    house.settle()
    house.check()


@pytest.mark.parametrize("kind", ["inline", "job"])
def test_a_confirm_that_never_reached_the_server_is_a_failure_of_the_network(
    house: Restaurant, through: Engine, proxy: Proxy, kind: str
) -> None:
    house.book()
    cut(proxy, CONFIRM, "before")
    outcome = attempt(house, through, kind)
    assert isinstance(outcome, Outcome)
    assert (proxy.done, outcome.verdict, house.status()) == (1, Verdict.WAIT, "pending")
    assert house.last().reason_code is ReasonCode.NETWORK_FAILURE
    assert (house.ledger(), house.value("SELECT count(*) FROM table_holds")) == ({}, 0)
    house.settle()
    house.check()
    assert house.status() == "confirmed"


def test_an_acquire_whose_answer_is_lost_is_an_error_and_a_lost_attempt(
    house: Restaurant, through: Engine, proxy: Proxy
) -> None:
    """Lesson 23: what could not be read is no attempt; the lease that was taken unseen expires, and is found."""
    house.book()
    cut(proxy, ACQUIRE, "after")
    assert isinstance(attempt(house, through, "inline"), DatabaseFailure)
    assert proxy.done == 1
    house.settle()
    house.check()
    assert (house.status(), house.events(EventName.ATTEMPT_LOST)) == ("confirmed", 1)


def test_a_hold_whose_answer_is_lost_is_given_back(house: Restaurant, through: Engine, proxy: Proxy) -> None:
    house.book()
    proxy.arm(lambda number, statements: statements == "COMMIT" and HOLD in proxy.trips[number - 2], "after")
    outcome = attempt(house, through, "inline")
    assert isinstance(outcome, Outcome)
    assert proxy.done == 1
    assert house.last().reason_code is ReasonCode.NETWORK_FAILURE
    assert house.value("SELECT count(*) FROM table_holds") == 0
    house.settle()
    house.check()


def test_a_record_whose_answer_is_lost_is_recorded(house: Restaurant, through: Engine, proxy: Proxy) -> None:
    prepared(house, full=True)
    cut(proxy, RECORD, "after")
    assert isinstance(attempt(house, through, "inline"), DatabaseFailure)
    assert proxy.done == 1
    assert house.last().reason_code is not None
    house.settle()
    house.check()
    assert house.events(EventName.ATTEMPT_LOST) == 0


def test_a_settlement_that_is_lost_leaves_the_e_mail_unknown_and_unsent(
    house: Restaurant, through: Engine, proxy: Proxy
) -> None:
    house.book()
    cut(proxy, "settled_at", "before")
    attempt(house, through, "inline")
    assert proxy.done == 1
    house.settle()
    house.check()
    assert house.ledger() == {"b:confirmation:0": "unknown"}
    assert house.post.handed_over() == ["b:confirmation:0"]
    outbox = PostgresOutbox(house.database, house.clock)
    assert [each.email.key for each in outbox.unknown(limit=9)] == ["b:confirmation:0"]
