"""Telemetry in a transaction of the host's has one time for all its statements, and counts exactly what it lost."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine
from tests.postgres.test_postgres_lessons import House

from assign_core.events import EventName, event
from assign_postgres.transaction_telemetry import PATIENCE, TransactionTelemetry
from assign_runtime import ThreadRuntime


class Leaping(ThreadRuntime):
    """A clock by which the time is up once it has been looked at so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def monotonic(self) -> float:
        self._looks -= 1
        return 0.0 if self._looks >= 0 else PATIENCE


@pytest.mark.parametrize(
    ("looks", "written", "lost"),
    [
        (1, [], 3),
        (2, [], 3),  # all at once was refused
        (3, ["0"], 2),
        (4, ["0"], 2),  # the second was refused
        (5, ["0", "2"], 1),
        (6, ["0", "2"], 0),  # and the loss is told
    ],
)
def test_when_the_time_is_up_what_is_written_is_not_counted_as_lost(
    engine: Engine, looks: int, written: list[str], lost: int
) -> None:
    house = House(engine)
    house.run("ALTER TABLE observability_events ADD CHECK (attempt_id <> '1')")
    with engine.begin() as connection:
        telemetry = TransactionTelemetry(connection, Leaping(looks))
        started = [event(EventName.STARTED, house.now, "b", str(number)) for number in range(3)]
        telemetry.emit(started, stored=False)
    rows = house.rows("SELECT attempt_id FROM observability_events WHERE attempt_id IS NOT NULL ORDER BY id")
    assert [row.attempt_id for row in rows] == written
    assert telemetry.dropped == lost
