"""The two drivers: they carry out a flow's effects, with its deadline and its cancellation.

:func:`walk` is what both share, and all that can be decided without performing anything: it keeps the deadline,
answers what is not I/O (time and ids), and turns whatever went wrong into an exception at the effect that the flow
awaits. The drivers are the loop around it, once by plain calls and once by ``await``; there is no other difference.

A flow is never closed in the middle of a lease. Whatever interrupts it is thrown in, and then everything that it
still asks for is performed until it ends. Clean-up has a grace of its own, and an asynchronous one is shielded from the
first cancellation; a second can still win, which is why leases and holds expire by themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from math import inf
from typing import Any, NamedTuple, TypeVar

from assign_core.effects import (
    ContinueInBackground,
    Effect,
    Flow,
    NewAttemptId,
    Now,
    Within,
)
from assign_core.errors import DeadlineExceeded
from assign_core.ports import AsyncRuntime, Clock, Runtime
from assign_core.reasons import reason_of

T = TypeVar("T")


class Step(NamedTuple):
    """An effect to be performed, and the seconds it may take."""

    effect: Effect[Any]
    left: float


Steps = Generator[Step, object, T]
"""Send an answer or throw a failure, get the next step; the flow's own answer ends it."""


def walk(flow: Flow[T], clock: Clock, grace: float) -> Steps[T]:
    """The steps of a flow.

    Args:
        grace: seconds for clean-up, counted once from the moment that the flow was interrupted.
    """
    deadline = inf
    grace_end: float | None = None
    resume: Callable[[], Effect[Any]] = partial(flow.send, None)
    while True:
        try:
            effect = resume()
        except StopIteration as stop:
            result: T = stop.value
            return result
        match effect:
            case Within():
                deadline = inf if effect.seconds is None else clock.monotonic() + effect.seconds
                grace_end = None
                resume = partial(flow.send, None)
                continue
            case Now():
                resume = partial(flow.send, clock.now())
                continue
            case NewAttemptId():
                resume = partial(flow.send, clock.new_id())
                continue
            case Effect():
                pass
            case _:
                # A foreign awaitable, such as an event loop's sleep, suspends the flow where no driver can resume it.
                resume = partial(flow.throw, TypeError(f"a flow awaits effects only, not {effect!r}"))
                continue
        try:
            now = clock.monotonic()
            if not effect.cleanup:
                left = deadline - now
            elif grace_end is None:
                left = max(grace, deadline - now) if deadline < inf else grace
            else:
                left = grace_end - now
            if effect.own_time is not None:
                left = effect.own_time
            if left <= 0 and not effect.though_late:
                raise DeadlineExceeded(effect, begun=False)
            resume = partial(flow.send, (yield Step(effect, max(left, 0.0))))
            if isinstance(effect, ContinueInBackground):
                # Not before: where the host has no background, the request still has only its own time. From the
                # deadline, not from now: a process that slept here would otherwise outlive the lease it goes on under.
                deadline, grace_end = deadline + effect.seconds, None
        except GeneratorExit:
            flow.close()
            raise
        except BaseException as error:  # noqa: BLE001 - a failure, the deadline or a cancellation: the flow's to handle
            timed_out = isinstance(error, TimeoutError) and not effect.cleanup and clock.monotonic() >= deadline
            thrown: BaseException = DeadlineExceeded(effect) if timed_out else error
            if grace_end is None and not isinstance(thrown, Exception):
                grace_end = clock.monotonic() + grace
            resume = partial(flow.throw, thrown)


def drive(steps: Steps[T], perform: Callable[[Effect[Any], float], object], runtime: Runtime) -> T:
    """Carry out a flow by plain calls."""
    return _carry_out(partial(next, steps), steps, perform, runtime)


def _carry_out(
    resume: Callable[[], Step], steps: Steps[T], perform: Callable[[Effect[Any], float], object], runtime: Runtime
) -> T:
    try:
        effect, left = resume()
        while True:
            try:
                if isinstance(effect, ContinueInBackground):
                    rest = partial(_carry_out, partial(steps.send, None), steps, perform, runtime)
                    runtime.background(rest)
                    answered: T = effect.answer
                    return answered
                answer = perform(effect, left)
            except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt too: the flow unwinds first
                effect, left = steps.throw(error)
            else:
                effect, left = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def drive_async(
    steps: Steps[T], perform: Callable[[Effect[Any], float], Awaitable[object]], runtime: AsyncRuntime
) -> T:
    """Carry out a flow by awaiting. A cancellation that arrives during clean-up is delivered right after it."""
    return await _carry_out_async(partial(next, steps), steps, perform, runtime)


async def _carry_out_async(
    resume: Callable[[], Step],
    steps: Steps[T],
    perform: Callable[[Effect[Any], float], Awaitable[object]],
    runtime: AsyncRuntime,
) -> T:
    owed: BaseException | None = None
    try:
        effect, left = resume()
        while True:
            try:
                if isinstance(effect, ContinueInBackground):
                    rest = partial(_carry_out_async, partial(steps.send, None), steps, perform, runtime)
                    runtime.background(rest)
                    answered: T = effect.answer
                    return answered
                if effect.cleanup:
                    ended = await runtime.shielded(partial(perform, effect, left), left)
                    owed = ended.cancellation if owed is None else owed
                    if ended.error is not None:
                        raise ended.error
                    answer = ended.value
                elif owed is not None:
                    cancellation, owed = owed, None
                    raise cancellation
                else:
                    answer = await perform(effect, left)
            except BaseException as error:  # noqa: BLE001 - CancelledError too: the flow unwinds first
                effect, left = steps.throw(error)
            else:
                effect, left = steps.send(answer)
    except StopIteration as stop:
        if owed is not None:
            raise owed from None
        result: T = stop.value
        return result
    except (Exception, DeadlineExceeded) as error:
        if owed is None:
            raise
        # Whoever asked for the end must not be told of a failure instead, and go on.
        owed.add_note(f"the attempt ended with {reason_of(error)}")
        raise owed from error
