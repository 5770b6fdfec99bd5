"""When a party fits again: the earliest expiry after which the search succeeds, whatever holds there are."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from assign_floor import Floor, Table, fits_again, search

NOON = datetime(2026, 1, 9, 12, tzinfo=UTC)


@given(st.data())
def test_it_is_the_first_of_the_expiries_at_which_the_search_succeeds(data: st.DataObject) -> None:
    seats = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    names = [str(number) for number in range(len(seats))]
    floor = Floor(
        tables=[Table(id=name, seats=number) for name, number in zip(names, seats, strict=True)],
        adjacent=[pair for pair in pairwise(names) if data.draw(st.booleans())],
    )
    party = data.draw(st.integers(1, max(seats)))
    held = {
        name: NOON + timedelta(seconds=seconds)
        for name, seconds in data.draw(st.dictionaries(st.sampled_from(names), st.integers(1, 4), min_size=1)).items()
    }

    def fits(still: Collection[str]) -> bool:
        return bool(search(floor, party=party, busy=still).candidates)

    def fits_at(moment: datetime) -> bool:
        return fits({name for name, until in held.items() if until > moment})

    assert fits_again(held, fits) == min(moment for moment in held.values() if fits_at(moment))
