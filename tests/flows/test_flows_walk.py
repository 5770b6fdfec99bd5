"""The walk by itself: what each effect is given of the time, whatever flow asks for it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, Final

import pytest
from tests.flows.conftest import NOON

from assign_core.drive import drive_async, walk
from assign_core.effects import Deliver, Effect, ReleaseHold, Sleep, Within
from assign_core.errors import DeadlineExceeded
from assign_core.ports import Email, EmailKind, Shielded

GRACE: Final = 1.0
WORK: Final = Sleep(1.0)
CLEAN_UP: Final = ReleaseHold("b", "a")
MAIL: Final = Deliver(Email(booking_id="b", kind=EmailKind.CONFIRMATION, revision=0))


class Watch:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return NOON

    def new_id(self) -> str:
        return "a"


async def clean_up_after(seconds: float | None, *work: Effect[Any]) -> str:
    """Works within that time (``None``: nothing was said of time), cleans up twice whatever happens, and tells."""
    told = "done"
    try:
        if seconds is not None:
            await Within(seconds)
        for each in work:
            await each
    except (Exception, DeadlineExceeded) as error:  # noqa: BLE001 - whatever the work ends with, it cleans up
        told = repr(error)
    try:
        await CLEAN_UP
    except BaseException as error:  # noqa: BLE001 - as above
        told = repr(error)
    await MAIL
    return told


def test_who_was_given_no_time_has_all_of_it_and_the_grace_to_clean_up() -> None:
    steps = walk(clean_up_after(None, WORK), Watch(), GRACE)
    assert next(steps) == (WORK, inf)
    assert steps.send(None) == (CLEAN_UP, GRACE)
    assert steps.send(None) == (MAIL, GRACE)


def test_time_is_what_is_left_and_clean_up_has_no_less_than_the_grace() -> None:
    watch = Watch()
    steps = walk(clean_up_after(10.0, WORK, WORK), watch, GRACE)
    assert next(steps) == (WORK, 10.0)
    watch.at = 4.0
    assert steps.send(None) == (WORK, 6.0)
    assert steps.send(None) == (CLEAN_UP, 6.0)
    watch.at = 9.5
    assert steps.send(None) == (MAIL, GRACE)


def test_a_failure_leaves_the_clean_up_what_is_left() -> None:
    """Only an end of time, or a host that stops, begins the grace."""
    steps = walk(clean_up_after(10.0, WORK), Watch(), GRACE)
    next(steps)
    assert steps.throw(OSError("gone")) == (CLEAN_UP, 10.0)
    assert steps.send(None) == (MAIL, 10.0)


@pytest.mark.parametrize("second", [asyncio.CancelledError(), KeyboardInterrupt()])
def test_the_grace_is_counted_once_from_the_first_interruption(second: BaseException) -> None:
    watch = Watch()
    steps = walk(clean_up_after(10.0, WORK), watch, GRACE)
    next(steps)
    watch.at = 10.0
    assert steps.throw(DeadlineExceeded(WORK)) == (CLEAN_UP, GRACE)
    watch.at = 10.75
    assert steps.throw(second) == (MAIL, 0.25)


@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "under way"])
def test_who_runs_out_of_time_is_told_at_which_effect_and_whether_it_may_have_been_performed(begun: bool) -> None:
    caught: list[DeadlineExceeded] = []

    async def flow() -> None:
        await Within(10.0)
        await Sleep(2.0)
        try:
            await WORK
        except DeadlineExceeded as error:
            caught.append(error)

    watch = Watch()
    steps = walk(flow(), watch, GRACE)
    next(steps)
    if begun:
        steps.send(None)
    late = partial(steps.throw, TimeoutError("the port's own words")) if begun else partial(steps.send, None)
    watch.at = 10.0
    with pytest.raises(StopIteration):
        late()
    assert [(error.args, error.begun) for error in caught] == [((WORK,), begun)]


def test_a_cancellation_that_came_during_the_clean_up_is_thrown_at_the_next_work_and_only_once() -> None:
    cancellation = asyncio.CancelledError("the host's")
    thrown: list[BaseException] = []

    class Host:
        async def shielded(self, call: object, timeout: float) -> Shielded[object]:
            del call, timeout
            return Shielded(None, None, cancellation)

        def background(self, rest: object) -> None:
            raise AssertionError(rest)

    async def flow() -> str:
        await CLEAN_UP
        try:
            await WORK
        except asyncio.CancelledError as error:
            thrown.append(error)
        await WORK
        return "went on"

    async def perform(effect: Effect[Any], left: float) -> object:
        del left
        return effect

    host: Any = Host()
    assert asyncio.run(drive_async(walk(flow(), Watch(), GRACE), perform, host)) == "went on"
    assert thrown == [cancellation]
