"""Telemetry off the guest's time: emitting never waits and never fails, and every event arrives or its loss is told."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_core import AutoAssign, Outcome, Verdict
from assign_core.errors import InvalidValue
from assign_core.events import Event, EventName, event
from assign_floor import sample_floor
from assign_memory import MemoryDatabase, VirtualRuntime, memory_ports
from assign_runtime import BackgroundTelemetry, ThreadRuntime

LIMIT: Final = 60.0
"""Seconds after which something that should have ended is taken to hang."""
CLOCK: Final = ThreadRuntime()
LOGGER: Final = "assign_runtime.background"


class Recorded:
    """A telemetry that remembers, and can hang or fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], bool]] = []
        self.told: list[int] = []
        self.kinds: set[EventName] = set()
        self.entered = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.failures: list[BaseException | None] = []

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        self.entered.set()
        assert self.goes_on.wait(LIMIT)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        for each in events:
            dropped = each.context.get("dropped")
            if each.name is EventName.TELEMETRY_DROPPED and isinstance(dropped, int):
                self.told.append(dropped)
        self.kinds |= {each.name for each in events}
        self.calls.append(([each.attempt_id or each.name for each in events], stored))

    @property
    def seen(self) -> list[str]:
        return [name for names, _ in self.calls for name in names]


def started(name: object) -> Event:
    return event(EventName.STARTED, CLOCK.now(), "b", str(name))


@pytest.fixture
def slow() -> Iterator[Recorded]:
    """Hangs until it is let go on, at the latest at the end of the test."""
    made = Recorded()
    made.goes_on.clear()
    yield made
    made.goes_on.set()


