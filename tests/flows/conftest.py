"""A small house with a clock of its own, both kinds of host, and flows that can be stopped between any two effects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, Literal, TypeVar

import pytest
from tests.flows.laws import LawfulAsyncEngine, LawfulEngine, check_events, check_outcome

from assign_core import AsyncAutoAssign, AutoAssign, Event, EventName, Explanation, LastResult, Outcome, Policy
from assign_core.booking import EmailState
from assign_core.drive import Step, walk
from assign_core.effects import (
    Acquire,
    CloseAttempt,
    Confirm,
    Deliver,
    Effect,
    Emit,
    Flow,
    LookAtCapacity,
    ReleaseHold,
    RequestQuote,
    Sleep,
)
from assign_core.errors import DeadlineExceeded
from assign_core.flows import OnDeadline, inline_attempt, job_attempt
from assign_core.last_result import Source
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    Lease,
    NoHold,
    NotConfirmed,
    Quote,
    QuoteRequest,
    Record,
    Recorded,
    Shielded,
)
from assign_floor import Floor, Table, Window
from assign_memory import (
    AsyncMemoryMailer,
    AsyncMemoryStore,
    AsyncMemoryTelemetry,
    AsyncScriptedPlanner,
    CollectingTransport,
    Cue,
    FloorPlanner,
    MemoryDatabase,
    MemoryMailer,
    MemoryStore,
    MemoryTelemetry,
    Objection,
    Outbox,
    ScriptedPlanner,
    VirtualClock,
    VirtualRuntime,
)
from assign_memory.store import no_objection

T = TypeVar("T")

NOON: Final = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
EVENING: Final = NOON.replace(hour=19)
POLICY: Final = Policy()


class Cancelled(BaseException):
    """A cancellation, as a host's framework would throw it."""


class Breakdown(Exception):
    """A port that breaks down."""


def small_floor() -> Floor:
    """Two tables: one for two guests, one for four; together they seat six."""
    return Floor(tables=[Table(id="small", seats=2), Table(id="large", seats=4)], adjacent=[("small", "large")])


class WatchedStore(MemoryStore):
    """The memory store, with a list of what it was asked and of every result that it wrote."""

    def __init__(self, database: MemoryDatabase, *, objection: Objection = no_objection) -> None:
        super().__init__(database, objection=objection)
        self.calls: list[str] = []
        self.written: list[LastResult] = []
        self.timeouts: list[float] = []
        self.confirmed_at: list[tuple[str, datetime]] = []
        self.sources: dict[str, Source] = {}
        self._watched = database

    def _called(self, name: str, timeout: float) -> None:
        self.calls.append(name)
        self.timeouts.append(timeout)

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        self._called("acquire", timeout)
        self.sources[lease.attempt_id] = lease.source
        return super().acquire(booking_id, lease, timeout=timeout)

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        self._called("confirm", timeout)
        answer = super().confirm(confirmation, timeout=timeout)
        if isinstance(answer, Confirmed):
            self.written.append(confirmation.result)
            self.confirmed_at.append((confirmation.attempt_id, self._watched.clock.now()))
        return answer

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        self._called("record", timeout)
        answer = super().record(entry, timeout=timeout)
        if entry.result is not None:
            self.written.append(entry.result)
        return answer

    def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        self._called("capacity_version", timeout)
        return super().capacity_version(booking_id, timeout=timeout)


class AsyncStore(AsyncMemoryStore):
    """Any blocking store as an asynchronous one."""

    def __init__(self, store: MemoryStore) -> None:
        # Not the store that it would make itself.
        self._store = store


class CountingDatabase(MemoryDatabase):
    """Counts how often seats may have become free."""

    changes: int = 0

    def freed(self, tables: Collection[str], window: Window) -> None:
        self.changes += 1
        super().freed(tables, window)


class PostRoom(CollectingTransport):
    """Accepts everything, blocking or awaited."""

    def begin(self) -> AsyncPostRoom:
        return AsyncPostRoom(self)


class AsyncPostRoom:
    deduplicates = False

    def __init__(self, room: PostRoom) -> None:
        self._room = room

    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        self._room.send(email, idempotency_key=idempotency_key, timeout=timeout)


class TimeIsUp(BaseException):
    """What a virtual event loop throws into a call whose time is up."""


