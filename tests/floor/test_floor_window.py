"""Windows, slots and services, also on the two nights when the clock changes."""

from __future__ import annotations

import doctest
import importlib
import io
import struct
from datetime import UTC, datetime, time, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_floor import DEFAULT_DURATIONS, Durations, Floor, Refusal, Service, Table, Window, window_for


def _zone(rule: str) -> ZoneInfo:
    """A time zone from a POSIX rule (RFC 8536), so that no test depends on the machine's time zone database."""
    block = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"LMT\0"
    return ZoneInfo.from_file(io.BytesIO(block * 2 + b"\n" + rule.encode() + b"\n"), key="Test/Zone")


CENTRAL = _zone("CET-1CEST,M3.5.0,M10.5.0/3")
"""Central Europe. In 2026 the clock jumps from 02:00 to 03:00 on 29 March and back from 03:00 on 25 October."""

TWO_HOURS = Durations([(None, timedelta(hours=2))])


def _floor(*services: tuple[str, time, time], tz: ZoneInfo | timezone = UTC, turnover: int = 0) -> Floor:
    return Floor(
        tables=[Table(id="T1", seats=4)],
        services=[Service(name=name, opens=opens, closes=closes) for name, opens, closes in services],
        durations=TWO_HOURS,
        turnover=timedelta(minutes=turnover),
        tz=tz,
    )


LUNCH = ("lunch", time(12), time(15))
DINNER = ("dinner", time(18), time(23))
NIGHT = ("night", time(22), time(4))


def _utc(day: int, hour: int, minute: int = 0, *, month: int = 6) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def _text(answer: Window | Refusal) -> str:
    assert isinstance(answer, Refusal)
    return answer.reason


def _span(answer: Window | Refusal) -> tuple[datetime, datetime]:
    assert isinstance(answer, Window), answer
    return answer.start, answer.end


def test_the_central_zone_of_these_tests_changes_its_clock_when_it_should() -> None:
    assert _utc(29, 0, 59, month=3).astimezone(CENTRAL).strftime("%H:%M %Z") == "01:59 CET"
    assert _utc(29, 1, month=3).astimezone(CENTRAL).strftime("%H:%M %Z") == "03:00 CEST"
    assert _utc(25, 0, 59, month=10).astimezone(CENTRAL).strftime("%H:%M %Z") == "02:59 CEST"
    assert _utc(25, 1, month=10).astimezone(CENTRAL).strftime("%H:%M %Z") == "02:00 CET"


# --- window_for ---


def test_a_stay_may_end_exactly_when_the_service_does() -> None:
    floor = _floor(LUNCH, DINNER)
    assert _span(window_for(floor, 2, _utc(1, 13))) == (_utc(1, 13), _utc(1, 15))
    assert _text(window_for(floor, 2, _utc(1, 13, 1))) == "Reservation would overrun lunch service (end 15:00)."
    assert _text(window_for(floor, 2, _utc(1, 21, 15))) == "Reservation would overrun dinner service (end 23:00)."


def test_the_turnover_belongs_to_the_window() -> None:
    floor = _floor(LUNCH, turnover=15)
    assert _span(window_for(floor, 2, _utc(1, 12, 45))) == (_utc(1, 12, 45), _utc(1, 15))
    assert _text(window_for(floor, 2, _utc(1, 13))) == "Reservation would overrun lunch service (end 15:00)."