def within(call: Callable[[], object]) -> None:
    """It must not hang."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "it waits for telemetry"


def test_a_request_is_answered_while_telemetry_hangs(slow: Recorded) -> None:
    """P8: a log that takes its time costs the guest none."""
    runtime = VirtualRuntime()
    database = MemoryDatabase(sample_floor(), runtime)
    database.add_booking("b", party=2, start_at=runtime.now() + timedelta(hours=7))
    telemetry = BackgroundTelemetry(slow, runtime)
    ports = memory_ports(database)
    app = AutoAssign(
        runtime=runtime,
        store=ports["store"],
        planner=ports["planner"],
        mailer=ports["mailer"],
        telemetry=telemetry,
        planner_keeps_time=True,
    )
    outcomes: list[Outcome] = []
    within(lambda: outcomes.append(app.inline("b")))
    assert outcomes[0].verdict is Verdict.CONFIRMED
    assert slow.entered.wait(LIMIT), "the thread has begun"
    assert slow.calls == []
    slow.goes_on.set()
    telemetry.close()
    assert EventName.INLINE_SUCCEEDED in slow.kinds
    assert telemetry.dropped == 0


def test_batches_are_handed_on_in_order_and_as_they_were() -> None:
    recorded = Recorded()
    with BackgroundTelemetry(recorded, CLOCK) as telemetry:
        telemetry.emit([started(1), started(2)], stored=True)
        telemetry.emit([], stored=False)
        telemetry.emit([started(3)], stored=False)
    assert recorded.calls == [(["1", "2"], True), (["3"], False)]


def test_the_oldest_are_dropped_when_the_buffer_is_full_and_that_is_told(slow: Recorded) -> None:
    telemetry = BackgroundTelemetry(slow, CLOCK, capacity=3)
    telemetry.emit([started("in hand")], stored=False)
    assert slow.entered.wait(LIMIT)
    telemetry.emit([started(1), started(2)], stored=False)
    telemetry.emit([started(3), started(4), started(5)], stored=False)
    assert telemetry.dropped == 2
    slow.goes_on.set()
    telemetry.close()
    assert slow.seen == ["in hand", EventName.TELEMETRY_DROPPED, "3", "4", "5"]
    assert (slow.told, telemetry.dropped) == ([2], 0)


def test_a_failure_is_counted_and_told_once_it_works_again() -> None:
    recorded = Recorded()
    recorded.failures = [OSError("away"), OSError("away"), OSError("away"), None]
    telemetry = BackgroundTelemetry(recorded, CLOCK)
    telemetry.emit([started(1), started(2)], stored=False)
    assert telemetry.flush(LIMIT)
    assert telemetry.dropped == 2
    telemetry.emit([started(3)], stored=False)
    assert telemetry.flush(LIMIT)
    assert telemetry.dropped == 3
    telemetry.emit([started(4)], stored=False)
    telemetry.close()
    assert recorded.seen == [EventName.TELEMETRY_DROPPED, "4"]
    assert (recorded.told, telemetry.dropped) == ([3], 0)


def test_a_loss_is_told_at_the_end_if_nothing_more_comes() -> None:
    recorded = Recorded()
    recorded.failures = [OSError("away")]
    with BackgroundTelemetry(recorded, CLOCK) as telemetry:
        telemetry.emit([started(1)], stored=False)
    assert (recorded.told, telemetry.dropped) == ([1], 0)


@given(
    st.lists(st.integers(0, 4), max_size=12),
    st.lists(st.booleans(), max_size=30),
    st.integers(1, 6),
)
def test_every_event_arrives_or_is_told_or_counted(sizes: list[int], fails: list[bool], capacity: int) -> None:
    recorded = Recorded()
    recorded.failures = [OSError("away") if each else None for each in fails]
    numbers = iter(range(1000))
    emitted: list[str] = []
    with BackgroundTelemetry(recorded, CLOCK, capacity=capacity) as telemetry:
        for size in sizes:
            batch = [started(next(numbers)) for _ in range(size)]
            emitted += [str(each.attempt_id) for each in batch]
            telemetry.emit(batch, stored=False)
    arrived = [name for name in recorded.seen if name != EventName.TELEMETRY_DROPPED]
    assert len(arrived) + sum(recorded.told) + telemetry.dropped == len(emitted)
    assert arrived == [name for name in emitted if name in set(arrived)], "in order, and none twice"


def test_closing_ends_in_its_time_hides_no_error_and_tells_what_is_lost(
    slow: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = BackgroundTelemetry(slow, CLOCK)
    telemetry.emit([started("in hand")], stored=False)
    assert slow.entered.wait(LIMIT)
    telemetry.emit([started(1), started(2)], stored=False)
    with caplog.at_level(logging.WARNING, LOGGER):
        within(lambda: telemetry.close(0.05))
    assert telemetry.dropped == 3
    assert "3 events are lost" in caplog.text


@pytest.mark.parametrize("arrives", [True, False])
def test_what_was_in_hand_at_the_end_is_lost_until_it_arrives_and_only_once(slow: Recorded, arrives: bool) -> None:
    others = threads()
    telemetry = BackgroundTelemetry(slow, CLOCK)
    telemetry.emit([started(1), started(2)], stored=False)
    assert slow.entered.wait(LIMIT)
    (thread,) = threads() - others
    telemetry.close(0.05)
    assert telemetry.dropped == 2
    slow.failures = [None] if arrives else [OSError("away"), OSError("away")]
    slow.goes_on.set()
    thread.join(LIMIT)
    assert telemetry.dropped == (0 if arrives else 2)


def test_a_loss_that_is_being_told_at_the_end_is_still_one(caplog: pytest.LogCaptureFixture) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    class HangsWhenTold(Recorded):
        def emit(self, events: Sequence[Event], *, stored: bool) -> None:
            if events[0].name is EventName.TELEMETRY_DROPPED:
                hangs.set()
                assert goes_on.wait(LIMIT)
            super().emit(events, stored=stored)

    recorded = HangsWhenTold()
    recorded.failures = [OSError("away")]
    telemetry = BackgroundTelemetry(recorded, CLOCK)
    telemetry.emit([started(1), started(2)], stored=False)
    assert telemetry.flush(LIMIT)
    telemetry.emit([started(3)], stored=False)
    assert hangs.wait(LIMIT)
    with caplog.at_level(logging.WARNING, LOGGER):
        telemetry.close(0.05)
    assert telemetry.dropped == 3
    assert "3 events are lost" in caplog.text
    goes_on.set()


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def no_thread_to_spare(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_machine_without_a_thread_to_spare_delays_events_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    telemetry = BackgroundTelemetry(recorded, CLOCK)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_thread_to_spare)
        telemetry.emit([started(1)], stored=False)
    telemetry.emit([started(2)], stored=False)
    assert telemetry.flush(LIMIT)
    telemetry.close()
    assert (recorded.seen, telemetry.dropped) == (["1", "2"], 0)


def test_closing_looks_for_a_thread_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    telemetry = BackgroundTelemetry(recorded, CLOCK)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_thread_to_spare)
        telemetry.emit([started(1)], stored=False)
    telemetry.close()
    assert (recorded.seen, telemetry.dropped) == (["1"], 0)


def test_closing_without_a_thread_tells_what_is_lost_and_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = BackgroundTelemetry(Recorded(), CLOCK)
    with monkeypatch.context() as meanwhile, caplog.at_level(logging.WARNING, LOGGER):
        meanwhile.setattr(threading.Thread, "start", no_thread_to_spare)
        telemetry.emit([started(1)], stored=False)
        telemetry.close()
    assert telemetry.dropped == 1
    assert "1 events are lost: can't start new thread" in caplog.text


def test_a_telemetry_that_wants_to_exit_ends_nothing_but_its_call() -> None:
    recorded = Recorded()
    recorded.failures = [SystemExit(3)]
    with BackgroundTelemetry(recorded, CLOCK) as telemetry:
        telemetry.emit([started(1)], stored=False)
        assert telemetry.flush(LIMIT)
        telemetry.emit([started(2)], stored=False)
    assert (recorded.seen, recorded.told) == ([EventName.TELEMETRY_DROPPED, "2"], [1])


def test_the_hosts_own_error_comes_through() -> None:
    recorded = Recorded()
    recorded.failures = [OSError("away")] * 9
    telemetry = BackgroundTelemetry(recorded, CLOCK)

    def fails() -> None:
        with telemetry:
            telemetry.emit([started(1)], stored=False)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert telemetry.dropped == 1


def test_what_comes_after_the_end_is_counted() -> None:
    recorded = Recorded()
    telemetry = BackgroundTelemetry(recorded, CLOCK)
    telemetry.close()
    telemetry.emit([started(1)], stored=False)
    assert (recorded.calls, telemetry.dropped) == ([], 1)


def test_a_flush_that_is_not_done_in_time_says_so(slow: Recorded) -> None:
    telemetry = BackgroundTelemetry(slow, CLOCK)
    assert telemetry.flush(0)
    telemetry.emit([started(1)], stored=False)
    assert not telemetry.flush(0.01)
    slow.goes_on.set()
    assert telemetry.flush(LIMIT)
    telemetry.close()


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidValue, match="capacity is 0"):
        BackgroundTelemetry(Recorded(), CLOCK, capacity=0)


FORK: Final = """
import os, sys, threading
from assign_core.events import EventName, event
from assign_runtime import BackgroundTelemetry, ThreadRuntime

class Printing:
    goes_on = threading.Event()

    def emit(self, events, *, stored):
        self.goes_on.wait()
        os.write(1, "".join(f"{each.attempt_id}\\n" for each in events).encode())

runtime, printing = ThreadRuntime(), Printing()
telemetry = BackgroundTelemetry(printing, runtime)

def emit(attempt_id):
    telemetry.emit([event(EventName.STARTED, runtime.now(), "b", attempt_id)], stored=False)

emit("in hand")
emit("waiting")
child = os.fork()
if not child:
    printing.goes_on = threading.Event()  # the thread that was left behind may have had its lock
    printing.goes_on.set()
    emit("child")
    os._exit(0 if telemetry.flush(60) and not telemetry.dropped else 1)
_, status = os.waitpid(child, 0)
printing.goes_on.set()
emit("parent")
telemetry.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_hands_on_its_own_events_and_no_others() -> None:
    """A server that loads the app before its workers forks. The thread stays behind, and so does what was waiting."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split("\n")) == ["", "child", "in hand", "parent", "waiting"]