class AsyncPendingCall(Generic[T]):
    def __init__(self, runtime: AsyncVirtualRuntime, call: Callable[[], Awaitable[T]]) -> None:
        self._runtime = runtime
        self._call = call
        self._value: T | None = None
        self._error: BaseException | None = None
        self._ended = False

    async def wait(self, timeout: float) -> bool:
        if not self._ended:
            try:
                self._value = await self._runtime.limited(self._call, timeout)
            except TimeIsUp:
                return False
            except BaseException as error:  # noqa: BLE001 - kept for whoever asks for the result
                self._error = error
            self._ended = True
        return True

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        value: T = self._value  # type: ignore[assignment]  # without an error the call returned
        return value

    def abandon(self, then: Callable[[], Awaitable[object]]) -> None:
        self._runtime.afterwards.append(then)


class AsyncVirtualRuntime(VirtualClock):
    """An asynchronous runtime on a virtual clock: sleeping moves it, and a call whose time is up is ended there."""

    def __init__(self) -> None:
        super().__init__(NOON)
        self._limit: float | None = None
        self.afterwards: list[Callable[[], Awaitable[object]]] = []

    async def limited(self, call: Callable[[], Awaitable[T]], timeout: float) -> T:
        before = self._limit
        mine = self.monotonic() + timeout
        self._limit = mine if before is None else min(before, mine)
        try:
            return await call()
        finally:
            self._limit = before

    async def sleep(self, seconds: float) -> None:
        seconds = max(0.0, seconds)
        if self._limit is not None and self.monotonic() + seconds > self._limit:
            self.advance(max(0.0, self._limit - self.monotonic()))
            raise TimeIsUp
        self.advance(seconds)

    def start(self, call: Callable[[], Awaitable[T]]) -> AsyncPendingCall[T]:
        return AsyncPendingCall(self, call)

    def background(self, call: Callable[[], Awaitable[object]]) -> None:
        self.afterwards.append(call)

    async def within(self, call: Callable[[], Awaitable[T]], timeout: float) -> T:
        try:
            return await self.limited(call, timeout)
        except TimeIsUp:
            raise TimeoutError("time is up") from None

    async def shielded(self, call: Callable[[], Awaitable[T]], timeout: float) -> Shielded[T]:
        try:
            return Shielded(await self.limited(call, timeout), None, None)
        except TimeIsUp:
            return Shielded(None, TimeoutError("time is up"), None)
        except Exception as error:  # noqa: BLE001 - handed over, as the port says
            return Shielded(None, error, None)


WORLDS: Final[list[World]] = []
"""Those of the test that is running: what they told telemetry is held to the laws when it ends."""


@pytest.fixture(autouse=True)
def every_event_keeps_the_laws() -> Iterator[None]:
    WORLDS.clear()
    yield
    for world in WORLDS:
        check_events(world.telemetry.events, now=world.now)


