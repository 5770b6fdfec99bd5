"""What a planner's answer leaves in the row: what it can mean is kept, and what it cannot is refused by name."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from tests.flows.conftest import EVENING, NOON, World

from assign_core import EventName, ReasonCode
from assign_core.last_result import Strategy
from assign_core.ports import Hold, NoHold, Plan, Quote, QuoteRequest

Kind = Literal["blocking", "async"]
REASON = "No suitable tables available"


def answering(kind: Kind, answer: Any) -> World:
    """A world whose planner has one answer, of whatever type."""
    world = World(kind)
    world.book()

    def quote(request: QuoteRequest, *, timeout: float) -> Quote:
        del request, timeout
        found: Quote = answer
        return found

    world.floor_planner.quote = quote  # type: ignore[method-assign]  # a port with a mind of its own
    world.job()
    return world


def hold(**odd: Any) -> Hold:
    given = {"hold_id": "h", "plan": Plan(("small",)), "expires_at": EVENING, "strategy": Strategy(), **odd}
    return Hold(**given)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "the planner answered NoneType; it must return a Hold or a NoHold"),
        ("No tables", "the planner answered str; it must return a Hold or a NoHold"),
        (hold(plan=Plan(())), "the planner held () as 'h'; it must name both by strings"),
        (hold(plan=Plan((7,))), "the planner held (7,) as 'h'; it must name both by strings"),  # type: ignore[arg-type]  # a wrong type on purpose
        (hold(hold_id=9), "the planner held ('small',) as 9; it must name both by strings"),
    ],
)
def test_an_answer_that_is_none_is_told_with_what_it_should_have_been(kind: Kind, answer: Any, words: str) -> None:
    world = answering(kind, answer)
    assert world.last().reason == f"TypeError: {words}"
    assert world.one(EventName.QUOTE)["planner_error"] == f"TypeError: {words}"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {}),
        ({"alternates": 1}, {"alternates": 1}),
        ({"alternates": 3, "capacity_version": 8}, {"alternates": 3, "capacity_version": 8}),
        ({"alternates": -1, "capacity_version": "8"}, {}),
        ({"alternates": True, "capacity_version": True}, {}),
        ({"alternates": "3", "capacity_version": 8.0}, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("found", [True, False], ids=["hold", "no hold"])
def test_counts_and_versions_are_kept_where_they_are_numbers(
    kind: Kind, found: bool, given: dict[str, Any], kept: dict[str, int]
) -> None:
    """The booking's own version stands where the planner knows none, and no further plan where it counts none."""
    world = answering(kind, hold(**given) if found else NoHold(reason=REASON, **given))
    last = world.last()
    assert (last.alternates, last.capacity_version) == (kept.get("alternates", 0), kept.get("capacity_version", 0))


@pytest.mark.parametrize(
    ("odd", "reason", "code"),
    [
        ({"reason": "sorry", "reason_code": ReasonCode.ZONE_LOCKED}, "sorry", ReasonCode.ZONE_LOCKED),
        ({"reason_code": "zone_locked"}, REASON, ReasonCode.NO_TABLES_AVAILABLE),
        ({"reason": None}, "", ReasonCode.UNKNOWN),
        ({"reason": 7}, "", ReasonCode.UNKNOWN),
    ],
    ids=str,
)
def test_a_code_goes_before_the_words_and_neither_is_taken_for_what_it_is_not(
    kind: Kind, odd: dict[str, Any], reason: str, code: ReasonCode
) -> None:
    last = answering(kind, NoHold(**{"reason": REASON, **odd})).last()
    assert (last.reason, last.reason_code) == (reason, code)


def test_when_to_come_back_is_kept_where_it_is_a_time_with_a_zone(kind: Kind) -> None:
    for hint, kept in ((EVENING, EVENING), (NOON.replace(tzinfo=None), None), ("19:00", None)):
        retry_after: Any = hint
        assert answering(kind, NoHold(reason=REASON, retry_after=retry_after)).last().retry_after == kept
