"""The telemetry contract: every event arrives once and whole, or its loss is told; the guest never waits for it."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from assign_core.events import CATALOGUE, Event, EventName, Severity, event
from assign_core.ports import Confirmed, NotConfirmed, Record
from assign_testing.house import Capability, Contract, House, T
from assign_testing.steps import acquire, confirmation, hold, result


def _event(house: House, name: EventName = EventName.STARTED, booking_id: str | None = "b") -> Event:
    spec = CATALOGUE[name]
    return Event(name, spec.severity, house.now, booking_id, "a1", {key: f"the {key}" for key in spec.keys})


def _plain(events: Sequence[Event]) -> list[Event]:
    """With contexts that compare: a mapping that is only to be read has no equal but itself."""
    return [replace(each, context=dict(each.context)) for each in events]


class TelemetryContract(Contract):
    """:class:`assign_core.ports.Telemetry`, and the events that a booking store takes into its transactions."""

    def test_lesson_26_every_event_that_can_be_emitted_arrives_whole(self, house: House) -> None:
        emitted = [_event(house, name) for name in EventName]
        emitted += [replace(_event(house), severity=severity) for severity in Severity]
        for each in emitted:
            house.telemetry.emit([each], stored=False)
        assert _plain(house.events()) == _plain(emitted)

    def test_events_keep_their_order(self, house: House) -> None:
        emitted = [replace(_event(house), attempt_id=f"a{number}") for number in range(50)]
        house.telemetry.emit(emitted[:20], stored=False)
        house.telemetry.emit([], stored=False)
        house.telemetry.emit(emitted[20:], stored=False)
        assert [each.attempt_id for each in house.events()] == [each.attempt_id for each in emitted]

    def test_an_event_of_no_booking_arrives(self, house: House) -> None:
        house.telemetry.emit([replace(_event(house), booking_id=None, attempt_id=None)], stored=False)
        assert [(each.booking_id, each.attempt_id) for each in house.events()] == [(None, None)]

    def test_values_keep_their_types(self, house: House) -> None:
        strategy = {"requireAdjacency": False, "maxTables": None}
        emitted = event(
            EventName.QUOTE,
            house.now,
            "b",
            "a1",
            planner_duration_ms=12,
            planner_success=True,
            planner_strategy=strategy,
        )
        house.telemetry.emit([emitted], stored=False)
        assert _plain(house.events()) == _plain([emitted])

    @pytest.mark.parametrize(
        "text", ["\x00", "\ud800 alone", "'; DROP TABLE bookings; --", '"}{', "\\u0000", "x" * 9_000]
    )
    def test_a_text_of_any_kind_stops_no_event(self, house: House, text: str) -> None:
        hostile = event(EventName.EMAIL_ERROR, house.now, "b", "a1", kind=text, error=text)
        house.telemetry.emit([_event(house), hostile, _event(house)], stored=False)
        assert [each.name for each in house.events()] == [EventName.STARTED, EventName.EMAIL_ERROR, EventName.STARTED]

    def test_events_of_many_threads_all_arrive(self, house: House) -> None:
        ready = threading.Barrier(8)

        def emit(number: int) -> None:
            ready.wait(20)
            for each in range(25):
                house.telemetry.emit([replace(_event(house), attempt_id=f"{number}:{each}")], stored=False)

        threads = [threading.Thread(target=emit, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len({each.attempt_id for each in house.events()}) == len(house.events()) == 200

    def test_lesson_30_what_travelled_with_a_confirm_is_stored_once(self, house: House) -> None:
        house.book()
        acquire(house)
        entry = replace(confirmation(house, hold(house)), events=(_event(house, EventName.SUCCEEDED),))
        first = house.store.confirm(entry, timeout=T)
        replayed = house.store.confirm(entry, timeout=T)
        assert isinstance(first, Confirmed)
        assert isinstance(replayed, Confirmed)
        # The answer to the first was lost; what the replay says is what the flow goes by.
        house.telemetry.emit(entry.events, stored=replayed.events_stored)
        assert [each.name for each in house.events()] == [EventName.SUCCEEDED]

    def test_lesson_30_what_travelled_with_a_record_is_stored_once(self, house: House) -> None:
        house.book()
        acquire(house)
        events = (_event(house, EventName.ATTEMPT_ERROR),)
        answer = house.store.record(
            Record(booking_id="b", attempt_id="a1", result=result(house), events=events), timeout=T
        )
        house.telemetry.emit(events, stored=answer.events_stored)
        assert [each.name for each in house.events()] == [EventName.ATTEMPT_ERROR]

    def test_a_confirm_that_is_refused_leaves_its_events_untold(self, house: House) -> None:
        house.book()
        acquire(house)
        entry = replace(confirmation(house, hold(house)), events=(_event(house, EventName.SUCCEEDED),))
        house.set_status("b", "cancelled")
        assert isinstance(house.store.confirm(entry, timeout=T), NotConfirmed)
        assert not house.events()

    def test_an_outage_is_nobodys_business_but_telemetrys(self, house: House) -> None:
        """P8: emitting never fails, and what was emitted meanwhile arrives, or its loss is told."""
        self.needs(Capability.OUTAGE)
        house.outage(begins=True)
        for _ in range(3):
            house.telemetry.emit([_event(house)], stored=False)
        house.outage(begins=False)
        house.telemetry.emit([_event(house, EventName.SUMMARY)], stored=False)
        told = [each.context["dropped"] for each in house.events() if each.name is EventName.TELEMETRY_DROPPED]
        lost = sum(count for count in told if isinstance(count, int))
        assert len([each for each in house.events() if each.name is EventName.STARTED]) + lost == 3
        assert house.events()[-1].name is EventName.SUMMARY
