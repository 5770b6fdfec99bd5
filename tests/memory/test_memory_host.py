"""What the host's hands do to the rows in memory, as the schema does it to those of a database."""

from __future__ import annotations

import pytest

from assign_testing import memory_house


@pytest.mark.parametrize(("status", "kept"), [("arrived", {"small"}), ("confirmed", set())])
def test_a_booking_in_a_status_of_the_hosts_own_keeps_its_tables_when_it_is_modified(
    status: str, kept: set[str]
) -> None:
    """Whoever is called "arrived" sits at one."""
    house = memory_house()
    house.book()
    house.seat("b", ["small"])
    house.set_status("b", status)
    house.modify("b", party=1)
    assert house.tables() == kept
    assert house.status() == ("arrived" if kept else "pending")
