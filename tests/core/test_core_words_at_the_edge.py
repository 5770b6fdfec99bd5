"""What people are told where a moment is not known, where one is not many, and where a key is not one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.conftest import NOON

from assign_core import CATALOGUE, Booking, EventName, InvalidValue, LastResult, Policy, Source, decide, explain
from assign_core.case import Action
from assign_core.events import event


def test_a_wait_without_a_moment_is_still_a_sentence() -> None:
    booking = Booking(id="b", start_at=NOON + timedelta(hours=5))
    made = decide(booking, None, policy=Policy(), now=NOON)
    sentences = explain(booking, None, made._replace(action=Action.WAIT, not_before=None), now=NOON)
    assert "Wait." in sentences
    parked = made._replace(action=Action.WAIT, not_before=None, parked=True, rules=("capacity_unchanged",))
    assert "Wait, or until seats become free." in explain(booking, None, parked, now=NOON)


def test_a_wait_for_the_last_chance_is_for_that_alone() -> None:
    """Where no version is known freed seats wake nobody, so nobody is promised that they do."""
    booking = Booking(id="b", start_at=NOON + timedelta(hours=5))
    last = LastResult(
        source=Source.JOB, recorded_at=NOON, success=False, reason="No suitable tables available", attempt=1
    )
    decision = decide(booking, last, policy=Policy(), now=NOON)
    assert (decision.parked, decision.rules[0]) == (True, "last_chance")
    (wait,) = [sentence for sentence in explain(booking, last, decision, now=NOON) if sentence.startswith("Wait")]
    assert "seats" not in wait


@pytest.mark.parametrize(("attempt", "words"), [(1, "its attempt counts"), (2, "its 2 attempts count")])
def test_attempts_are_told_in_the_right_number(attempt: int, words: str) -> None:
    booking = Booking(id="b", start_at=NOON + timedelta(hours=5))
    last = LastResult(
        source=Source.JOB, recorded_at=NOON + timedelta(hours=1), success=False, reason="?", attempt=attempt
    )
    decision = decide(booking, last, policy=Policy(), now=NOON)
    assert any(words in sentence for sentence in explain(booking, last, decision, now=NOON))


def test_a_key_that_is_refused_is_told_with_those_that_are_taken() -> None:
    keys = ", ".join(CATALOGUE[EventName.QUOTE].keys)
    with pytest.raises(InvalidValue, match=f"no context key .'odd'.; its row names {keys}$"):
        event(EventName.QUOTE, NOON, "b", "a", odd=1)
