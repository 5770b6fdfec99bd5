"""Real threads and a planner that ignores its timeout: control returns at the deadline, and nothing is left behind.

Nothing here sleeps to wait for another thread: events say when something has happened. The one time that passes is the
deadline itself, which is short.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from tests.flows.conftest import Breakdown, small_floor
from tests.flows.laws import LawfulEngine, check_events

from assign_core import AutoAssign, EventName, LastResult, Outcome, Policy, ReasonCode, Verdict
from assign_core.flows import OnDeadline
from assign_core.ports import Pending, Quote, QuoteRequest
from assign_memory import (
    CollectingTransport,
    FloorPlanner,
    MemoryDatabase,
    MemoryMailer,
    MemoryStore,
    MemoryTelemetry,
    Outbox,
)
from assign_runtime import ThreadRuntime

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds after which a test gives up on an event. It is never waited for in full unless the test fails."""
SHORT = Policy(inline_deadline=timedelta(seconds=0.05), grace=timedelta(seconds=5))


class StuckPlanner:
    """Searches until it is let go, whatever timeout it was given."""

    def __init__(self, planner: FloorPlanner) -> None:
        self._planner = planner
        self.searching = threading.Event()
        self.let_go = threading.Event()
        self.found = threading.Event()
        self.released = threading.Semaphore(0)
        self.requests: list[QuoteRequest] = []

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        del timeout
        self.requests.append(request)
        self.searching.set()
        assert self.let_go.wait(PATIENCE)
        try:
            return self._planner.quote(request, timeout=1)
        finally:
            self.found.set()

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._planner.release(booking_id, attempt_id, timeout=timeout)
        self.released.release()


class LockedPlanner(StuckPlanner):
    """A planner behind one lock, as many are: while it searches, its release waits too."""

    def __init__(self, planner: FloorPlanner) -> None:
        super().__init__(planner)
        self._lock = threading.Lock()

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        with self._lock:
            return super().quote(request, timeout=timeout)

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        with self._lock:
            super().release(booking_id, attempt_id, timeout=timeout)


class House:
    def __init__(
        self,
        *,
        planner: Callable[[FloorPlanner], StuckPlanner] = StuckPlanner,
        on_deadline: OnDeadline = "cancel",
        policy: Policy = SHORT,
        planner_keeps_time: bool = False,
        runtime: Callable[[threading.Event], ThreadRuntime] | None = None,
    ) -> None:
        self.runtime = ThreadRuntime()
        self.db = MemoryDatabase(small_floor(), self.runtime)
        self.db.add_booking("b", party=2, start_at=datetime.now(UTC) + timedelta(hours=5))
        self.floor_planner = FloorPlanner(self.db)
        self.planner = planner(self.floor_planner)
        if runtime is not None:
            self.runtime = runtime(self.planner.searching)
        self.post = CollectingTransport()
        self.delivered = threading.Event()
        self.telemetry = MemoryTelemetry()
        self.store = MemoryStore(self.db)
        self.engine = LawfulEngine(
            store=self.store,
            planner=self.planner,
            mailer=MemoryMailer(Outbox(self.db), self.post),
            telemetry=self.telemetry,
            runtime=self.runtime,
            policy=policy,
            on_deadline=on_deadline,
            planner_keeps_time=planner_keeps_time,
        )