class World:
    """One restaurant, and what a host of it would call. The same stories run on either engine."""

    def __init__(
        self,
        kind: Literal["blocking", "async"] = "blocking",
        *,
        floor: Floor | None = None,
        script: Iterable[Cue] = (),
        objection: Objection = no_objection,
        policy: Policy = POLICY,
        on_deadline: OnDeadline = "cancel",
        planner_keeps_time: bool = False,
    ) -> None:
        self.kind = kind
        self.policy = policy
        self.on_deadline: OnDeadline = on_deadline
        self.runtime = VirtualRuntime(NOON) if kind == "blocking" else AsyncVirtualRuntime()
        self.db = CountingDatabase(small_floor() if floor is None else floor, self.runtime)
        self.store = WatchedStore(self.db, objection=objection)
        self.floor_planner = FloorPlanner(self.db)
        self.post = PostRoom()
        self.outbox = Outbox(self.db)
        self.mailer = MemoryMailer(self.outbox, self.post)
        self.telemetry: MemoryTelemetry
        self.planner: ScriptedPlanner | AsyncScriptedPlanner
        self._blocking: AutoAssign | None = None
        self._async: AsyncAutoAssign | None = None
        if isinstance(self.runtime, VirtualRuntime):
            planner = ScriptedPlanner(self.floor_planner, script, sleep=self.runtime.sleep)
            self.telemetry = MemoryTelemetry()
            self.planner = planner
            self._blocking = LawfulEngine(
                store=self.store,
                planner=planner,
                mailer=self.mailer,
                telemetry=self.telemetry,
                runtime=self.runtime,
                policy=policy,
                on_deadline=on_deadline,
                planner_keeps_time=planner_keeps_time,
            )
        else:
            async_planner = AsyncScriptedPlanner(self.floor_planner, script, sleep=self.runtime.sleep)
            async_telemetry = AsyncMemoryTelemetry()
            self.telemetry = async_telemetry
            self.planner = async_planner
            self._async = LawfulAsyncEngine(
                store=AsyncStore(self.store),
                planner=async_planner,
                mailer=AsyncMemoryMailer(self.outbox, self.post.begin()),
                telemetry=async_telemetry,
                runtime=self.runtime,
                policy=policy,
                on_deadline=on_deadline,
            )

        WORLDS.append(self)

    # What a host does.

    def inline(self, booking_id: str = "b", *, trigger: str = "creation") -> Outcome:
        if self._blocking is not None:
            return self._blocking.inline(booking_id, trigger=trigger)
        assert self._async is not None
        return asyncio.run(self._async.inline(booking_id, trigger=trigger))

    def job(self, booking_id: str = "b", *, trigger: str = "queue") -> Outcome:
        if self._blocking is not None:
            return self._blocking.job(booking_id, trigger=trigger)
        assert self._async is not None
        return asyncio.run(self._async.job(booking_id, trigger=trigger))

    def run_job(self, booking_id: str = "b", *, trigger: str = "queue") -> Outcome:
        if self._blocking is not None:
            return self._blocking.run_job(booking_id, trigger=trigger)
        assert self._async is not None
        return asyncio.run(self._async.run_job(booking_id, trigger=trigger))

    def run_due(self, *, limit: int = 100) -> list[Outcome]:
        if self._blocking is not None:
            return self._blocking.run_due(limit=limit)
        assert self._async is not None
        return asyncio.run(self._async.run_due(limit=limit))

    def explain(self, booking_id: str = "b") -> Explanation:
        if self._blocking is not None:
            return self._blocking.explain(booking_id)
        assert self._async is not None
        return asyncio.run(self._async.explain(booking_id))

    # What the guests and the staff do.

    def book(self, booking_id: str = "b", *, party: int = 2, start_at: datetime = EVENING) -> None:
        self.db.add_booking(booking_id, party=party, start_at=start_at)

    def fill(self, start_at: datetime = EVENING) -> None:
        """Staff seat two other parties at all the tables."""
        self.book("other-small", party=2, start_at=start_at)
        self.book("other-large", party=4, start_at=start_at)
        self.db.seat_by_hand("other-small", ["small"])
        self.db.seat_by_hand("other-large", ["large"])

    def free(self) -> None:
        """The other parties cancel."""
        self.db.cancel("other-small")
        self.db.cancel("other-large")

    def advance(self, seconds: float) -> None:
        self.runtime.advance(seconds)

    def advance_to(self, moment: datetime) -> None:
        self.advance((moment - self.now).total_seconds())

    # What a test looks at.

    @property
    def now(self) -> datetime:
        return self.runtime.now()

    @property
    def planner_calls(self) -> int:
        return len(self.planner.requests)

    def status(self, booking_id: str = "b") -> str:
        return self.db.row(booking_id).status

    def last(self, booking_id: str = "b") -> LastResult:
        last = self.db.last(self.db.row(booking_id))
        assert isinstance(last, LastResult)
        return last

    @property
    def names(self) -> list[str]:
        return [event.name.value for event in self.telemetry.events]

    def named(self, name: EventName) -> tuple[Event, ...]:
        return self.telemetry.named(name)

    def one(self, name: EventName) -> dict[str, object]:
        (event,) = self.named(name)
        return dict(event.context)

    @property
    def mail(self) -> list[str]:
        """The keys of the e-mails that the transport accepted, in order."""
        return [email.key for email in self.post.accepted]

    def guest_mail(self, booking_id: str = "b") -> list[str]:
        return [key for key in self.mail if key.startswith(f"{booking_id}:") and ":staff_notice:" not in key]

    # A flow by hand (blocking worlds only).

    def flow(self, source: Literal["inline", "job"], booking_id: str = "b") -> Stepper:
        if source == "inline":
            told = inline_attempt(booking_id, policy=self.policy, trigger="creation", on_deadline=self.on_deadline)
        else:
            told = job_attempt(booking_id, policy=self.policy, trigger="queue")
        return Stepper(self, told, booking_id)

    def perform(self, effect: Effect[Any], left: float) -> object:
        """The answer to one effect, as a driver gives it."""
        planner = self.planner
        assert isinstance(planner, ScriptedPlanner)
        match effect:
            case Acquire():
                return self.store.acquire(effect.booking_id, effect.lease, timeout=left)
            case Confirm():
                return self.store.confirm(effect.confirmation, timeout=left)
            case CloseAttempt():
                return self.store.record(effect.entry, timeout=left)
            case LookAtCapacity():
                return self.store.capacity_version(effect.booking_id, timeout=left)
            case RequestQuote():
                return planner.quote(effect.request, timeout=left)
            case ReleaseHold():
                planner.release(effect.booking_id, effect.attempt_id, timeout=left)
            case Deliver():
                return self.mailer.deliver(effect.email, timeout=left)
            case Emit():
                self.telemetry.emit(effect.events, stored=effect.stored)
            case Sleep():
                self.advance(effect.seconds)
            case _:
                raise AssertionError(f"no driver performs {effect!r}")
        return None


