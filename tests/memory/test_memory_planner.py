"""What only the planner in memory promises; the rest is in its contract."""

from __future__ import annotations

from datetime import time

import pytest

from assign_core.ports import Hold
from assign_floor import Floor, Service, Table, Window
from assign_testing import DINNER, LUNCH, T, memory_house
from assign_testing.steps import quote, version


def test_a_house_that_is_closed_has_no_version() -> None:
    services = [Service(name="lunch", opens=time(12), closes=time(13, 30))]
    house = memory_house(Floor(tables=[Table(id="1", seats=2)], services=services))
    house.book(start_at=LUNCH)
    house.book("closed", start_at=DINNER)
    for name in ("b", "closed"):
        assert house.store.capacity_version(name, timeout=T) is None


def test_a_change_of_the_floor_makes_the_version_grow() -> None:
    house = memory_house()
    house.book(party=8)
    before = version(house)
    window = house.db.window(house.db.row("b"))

    assert isinstance(window, Window)
    house.db.change_floor(Floor(tables=[Table(id="huge", seats=8)]), window)
    assert version(house) > before
    assert isinstance(quote(house), Hold)


# What the host may not do.


def test_what_no_host_can_mean_is_refused_where_it_enters() -> None:
    """Else a bad row is found by the queue, at every poll, instead of by whoever wrote it."""
    house = memory_house()
    house.book()
    with pytest.raises(ValueError, match="at least 1"):
        house.book("zero", party=0)
    with pytest.raises(ValueError, match="exists already"):
        house.book("b")
    with pytest.raises(ValueError, match="zone"):
        house.book("naive", start_at=DINNER.replace(tzinfo=None))
    with pytest.raises(ValueError, match="at least 1"):
        house.modify("b", party=0)
    with pytest.raises(ValueError, match="zone"):
        house.db.modify("b", start_at=DINNER.replace(tzinfo=None))
    house.book("c")
    house.seat("c", ["small"])
    with pytest.raises(ValueError, match="taken"):
        house.seat("b", ["small"])
    with pytest.raises(ValueError, match=r"tables \['garage', 'loft'\] are not on the floor"):
        house.seat("b", ["large", "loft", "garage"])
    assert house.status() == "pending"
    assert house.db.row("b").revision == 0