def test_larger_parties_stay_longer() -> None:
    floor = Floor(tables=[], durations=DEFAULT_DURATIONS)
    stays = [_span(window_for(floor, party, _utc(1, 12)))[1] - _utc(1, 12) for party in (1, 2, 3, 4, 5, 6, 7, 40)]
    assert [stay // timedelta(minutes=1) for stay in stays] == [90, 90, 105, 105, 120, 120, 150, 150]


@pytest.mark.parametrize(("hour", "minute"), [(11, 59), (15, 0), (17, 59), (23, 0), (3, 7)])
def test_a_start_outside_every_service(hour: int, minute: int) -> None:
    answer = window_for(_floor(LUNCH, DINNER), 2, _utc(1, hour, minute))
    assert _text(answer) == f"Outside service hours ({hour:02}:{minute:02})."


def test_a_service_past_midnight_belongs_to_the_day_it_opened() -> None:
    floor = _floor(NIGHT)
    assert _span(window_for(floor, 2, _utc(1, 23))) == (_utc(1, 23), _utc(2, 1))
    assert _span(window_for(floor, 2, _utc(2, 2))) == (_utc(2, 2), _utc(2, 4))
    assert _text(window_for(floor, 2, _utc(2, 2, 1))) == "Reservation would overrun night service (end 04:00)."
    assert _text(window_for(floor, 2, _utc(2, 4))) == "Outside service hours (04:00)."
    assert _text(window_for(floor, 2, _utc(2, 21, 59))) == "Outside service hours (21:59)."


def test_a_service_round_the_clock_has_one_break_at_its_hour() -> None:
    floor = _floor(("diner", time(6), time(6)))
    assert _span(window_for(floor, 2, _utc(1, 6))) == (_utc(1, 6), _utc(1, 8))
    assert _span(window_for(floor, 2, _utc(1, 3))) == (_utc(1, 3), _utc(1, 5))
    assert _text(window_for(floor, 2, _utc(1, 5))) == "Reservation would overrun diner service (end 06:00)."


def test_a_floor_without_services_accepts_any_start() -> None:
    assert _span(window_for(_floor(), 2, _utc(1, 3, 7))) == (_utc(1, 3, 7), _utc(1, 5, 7))


def test_services_are_local_and_the_start_may_come_in_any_zone() -> None:
    floor = _floor(LUNCH, tz=CENTRAL)
    assert _span(window_for(floor, 2, _utc(1, 10))) == (_utc(1, 10), _utc(1, 12))
    assert _text(window_for(floor, 2, _utc(1, 9, 59))) == "Outside service hours (11:59)."
    assert _text(window_for(floor, 2, _utc(1, 11, 15))) == "Reservation would overrun lunch service (end 15:00)."
    eastern = datetime(2026, 6, 1, 6, tzinfo=timezone(timedelta(hours=-4)))
    assert window_for(floor, 2, eastern) == window_for(floor, 2, _utc(1, 10))
    # In winter the same wall time is an hour later in UTC.
    assert _text(window_for(floor, 2, _utc(10, 10, month=1))) == "Outside service hours (11:00)."


def test_in_spring_the_night_is_an_hour_shorter_on_the_wall() -> None:
    floor = _floor(NIGHT, tz=CENTRAL)
    # 04:00 CEST is 02:00 UTC. Two hours from midnight UTC end exactly then.
    assert _span(window_for(floor, 2, _utc(29, 0, month=3))) == (_utc(29, 0, month=3), _utc(29, 2, month=3))
    start = datetime(2026, 3, 29, 1, 1, tzinfo=CENTRAL)
    assert _text(window_for(floor, 2, start)) == "Reservation would overrun night service (end 04:00)."


def test_in_autumn_the_night_is_an_hour_longer() -> None:
    floor = _floor(NIGHT, tz=CENTRAL)
    # 04:00 CET is 03:00 UTC, so even the second 02:00 leaves two hours.
    second = datetime(2026, 10, 25, 2, fold=1, tzinfo=CENTRAL)
    assert _span(window_for(floor, 2, second)) == (_utc(25, 1, month=10), _utc(25, 3, month=10))
    later = datetime(2026, 10, 25, 2, 1, fold=1, tzinfo=CENTRAL)
    assert _text(window_for(floor, 2, later)) == "Reservation would overrun night service (end 04:00)."
    first = datetime(2026, 10, 25, 2, 1, tzinfo=CENTRAL)
    assert _span(window_for(floor, 2, first)) == (_utc(25, 0, 1, month=10), _utc(25, 2, 1, month=10))


def test_a_closing_time_that_comes_twice_is_the_first_one() -> None:
    floor = _floor(("bar", time(20), time(2, 30)), tz=CENTRAL)
    # The first 02:30 is 00:30 UTC.
    assert _span(window_for(floor, 2, _utc(24, 22, 30, month=10)))[1] == _utc(25, 0, 30, month=10)
    assert _text(window_for(floor, 2, _utc(24, 22, 31, month=10))).startswith("Reservation would overrun bar")
    assert _text(window_for(floor, 2, _utc(25, 1, month=10))) == "Outside service hours (02:00)."
    folded = Service(name="bar", opens=time(20), closes=time(2, 30, fold=1))
    assert folded == Service(name="bar", opens=time(20), closes=time(2, 30))


def test_a_closing_time_that_is_skipped_counts_on_from_before_the_gap() -> None:
    floor = _floor(("bar", time(20), time(2, 30)), tz=CENTRAL)
    # 02:30 does not exist; half an hour after the jump is 01:30 UTC, six and a half hours after 20:00 CET.
    assert _span(window_for(floor, 2, _utc(28, 23, 30, month=3)))[1] == _utc(29, 1, 30, month=3)
    assert _text(window_for(floor, 2, _utc(28, 23, 31, month=3))).startswith("Reservation would overrun bar")


def test_when_a_skipped_hour_pushes_one_service_into_the_next_the_later_one_counts() -> None:
    floor = _floor(("bar", time(20), time(2, 30)), ("breakfast", time(3), time(9)), tz=CENTRAL)
    assert _span(window_for(floor, 2, _utc(29, 1, month=3))) == (_utc(29, 1, month=3), _utc(29, 3, month=3))


def test_a_start_without_a_zone_is_refused_loudly() -> None:
    with pytest.raises(ValueError, match="2026-06-01T12:00:00 has no time zone"):
        window_for(_floor(), 2, datetime(2026, 6, 1, 12))  # noqa: DTZ001 - the mistake under test
    with pytest.raises(ValueError, match="party of 0"):
        window_for(_floor(), 0, _utc(1, 12))


# --- Window ---

instants = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.sampled_from([UTC, CENTRAL]))  # noqa: DTZ001 - hypothesis takes naive bounds
stays = st.timedeltas(timedelta(seconds=1), timedelta(hours=5))
windows = st.builds(lambda start, stay: Window(start=start, end=start.astimezone(UTC) + stay), instants, stays)