class Stepper:
    """One flow, performed effect by effect, so that the world can act, or end, between any two."""

    def __init__(self, world: World, told: Flow[Outcome], booking_id: str) -> None:
        self._world = world
        self._booking_id = booking_id
        self._steps = walk(told, world.runtime, world.policy.grace.total_seconds())
        self.performed: list[Effect[Any]] = []
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.stopped = False
        self.next: Step | None = None
        self._advance(lambda: next(self._steps))

    def _advance(self, go_on: Callable[[], Step]) -> None:
        self.next = None
        try:
            self.next = go_on()
        except StopIteration as stop:
            self.outcome = stop.value
            check_outcome(stop.value, self._booking_id)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    @property
    def running(self) -> bool:
        return self.next is not None and not self.stopped

    def perform(self) -> object:
        """Perform the effect that the flow awaits, without telling the flow."""
        assert self.next is not None
        effect, left = self.next
        self.performed.append(effect)
        return self._world.perform(effect, left)

    def answer(self, value: object) -> None:
        self._advance(lambda: self._steps.send(value))

    def throw(self, error: BaseException) -> None:
        self._advance(lambda: self._steps.throw(error))

    def step(self) -> None:
        """Perform one effect, and let the flow have the answer or the failure."""
        try:
            value = self.perform()
        except Exception as error:  # noqa: BLE001 - a port's failure is the flow's to handle
            self.throw(error)
        else:
            self.answer(value)

    def stop(self) -> None:
        """The process dies here."""
        self.stopped = True
        self._steps.close()

    def run(self) -> None:
        while self.running:
            self.step()

    def run_to(self, kind: type[Effect[Any]], nth: int = 1) -> None:
        """Up to, and not including, the nth effect of a kind."""
        while self.running:
            assert self.next is not None
            if isinstance(self.next.effect, kind):
                nth -= 1
                if not nth:
                    return
            self.step()
        raise AssertionError(f"the flow ended before it asked for {kind.__name__}")


NO_TABLES: Final = NoHold(reason="No suitable tables available")
OVERRUN: Final = NoHold(reason="Reservation would overrun lunch service (end 15:00).")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.fixture(params=["blocking", "async"])
def kind(request: pytest.FixtureRequest) -> Literal["blocking", "async"]:
    """Which engine tells the story."""
    return "async" if request.param == "async" else "blocking"


__all__ = [
    "EVENING",
    "NOON",
    "NO_TABLES",
    "OVERRUN",
    "POLICY",
    "AsyncStore",
    "AsyncVirtualRuntime",
    "Breakdown",
    "Cancelled",
    "DeadlineExceeded",
    "EmailState",
    "Quote",
    "QuoteRequest",
    "Stepper",
    "WatchedStore",
    "World",
    "minutes",
    "small_floor",
]