@contextmanager
def in_a_thread(call: Callable[[], Outcome]) -> Iterator[list[Outcome]]:
    """The call's outcome, once the block has ended; the test fails if control has not come back by then."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(call()), daemon=True)
    thread.start()
    yield outcomes
    thread.join(PATIENCE)
    assert not thread.is_alive()


def releases(house: House) -> int:
    """How often the planner has been asked to give back since that was asked last."""
    count = 0
    while house.planner.released.acquire(blocking=False):
        count += 1
    return count


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("assign-core")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in background_threads():
        thread.join(PATIENCE)
    assert not background_threads()


def test_lesson_01_at_the_deadline_control_returns_whatever_the_planner_does() -> None:
    house = House()
    outcome = house.engine.inline("b")
    # We are back, and the planner is still at it: nobody has let it go.
    assert house.planner.searching.is_set()
    assert not house.planner.found.is_set()
    assert outcome.verdict is Verdict.WAIT
    assert outcome.result is not None
    assert outcome.result.reason_code is ReasonCode.TIMEOUT
    assert house.db.row("b").lease is None
    house.planner.let_go.set()
    assert house.planner.found.wait(PATIENCE)


def test_lesson_01_at_the_deadline_control_returns_although_the_release_waits_for_the_search() -> None:
    house = House(
        planner=LockedPlanner, policy=Policy(inline_deadline=SHORT.inline_deadline, grace=timedelta(0.2 / 86400))
    )
    ended = threading.Event()
    outcomes: list[Outcome] = []

    def request() -> None:
        outcomes.append(house.engine.inline("b"))
        ended.set()

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    came_back = ended.wait(3)
    house.planner.let_go.set()
    thread.join(PATIENCE)
    assert came_back, "the request waited for the planner all the same"
    assert outcomes[0].result is not None
    assert outcomes[0].result.reason_code is ReasonCode.TIMEOUT


def test_a_late_hold_is_given_back_as_soon_as_the_search_ends() -> None:
    house = House()
    house.engine.inline("b")
    assert house.planner.released.acquire(timeout=PATIENCE)  # the attempt's own clean-up: nothing was held yet
    house.planner.let_go.set()
    assert house.planner.released.acquire(timeout=PATIENCE)  # and the late one
    assert house.planner.found.is_set()
    assert not house.db.holds
    assert house.db.row("b").status == "pending"


def test_a_late_release_that_fails_is_nobodys_exception() -> None:
    house = House()
    house.engine.inline("b")
    raised = threading.Event()

    def broken(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del booking_id, attempt_id, timeout
        raised.set()
        raise RuntimeError("release is out of order")

    house.floor_planner.release = broken  # type: ignore[method-assign]  # a port that misbehaves
    heard: list[object] = []
    before, threading.excepthook = threading.excepthook, lambda args: heard.append(args.exc_value)
    try:
        house.planner.let_go.set()
        assert raised.wait(PATIENCE)
        for thread in background_threads():
            thread.join(PATIENCE)
    finally:
        threading.excepthook = before
    assert heard == []


def test_a_handed_over_attempt_is_the_very_same_and_confirms_in_the_background() -> None:
    house = House(on_deadline="hand_over")
    pending = house.engine.inline("b", trigger="creation")
    assert pending.handed_over
    assert pending.verdict is Verdict.WAIT
    assert pending.attempted
    lease = house.db.row("b").lease
    assert lease is not None
    assert lease.attempt_id == pending.attempt_id
    assert pending.wait_until is not None
    assert pending.wait_until >= lease.expires_at
    # A job that comes meanwhile leaves the attempt alone.
    meanwhile = house.engine.job("b")
    assert meanwhile.verdict is Verdict.WAIT
    assert not meanwhile.attempted
    house.planner.let_go.set()
    for thread in background_threads():
        thread.join(PATIENCE)
    row = house.db.row("b")
    assert row.status == "confirmed"
    last = house.db.last(row)
    assert last is not None
    assert last.attempt_id == pending.attempt_id  # type: ignore[union-attr]  # a result, or the test fails
    assert len(house.planner.requests) == 1
    assert [email.key for email in house.post.accepted] == ["b:confirmation:0"]
    (timeout,) = house.telemetry.named(EventName.INLINE_TIMEOUT)
    assert timeout.context["handedOver"] is True
    assert house.telemetry.named(EventName.INLINE_SUCCEEDED)


def test_what_was_said_before_the_hand_over_is_told_with_it() -> None:
    house = House(on_deadline="hand_over")
    house.db.row("b").blob = "{"
    pending = house.engine.inline("b", trigger="creation")
    assert pending.decision is not None
    assert pending.decision.rules == ("no_usable_evidence",)
    house.planner.let_go.set()
    for thread in background_threads():
        thread.join(PATIENCE)
    told = [event.name for event in house.telemetry.events]
    assert told[:2] == [EventName.UNREADABLE_RESULT, EventName.INLINE_TIMEOUT]
    check_events(house.telemetry.events, now=datetime.now(UTC))


def test_a_handed_over_search_that_finds_nothing_is_recorded_and_due_again() -> None:
    house = House(on_deadline="hand_over")
    for name, tables, party in (("x", ["small"], 2), ("y", ["large"], 4)):
        house.db.add_booking(name, party=party, start_at=house.db.row("b").start_at)
        house.db.seat_by_hand(name, tables)
    pending = house.engine.inline("b")
    assert pending.handed_over
    house.planner.let_go.set()
    for thread in background_threads():
        thread.join(PATIENCE)
    row = house.db.row("b")
    assert row.lease is None
    assert row.retry_at is not None
    last = house.db.last(row)
    assert last is not None
    assert last.attempt_id == pending.attempt_id  # type: ignore[union-attr]  # a result, or the test fails


def test_a_handed_over_attempt_that_outlives_the_jobs_deadline_is_recorded_as_that() -> None:
    house = House(
        on_deadline="hand_over",
        policy=Policy(inline_deadline=timedelta(seconds=0.05), job_deadline=timedelta(seconds=0.1)),
    )
    house.engine.inline("b")
    background = [thread for thread in background_threads() if thread.name.endswith("background")]
    for thread in background:
        thread.join(PATIENCE)
    assert not house.planner.found.is_set()
    last = house.db.last(house.db.row("b"))
    assert last is not None
    assert last.reason == "JOB_TIMEOUT"  # type: ignore[union-attr]  # a result, or the test fails
    house.planner.let_go.set()
    assert house.planner.found.wait(PATIENCE)
    for thread in background_threads():
        thread.join(PATIENCE)
    assert not house.db.holds


def test_a_search_that_ends_in_time_is_not_handed_over() -> None:
    house = House(on_deadline="hand_over", policy=Policy(inline_deadline=timedelta(seconds=60)))
    house.planner.let_go.set()
    outcome = house.engine.inline("b")
    assert outcome.verdict is Verdict.CONFIRMED
    assert not outcome.handed_over


def test_a_host_that_cannot_start_a_background_thread_keeps_the_attempt() -> None:
    """At interpreter shutdown no thread starts any more. The attempt is recorded all the same."""
    house = House(on_deadline="hand_over")

    def refuse(call: Callable[[], object]) -> None:
        del call
        raise RuntimeError("can't start new thread")

    house.runtime.background = refuse  # type: ignore[method-assign]  # a port that misbehaves
    outcome = house.engine.inline("b")
    at_once, lease = releases(house), house.db.row("b").lease
    # The search goes on, and what it takes late is given back.
    house.planner.let_go.set()
    for thread in background_threads():
        thread.join(PATIENCE)
    assert (at_once, releases(house)) == (1, 1)
    assert not house.db.holds
    assert lease is None
    assert (outcome.verdict, outcome.handed_over) == (Verdict.WAIT, False)
    assert outcome.result is not None
    assert outcome.result.reason == "RuntimeError: can't start new thread"


# Whose thread it is.


class NotingPlanner(StuckPlanner):
    """Notes who calls it, and fails."""

    def __init__(self, planner: FloorPlanner) -> None:
        super().__init__(planner)
        self.callers: list[threading.Thread] = []

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        del request, timeout
        self.callers.append(threading.current_thread())
        raise Breakdown("out of order")

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self.callers.append(threading.current_thread())
        super().release(booking_id, attempt_id, timeout=timeout)


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ({}, [False, False]),
        ({"planner_keeps_time": False}, [False, False]),
        ({"planner_keeps_time": True}, [True, True]),
        # Its search may outlive the request, however well it keeps time.
        ({"planner_keeps_time": True, "on_deadline": "hand_over"}, [False, True]),
    ],
    ids=["nothing said", "keeps no time", "keeps time", "keeps time and may be handed over"],
)
def test_the_callers_thread_is_the_planners_only_where_the_host_says_that_it_keeps_time(
    said: dict[str, Any], own: list[bool]
) -> None:
    house = House(policy=Policy())
    planner = NotingPlanner(house.floor_planner)
    engine = AutoAssign(
        store=house.store,
        planner=planner,
        mailer=MemoryMailer(Outbox(house.db), house.post),
        telemetry=house.telemetry,
        runtime=house.runtime,
        **said,
    )
    assert engine.inline("b").verdict is Verdict.WAIT
    assert [caller is threading.current_thread() for caller in planner.callers] == own


# The keyboard.


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


class InterruptedPlanner(StuckPlanner):
    """Somebody presses Ctrl-C when it has just taken its hold, in the caller's thread."""

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        quote = self._planner.quote(request, timeout=timeout)
        press_ctrl_c()
        return quote


