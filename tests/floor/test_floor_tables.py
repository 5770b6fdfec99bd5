"""What a floor accepts, and how clearly it refuses the rest."""

from __future__ import annotations

import pickle
from copy import deepcopy
from datetime import UTC, time, timedelta
from typing import Any

import attrs
import pytest

from assign_floor import Durations, Floor, Service, Table, sample_floor, search

A, B = Table(id="A", seats=4), Table(id="B", seats=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"id": ""}, "id is empty"),
        ({"seats": 0}, "'T7' has 0 seats"),
        ({"seats": -2}, "'T7' has -2 seats"),
        ({"min_party": 0}, "'T7' has min_party 0"),
        ({"min_party": 5}, "'T7' has min_party 5 but only 4 seats"),
        ({"zone": ""}, "'T7' has an empty zone"),
    ],
)
def test_a_wrong_table_is_named_with_its_value(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table(**{"id": "T7", "seats": 4, **wrong})


def test_a_table_may_be_reserved_for_parties_that_fill_it() -> None:
    assert Table(id="T7", seats=4, min_party=4).min_party == 4


def _service(name: str, opens: int, closes: int) -> Service:
    return Service(name=name, opens=time(opens), closes=time(closes))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tables": [A, B, Table(id="A", seats=2)]}, "2 tables have the id 'A'"),
        ({"adjacent": [("A", "Z9")]}, r"\('A', 'Z9'\) names the table 'Z9', which is not on the floor"),
        ({"adjacent": [("A", "A")]}, "joins the table 'A' with itself"),
        ({"turnover": timedelta(minutes=-5)}, "turnover is -1 day, 23:55:00"),
        (
            {"services": [_service("lunch", 12, 15), _service("tea", 14, 17)]},
            r"'lunch' \(12:00-15:00\) and 'tea' \(14:00-17:00\) overlap",
        ),
    ],
)
def test_a_wrong_floor_says_what_and_where(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Floor(**{"tables": [A, B], **wrong})


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ((12, 15), (15, 18), False),
        ((12, 15), (14, 18), True),
        ((18, 2), (1, 5), True),
        ((18, 2), (2, 18), False),
        ((18, 2), (23, 0), True),
        ((22, 4), (20, 23), True),
        ((0, 0), (12, 13), True),
        ((9, 9), (4, 5), True),
    ],
)
def test_services_overlap_on_the_face_of_the_clock(one: tuple[int, int], other: tuple[int, int], overlap: bool) -> None:
    first, second = _service("one", *one), _service("other", *other)
    assert first.overlaps(second) is overlap
    assert second.overlaps(first) is overlap


def test_adjacency_has_no_direction_and_is_kept_once() -> None:
    floor = Floor(tables=[A, B], adjacent=[("B", "A"), ("A", "B")])
    assert floor.adjacent == (("A", "B"),)
    assert floor == Floor(tables=[A, B], adjacent=[("A", "B")])
    assert search(floor, party=6, busy=()).candidates[0].tables == ("A", "B")


def test_a_floor_takes_any_iterable_and_cannot_be_changed() -> None:
    floor = Floor(tables=iter([A, B]), adjacent=iter([("A", "B")]), services=iter([_service("lunch", 12, 15)]))
    assert floor.tables == (A, B)
    assert floor.zones == ("main",)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        floor.tables = ()  # type: ignore[misc]  # frozen, as the test shows


def test_a_floor_can_be_copied_and_sent_to_another_process() -> None:
    floor = sample_floor()
    answer = search(floor, party=7, busy={"M09"})
    for copy in (pickle.loads(pickle.dumps(floor)), deepcopy(floor)):  # noqa: S301 - our own bytes
        assert copy == floor
        assert hash(copy) == hash(floor)
        assert search(copy, party=7, busy={"M09"}) == answer


def test_the_sample_is_what_it_says() -> None:
    floor = sample_floor()
    assert len(floor.tables) == 24
    assert sum(table.seats for table in floor.tables) == 80
    assert floor.zones == ("bar", "main", "terrace")
    assert sum(not table.movable for table in floor.tables) == 8
    assert [service.name for service in floor.services] == ["lunch", "dinner"]
    assert floor.tz is UTC
    for party in range(1, 17):
        assert search(floor, party=party, busy=()).candidates, party
    assert search(floor, party=17, busy=()).reason == "Unable to satisfy max tables"
    assert search(floor, party=36, busy=(), max_tables=10).candidates
    assert search(floor, party=37, busy=()).reason == "Insufficient global capacity"


def test_durations_grow_by_steps_and_the_last_is_open_ended() -> None:
    stay = [timedelta(minutes=minutes) for minutes in (60, 90, 120)]
    durations = Durations([(2, stay[0]), (4, stay[1]), (8, stay[2])])
    assert [durations.of(party) for party in (1, 2, 3, 4, 5, 8, 9, 500)] == [
        *(stay[0],) * 2,
        *(stay[1],) * 2,
        *(stay[2],) * 4,
    ]
    assert Durations([(None, stay[0])]).of(30) == stay[0]


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "no steps"),
        ([(2, timedelta())], "parties of up to 2 a stay of 0:00:00"),
        ([(None, HOUR), (4, HOUR)], r"step 1 is open-ended \(None\)"),
        ([(0, HOUR)], "step 1 ends at 0, after 0"),
        ([(4, HOUR), (4, HOUR)], "step 2 ends at 4, after 4"),
        ([(4, HOUR), (2, HOUR), (None, HOUR)], "step 2 ends at 2, after 4"),
    ],
)
def test_wrong_durations_are_named(steps: list[tuple[int | None, timedelta]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Durations(steps)


def test_a_party_of_nobody_has_no_duration() -> None:
    with pytest.raises(ValueError, match="party of 0 has no duration"):
        Durations([(None, HOUR)]).of(0)


def test_a_service_needs_a_name_and_plain_wall_times() -> None:
    with pytest.raises(ValueError, match="name is empty"):
        Service(name="", opens=time(12), closes=time(15))
    with pytest.raises(ValueError, match=r"'lunch' closes at 15:00:00\+00:00 with a time zone of its own"):
        Service(name="lunch", opens=time(12), closes=time(15, tzinfo=UTC))