@given(windows)
def test_slots_are_exactly_the_quarter_hours_that_the_window_touches(window: Window) -> None:
    slots = window.slots()
    quarter = timedelta(minutes=15)
    assert slots
    for slot in slots:
        assert slot.tzinfo is UTC
        assert slot.timestamp() % 900 == 0
        assert window.overlaps(Window(start=slot, end=slot + quarter))
    assert all(after - before == quarter for before, after in pairwise(slots))
    for outside in (slots[0] - quarter, slots[-1] + quarter):
        assert not window.overlaps(Window(start=outside, end=outside + quarter))


@given(windows, windows)
def test_overlapping_windows_share_a_slot_and_overlap_is_mutual(one: Window, other: Window) -> None:
    assert one.overlaps(other) == other.overlaps(one)
    assert one.overlaps(one)
    if one.overlaps(other):
        assert set(one.slots()) & set(other.slots())


def test_windows_that_only_touch_do_not_overlap() -> None:
    early, late = Window(start=_utc(1, 12), end=_utc(1, 14)), Window(start=_utc(1, 14), end=_utc(1, 16))
    assert not early.overlaps(late)
    assert not late.overlaps(early)
    assert early.overlaps(Window(start=_utc(1, 13, 59), end=_utc(1, 14)))
    assert early.slots()[-1] == _utc(1, 13, 45)


def test_a_window_inside_one_quarter_touches_one_slot() -> None:
    assert Window(start=_utc(1, 12, 16), end=_utc(1, 12, 17)).slots() == (_utc(1, 12, 15),)
    assert Window(start=_utc(1, 12), end=_utc(1, 12, 15)).slots() == (_utc(1, 12),)
    assert Window(start=_utc(1, 12), end=_utc(1, 12, 16)).slots() == (_utc(1, 12), _utc(1, 12, 15))


def test_windows_are_compared_in_utc_across_the_repeated_hour() -> None:
    # On the wall the second begins before the first ends; in truth they only touch.
    first = Window(start=_utc(24, 23, month=10), end=datetime(2026, 10, 25, 2, 30, tzinfo=CENTRAL))
    second = Window(start=datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=CENTRAL), end=_utc(25, 3, month=10))
    assert not first.overlaps(second)
    assert first.end == _utc(25, 0, 30, month=10)
    assert second.start == _utc(25, 1, 15, month=10)


def test_a_wrong_window_names_its_times() -> None:
    with pytest.raises(ValueError, match=r"starts at 2026-06-01T12:00:00\+00:00 and ends at 2026-06-01T12:00:00"):
        Window(start=_utc(1, 12), end=_utc(1, 12))
    with pytest.raises(ValueError, match="has no time zone"):
        Window(start=_utc(1, 12), end=datetime(2026, 6, 1, 14))  # noqa: DTZ001 - the mistake under test


@pytest.mark.parametrize("module", ["assign_floor", "assign_floor.hours"])
def test_the_documented_examples_are_true(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted
    assert not outcome.failed
