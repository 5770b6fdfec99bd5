"""Telemetry on PostgreSQL when the process ends or forks: nothing is written twice, and what is lost is told."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from tests.postgres.test_postgres_lessons import House

from assign_core.events import Event, EventName, event
from assign_postgres import PostgresTelemetry

NOWHERE: Final = "host=/nowhere dbname=x"
LOGGER: Final = "assign_postgres.telemetry"


def started(house: House, number: int) -> Event:
    return event(EventName.STARTED, house.now, "b", f"a{number}")


def unreachable() -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(NOWHERE))


def test_closing_while_the_database_is_away_hides_no_error_of_the_hosts(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(engine)
    telemetry = PostgresTelemetry(unreachable(), house.runtime)

    def fails() -> None:
        with telemetry:
            telemetry.emit([started(house, 1), started(house, 2)], stored=False)
            raise ZeroDivisionError

    with caplog.at_level(logging.WARNING, LOGGER), pytest.raises(ZeroDivisionError):
        fails()
    assert telemetry.dropped == 2
    assert [record.name for record in caplog.records] == [LOGGER]
    assert "2 events are lost: could not connect" in caplog.text


def test_closing_ends_although_the_table_is_locked(engine: Engine) -> None:
    house = House(engine)
    telemetry = PostgresTelemetry(engine, house.runtime)
    with engine.connect() as blocker, blocker.begin():
        blocker.execute(text("LOCK TABLE observability_events IN ACCESS EXCLUSIVE MODE"))
        telemetry.emit([started(house, 1)], stored=False)
        telemetry.close(0.2)
        assert telemetry.dropped <= 1  # unless the thread still has it in hand


def test_what_comes_after_the_end_is_counted(engine: Engine) -> None:
    house = House(engine)
    with PostgresTelemetry(engine, house.runtime) as telemetry:
        telemetry.emit([started(house, 1)], stored=False)
    telemetry.emit([started(house, 2)], stored=False)
    assert telemetry.dropped == 1
    assert house.value("SELECT count(*) FROM observability_events") == 1


FORK: Final = """
import os, sys
import psycopg
from sqlalchemy import create_engine
from assign_core.events import EventName, event
from assign_postgres import PostgresTelemetry
from assign_runtime import ThreadRuntime

dsn, flush_after = sys.argv[1], float(sys.argv[2])
runtime = ThreadRuntime()
engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
telemetry = PostgresTelemetry(engine, runtime, flush_after=flush_after)

def emit(attempt_id):
    telemetry.emit([event(EventName.STARTED, runtime.now(), "b", attempt_id)], stored=False)

emit("before")  # and the thread is there
child = os.fork()
if not child:
    engine.dispose(close=False)
    emit("child")
    telemetry.close()
    os._exit(telemetry.dropped)
_, status = os.waitpid(child, 0)
emit("parent")
telemetry.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.once
@pytest.mark.parametrize("flush_after", [0, 3600], ids=["written before", "waiting"])
def test_a_forked_process_writes_its_own_events_and_no_others(dsn: str, engine: Engine, flush_after: float) -> None:
    """A server that loads the app before its workers forks. The thread stays behind, and so does what was waiting."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, dsn, str(flush_after)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = House(engine).rows("SELECT attempt_id FROM observability_events ORDER BY attempt_id")
    assert [row.attempt_id for row in rows] == ["before", "child", "parent"]


def test_a_thread_of_the_child_needs_no_close(dsn: str, engine: Engine) -> None:
    """A worker that is killed never closes anything; what it emitted is there all the same."""
    script = FORK.replace("    telemetry.close()\n    os._exit(telemetry.dropped)", UNTIL_WRITTEN)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, dsn, "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert House(engine).value("SELECT count(*) FROM observability_events") == 3


UNTIL_WRITTEN: Final = """
    with psycopg.connect(dsn, autocommit=True) as looking:
        while not looking.execute("SELECT 1 FROM observability_events WHERE attempt_id = 'child'").fetchall():
            pass
    os._exit(0)
"""
