"""The thread that writes telemetry: what it has in hand when the time is up is told, and nothing ends it for good."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.event import listen
from sqlalchemy.pool import NullPool
from tests.postgres.test_postgres_lessons import House

from assign_core.events import Event, EventName, event
from assign_postgres import PostgresTelemetry
from assign_postgres import telemetry as telemetry_module

LOGGER: Final = "assign_postgres.telemetry"
LIMIT: Final = 60.0
"""Seconds after which something that should have ended is taken to hang."""


class Hanging:
    """A database that is not reached until somebody lets go, and then only if it answers."""

    def __init__(self, dsn: str, *, answers: bool) -> None:
        self._dsn = dsn
        self._answers = answers
        self.entered = threading.Event()
        self.goes_on = threading.Event()

    def connect(self) -> psycopg.Connection:
        self.entered.set()
        assert self.goes_on.wait(LIMIT)
        if not self._answers:
            raise psycopg.OperationalError("away")
        return psycopg.connect(self._dsn)


def from_(creator: Callable[[], psycopg.Connection]) -> Engine:
    return create_engine("postgresql+psycopg://", creator=creator, poolclass=NullPool)


def started(house: House, *numbers: int) -> list[Event]:
    return [event(EventName.STARTED, house.now, "b", f"a{number}") for number in numbers]


def written(house: House) -> list[str]:
    rows = house.rows("SELECT attempt_id FROM observability_events WHERE attempt_id IS NOT NULL ORDER BY attempt_id")
    return [row.attempt_id for row in rows]


def told(house: House) -> int:
    """Losses."""
    return int(house.value("SELECT coalesce(sum((context ->> 'dropped')::int), 0) FROM observability_events"))


@pytest.mark.parametrize("answers", [True, False])
def test_what_is_being_written_at_the_end_is_lost_until_it_is_written_and_only_once(
    dsn: str, engine: Engine, caplog: pytest.LogCaptureFixture, answers: bool
) -> None:
    """With a buffer of two, the first of three is lost already; that is being told when the time is up."""
    house, database, others = House(engine), Hanging(dsn, answers=answers), set(threading.enumerate())
    telemetry = PostgresTelemetry(from_(database.connect), house.runtime, capacity=2, flush_after=0)
    telemetry.emit(started(house, 1, 2, 3), stored=False)
    (thread,) = set(threading.enumerate()) - others
    assert database.entered.wait(LIMIT)
    with caplog.at_level(logging.WARNING, LOGGER):
        telemetry.close(0.05)
    assert telemetry.dropped == 3
    assert "3 events are lost" in caplog.text
    database.goes_on.set()
    thread.join(LIMIT)
    assert len(written(house)) + told(house) + telemetry.dropped == 3
    assert written(house) == (["a2", "a3"] if answers else [])


def test_closing_does_not_wait_for_a_flush_of_somebody_else(dsn: str, engine: Engine) -> None:
    house, database = House(engine), Hanging(dsn, answers=True)
    telemetry = PostgresTelemetry(from_(database.connect), house.runtime, flush_after=0)
    flushing = threading.Thread(target=telemetry.flush, daemon=True)
    with pytest.MonkeyPatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_thread_to_spare)
        telemetry.emit(started(house, 1), stored=False)
    flushing.start()
    assert database.entered.wait(LIMIT)
    closing = threading.Thread(target=telemetry.close, args=(0.05,), daemon=True)
    closing.start()
    closing.join(LIMIT)
    ended = not closing.is_alive()
    lost = telemetry.dropped
    database.goes_on.set()
    flushing.join(LIMIT)
    assert (ended, lost) == (True, 1)


@pytest.mark.once
@pytest.mark.parametrize(
    ("events", "refused", "kept"), [(2500, "none", 1500), (10, "a0", 1)], ids=["batches", "one by one after a refusal"]
)
def test_closing_keeps_its_time_in_all_and_not_for_each_statement(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    events: int,
    refused: str,
    kept: int,
) -> None:
    """Of a second, when each statement takes 0.4 by this clock: the third is begun in time, and no other."""
    house, passed = House(engine), [0.0]
    house.run(f"ALTER TABLE observability_events ADD CONSTRAINT strict CHECK (attempt_id <> '{refused}')")
    monkeypatch.setattr(telemetry_module, "time", SimpleNamespace(monotonic=lambda: passed[0]))

    def takes_long(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO" in statement:
            passed[0] += 0.4

    listen(engine, "before_cursor_execute", takes_long)
    telemetry = PostgresTelemetry(engine, house.runtime)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_thread_to_spare)
        telemetry.emit(started(house, *range(events)), stored=False)
    with caplog.at_level(logging.WARNING, LOGGER):
        telemetry.close(1.0)
    assert (len(written(house)), telemetry.dropped) == (kept, events - kept)
    assert "no time left" in caplog.text


def no_thread_to_spare(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("another", [True, False])
def test_a_machine_without_a_thread_to_spare_delays_events(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, another: bool
) -> None:
    """The next event finds one; if there is none, closing writes."""
    house, others = House(engine), set(threading.enumerate())
    with PostgresTelemetry(engine, house.runtime, flush_after=0) as telemetry:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(threading.Thread, "start", no_thread_to_spare)
            telemetry.emit(started(house, 1), stored=False)
        if another:
            telemetry.emit(started(house, 2), stored=False)
        assert len(set(threading.enumerate()) - others) == another
    assert written(house) == (["a1", "a2"] if another else ["a1"])
    assert telemetry.dropped == 0


def test_an_exit_in_the_thread_ends_nothing_and_loses_nothing(dsn: str, engine: Engine) -> None:
    """As a host's own way of connecting may want to exit."""
    house, again = House(engine), threading.Event()
    calls: list[str] = []

    def connect() -> psycopg.Connection:
        calls.append(threading.current_thread().name)
        if len(calls) == 1:
            raise SystemExit(3)
        again.set()
        return psycopg.connect(dsn)

    with PostgresTelemetry(from_(connect), house.runtime, flush_after=0) as telemetry:
        telemetry.emit(started(house, 1), stored=False)
        assert again.wait(LIMIT), "the thread lives, and tries again"
    assert len(set(calls)) == 1
    assert (written(house), telemetry.dropped) == (["a1"], 0)
