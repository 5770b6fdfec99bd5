"""The same evening in memory and on a server: every table, search, e-mail and event is the same.

In memory the model runs, on the server what was made after it. Guests compete for a small floor, change and cancel, so
that holds expire, bookings park and wake, and the versions have to say so in both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, time, timedelta
from functools import partial
from typing import Any, Final

import pytest
from sqlalchemy import Engine, Row, text

from assign_cli.postgres_house import PostgresHouse, postgres_houses
from assign_core import Policy
from assign_core.last_result import Source
from assign_core.ports import Hold, Lease, QuoteRequest
from assign_floor import Floor, Table
from assign_floor import Service as Hours
from assign_memory import VirtualClock
from assign_postgres import Names
from assign_sim import Ended, Latencies, Service, evening

T: Final = 20.0
"""A timeout that is never reached."""
SMALL: Final = Floor(
    tables=[
        Table(id="a", seats=2),
        Table(id="b", seats=2),
        Table(id="c", seats=4, min_party=2),
        Table(id="d", seats=4, min_party=2, movable=False),
        Table(id="e", seats=6, min_party=3, zone="terrace"),
    ],
    adjacent=[("a", "b"), ("b", "c")],
    services=[Hours(name="dinner", opens=time(18), closes=time(23))],
    turnover=timedelta(minutes=15),
)
_THINGS: Final = "SELECT nspname::text FROM pg_namespace UNION ALL SELECT extname::text FROM pg_extension"


def facts(ended: Ended) -> Mapping[str, object]:
    """What must not depend on where the bookings are kept. The versions' numbers may; what follows from them, not."""
    told = (
        json.dumps(
            [
                event.at.astimezone(UTC).isoformat(),
                event.booking_id,
                event.attempt_id,
                event.name,
                event.severity,
                {key: value for key, value in event.context.items() if key != "capacity_version"},
            ],
            sort_keys=True,
        )
        for event in ended.told
    )
    return {
        "bookings": ended.bookings,
        "searches": (ended.planner_calls, ended.planner_seconds),
        "looks": ended.capacity_looks,
        "ledger": {mail.email.key: (mail.state, mail.handed_over) for mail in ended.emails},
        "mail": ended.accepted,
        "waits": (ended.inline_seconds, ended.seated_after),
        "left empty": ended.left_empty,
        "double booked": ended.double_booked,
        "events": sorted(told),
    }


@pytest.mark.parametrize("sharing", [True, False], ids=["shared", "unshared"])
@pytest.mark.parametrize("seed", [2, 13])
def test_an_evening_on_a_server_is_the_evening_in_memory(engine: Engine, seed: int, sharing: bool) -> None:
    workload = evening(seed, 15)
    in_memory = Service(workload, SMALL, sharing, Policy()).run()
    with postgres_houses(engine) as opens:
        on_server = Service(workload, SMALL, sharing, Policy(), opens=opens).run()
    assert facts(on_server) == facts(in_memory)
    assert 0 < len(in_memory.seated) < len(workload.guests), "an evening without competition compares nothing"
    assert in_memory.planner_calls[Source.JOB] > 0


def everything(engine: Engine, names: Names) -> list[Row[Any]]:
    """What a search writes to."""
    with engine.connect() as connection:
        return [
            row
            for table in ("table_holds", "auto_assign_freed", "auto_assign_capacity")
            for row in connection.execute(text(names.sql(f"SELECT * FROM {{schema}}.{table}")))  # noqa: S608 - our names
        ]


def test_a_look_ahead_agrees_with_the_search_and_changes_nothing(engine: Engine) -> None:
    with postgres_houses(engine) as opens:
        clock = VirtualClock()
        house = opens(SMALL, clock, 0, Latencies())
        assert isinstance(house, PostgresHouse)
        state = partial(everything, engine, house.names)
        answers = set()
        for number in range(8):
            name, attempt = f"b{number}", f"a{number}"
            house.book(name, party=4, start_at=clock.now() + timedelta(hours=7))
            lease = Lease(
                attempt_id=attempt,
                source=Source.JOB,
                taken_at=clock.now(),
                expires_at=clock.now() + timedelta(minutes=9),
            )
            house.store.acquire(name, lease, timeout=T)
            wish = QuoteRequest(
                booking_id=name, revision=0, attempt_id=attempt, strategy=Policy().strategy, hold_seconds=110.0
            )
            clock.advance(25.0)  # so that some holds have expired and are not swept yet
            before = state()
            expected = house.would_find(wish)
            assert state() == before
            assert isinstance(house.planner.quote(wish, timeout=T), Hold) is expected
            answers.add(expected)
        assert answers == {True, False}


@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_nothing_is_left_of_an_evening(empty_dsn: str, make_engine: Callable[[str], Engine], fails: bool) -> None:
    engine = make_engine(empty_dsn)

    def things() -> list[str]:
        with engine.connect() as connection:
            return sorted(connection.scalars(text(_THINGS)))

    before = things()
    try:
        with postgres_houses(engine) as opens:
            Service(evening(1, 2), SMALL, True, Policy(), opens=opens).run()
            assert things() != before
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert things() == before


def test_an_extension_that_somebody_has_come_to_use_stays(empty_dsn: str, make_engine: Callable[[str], Engine]) -> None:
    engine = make_engine(empty_dsn)
    with postgres_houses(engine), engine.begin() as connection:
        connection.execute(text("CREATE TABLE mine (name text, EXCLUDE USING gist (name WITH =))"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_constraint WHERE conrelid = 'mine'::regclass")) == 1