class InterruptedRuntime(ThreadRuntime):
    """Somebody presses Ctrl-C while the caller waits for the search, which has begun."""

    def __init__(self, searching: threading.Event) -> None:
        self._searching: threading.Event | None = searching

    def start(self, call: Callable[[], T]) -> Pending[T]:  # type: ignore[override]  # what the port says
        pending: Pending[T] = super().start(call)
        if self._searching is not None:
            assert self._searching.wait(PATIENCE)
            self._searching = None
            pending.wait = self._interrupted  # type: ignore[method-assign]  # what a signal does to a wait
        return pending

    def _interrupted(self, timeout: float) -> bool:
        del timeout
        press_ctrl_c()
        raise AssertionError("the interrupt was not raised")


@pytest.fixture
def keyboard() -> Iterator[None]:
    """An interrupt raises ``KeyboardInterrupt`` in the main thread, whoever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard")
@pytest.mark.parametrize("own_thread", [True, False], ids=["planner's thread", "caller's thread"])
@pytest.mark.parametrize("source", ["inline", "job"])
def test_an_interrupt_from_the_keyboard_goes_through_after_the_record(source: str, own_thread: bool) -> None:
    if own_thread:
        house = House(policy=Policy(), runtime=InterruptedRuntime)
    else:
        house = House(policy=Policy(), planner=InterruptedPlanner, planner_keeps_time=True)
    with pytest.raises(KeyboardInterrupt):
        getattr(house.engine, source)("b")
    last = house.db.last(house.db.row("b"))
    assert isinstance(last, LastResult)
    assert last.reason == "AbortError: KeyboardInterrupt"
    assert last.reason_code is ReasonCode.ABORTED
    assert house.db.row("b").lease is None
    assert house.db.row("b").status == "pending"
    assert releases(house) == 1
    # A search of its own goes on; what it takes late is given back.
    house.planner.let_go.set()
    for thread in background_threads():
        thread.join(PATIENCE)
    assert house.planner.found.is_set() == own_thread
    assert releases(house) == own_thread
    assert not house.db.holds


def test_many_threads_never_seat_two_parties_at_one_table_and_write_once() -> None:
    house = House(policy=Policy())
    house.planner.let_go.set()
    start = house.db.row("b").start_at
    names = [f"g{number}" for number in range(8)]
    for name in names:
        house.db.add_booking(name, party=2, start_at=start)
    ready = threading.Barrier(16)
    failures: list[BaseException] = []

    def guest(name: str, source: str) -> None:
        ready.wait(PATIENCE)
        try:
            for _ in range(3):
                (house.engine.inline if source == "inline" else house.engine.job)(name)
        except BaseException as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    threads = [threading.Thread(target=guest, args=(name, source)) for name in names for source in ("inline", "job")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    assert not house.db.double_booked()
    confirmed = [name for name in names if house.db.row(name).status == "confirmed"]
    assert len(confirmed) == 2
    guests = [email.key for email in house.post.accepted if email.kind.value == "confirmation"]
    assert sorted(guests) == sorted(f"{name}:confirmation:0" for name in confirmed)
    assert len({email.key for email in house.post.accepted}) == len(house.post.accepted)
    assert not house.db.holds
