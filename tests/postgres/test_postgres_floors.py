"""Floors that stay built, and searches that keep nobody waiting."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

from sqlalchemy.util import greenlet_spawn

from assign_floor import Floor, Search, search
from assign_postgres.planner import _FLOORS_KEPT, FloorReader, beside_the_loop


def looked(house: int) -> Any:
    """What the server answers about a house."""
    return SimpleNamespace(
        restaurant_id=str(house),
        timezone="UTC",
        turnover=0.0,
        services=None,
        durations=json.dumps([[None, 7200]]),
        tables=json.dumps([[f"{house}", 2, 1, "main", True]]),
        adjacency=None,
        taken=None,
        held=None,
    )


def test_the_floor_that_was_not_used_for_longest_is_forgotten_first() -> None:
    reader = FloorReader()
    built = [reader.seen(looked(house), None).floor for house in range(_FLOORS_KEPT)]
    assert reader.seen(looked(0), None).floor is built[0]
    reader.seen(looked(_FLOORS_KEPT), None)
    assert reader.seen(looked(0), None).floor is built[0]
    assert reader.seen(looked(1), None).floor is not built[1]


def test_a_floor_that_has_changed_is_built_anew() -> None:
    reader, row = FloorReader(), looked(1)
    before = reader.seen(row, None).floor
    row.tables = json.dumps([["1", 3, 1, "main", True]])
    assert [table.seats for table in reader.seen(row, None).floor.tables] == [3]
    assert [table.seats for table in before.tables] == [2]


def test_of_two_held_times_of_a_table_the_last_counts() -> None:
    """Lunch and dinner of one table, both in the way of a long afternoon."""
    row = looked(1)
    row.held = json.dumps([["1", "2026-01-09T12:02:00+00:00"], ["1", "2026-01-09T12:01:00+00:00"]])
    (until,) = FloorReader().seen(row, None).held.values()
    assert until.minute == 2


def test_a_search_beside_an_event_loop_is_made_in_a_thread_of_its_own() -> None:
    where: list[threading.Thread] = []

    def work() -> Search:
        where.append(threading.current_thread())
        return search(Floor(tables=FloorReader().seen(looked(1), None).floor.tables), party=2, busy=())

    async def run() -> Search:
        found: Search = await greenlet_spawn(beside_the_loop, work)
        return found

    assert [each.tables for each in asyncio.run(run()).candidates] == [("1",)]
    assert where[0] is not threading.current_thread()
