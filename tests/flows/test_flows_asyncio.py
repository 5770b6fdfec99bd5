"""A real event loop: deadlines, cancellations of every kind, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anyio
import pytest
from tests.flows.conftest import AsyncStore, small_floor
from tests.flows.laws import LawfulAsyncEngine

from assign_core import Event, EventName, LastResult, Outcome, Policy, ReasonCode, Verdict
from assign_core.booking import EmailState
from assign_core.flows import OnDeadline
from assign_core.ports import Confirmation, Confirmed, Email, NotConfirmed, Quote, QuoteRequest, Record, Recorded
from assign_memory import (
    AsyncCollectingTransport,
    AsyncMemoryMailer,
    AsyncMemoryTelemetry,
    FloorPlanner,
    MemoryDatabase,
    MemoryStore,
    Outbox,
)
from assign_runtime import AsyncioRuntime

T = TypeVar("T")
PATIENCE = 20.0
SHORT = Policy(inline_deadline=timedelta(seconds=0.05), grace=timedelta(seconds=5))
LONG = Policy(inline_deadline=timedelta(seconds=60))


class Gate:
    """A place where a coroutine waits, and a test can see that it does."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.open.wait()


class GatedPlanner:
    """Searches when its gate is opened. ``stubborn``: one cancellation does not stop it."""

    def __init__(self, planner: FloorPlanner, *, stubborn: bool = False) -> None:
        self._planner = planner
        self.gate = Gate()
        self.release_gate: Gate | None = None
        self.stubborn = stubborn
        self.requests: list[QuoteRequest] = []
        self.ended = asyncio.Event()
        self.releases = 0

    async def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        del timeout
        self.requests.append(request)
        try:
            while not self.gate.open.is_set():
                try:
                    await self.gate()
                except asyncio.CancelledError:
                    if not self.stubborn:
                        raise
                    self.stubborn = False  # the loop's end can stop it, so that a failing test ends too
            return self._planner.quote(request, timeout=1)
        finally:
            self.ended.set()

    async def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        if self.release_gate is not None:
            await self.release_gate()
        self._planner.release(booking_id, attempt_id, timeout=timeout)
        self.releases += 1


class GatedStore(AsyncStore):
    """A store whose confirm or record waits at a gate, before or after it is done."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.before_confirm: Callable[[], Awaitable[None]] | None = None
        self.after_confirm: Callable[[], Awaitable[None]] | None = None
        self.before_record: Callable[[], Awaitable[None]] | None = None
        self.record_fails: Exception | None = None

    async def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        if self.before_confirm is not None:
            await self.before_confirm()
        answer = await super().confirm(confirmation, timeout=timeout)
        if self.after_confirm is not None:
            await self.after_confirm()
        return answer

    async def record(self, entry: Record, *, timeout: float) -> Recorded:
        if self.before_record is not None:
            await self.before_record()
        if self.record_fails is not None:
            raise self.record_fails
        return await super().record(entry, timeout=timeout)


class House:
    def __init__(
        self, *, policy: Policy = LONG, on_deadline: OnDeadline = "cancel", stubborn: bool = False, **ports: object
    ) -> None:
        self.runtime = AsyncioRuntime()
        self.db = MemoryDatabase(small_floor(), self.runtime)
        self.db.add_booking("b", party=2, start_at=datetime.now(UTC) + timedelta(hours=5))
        self.planner = GatedPlanner(FloorPlanner(self.db), stubborn=stubborn)
        self.post = AsyncCollectingTransport()
        self.store = GatedStore(MemoryStore(self.db))
        self.telemetry = AsyncMemoryTelemetry()
        self.engine = LawfulAsyncEngine(
            **{  # type: ignore[arg-type]  # ports by name
                "store": self.store,
                "planner": self.planner,
                "mailer": AsyncMemoryMailer(Outbox(self.db), self.post),
                "telemetry": self.telemetry,
                "runtime": self.runtime,
                "policy": policy,
                "on_deadline": on_deadline,
                **ports,
            }
        )

    @property
    def last(self) -> LastResult:
        last = self.db.last(self.db.row("b"))
        assert isinstance(last, LastResult)
        return last

    def check_cancelled_tidily(self) -> None:
        """The record is there, the hold and the lease are not."""
        assert self.last.reason_code is ReasonCode.ABORTED
        assert not self.db.holds
        assert self.db.row("b").lease is None
        assert self.db.row("b").status == "pending"


def run(test: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run with a time limit, and fail if the loop had anything to complain about."""
    complaints: list[dict[str, Any]] = []

    async def main() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(PATIENCE):
            return await test()

    answer = asyncio.run(main())
    gc.collect()
    assert complaints == []
    return answer


async def reached(gate: Gate) -> None:
    await gate.reached.wait()


async def settled() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


# The deadline.


@pytest.mark.parametrize("stubborn", [False, True], ids=["obedient", "stubborn"])
def test_lesson_01_at_the_deadline_control_returns_to_the_event_loop(stubborn: bool) -> None:
    async def test() -> None:
        house = House(policy=SHORT, stubborn=stubborn)
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.WAIT
        assert house.last.reason_code is ReasonCode.TIMEOUT
        assert house.db.row("b").lease is None
        house.planner.gate.open.set()
        await house.planner.ended.wait()
        await house.runtime.drain()
        assert not house.db.holds
        assert house.planner.releases == 2

    run(test)


def test_a_handed_over_attempt_confirms_in_the_background_under_its_own_id() -> None:
    async def test() -> None:
        house = House(policy=SHORT, on_deadline="hand_over")
        pending = await house.engine.inline("b")
        assert pending.handed_over
        assert house.db.row("b").lease is not None
        house.planner.gate.open.set()
        await house.runtime.drain()
        assert house.db.row("b").status == "confirmed"
        assert house.last.attempt_id == pending.attempt_id
        assert [email.key for email in house.post.accepted] == ["b:confirmation:0"]
        assert len(house.planner.requests) == 1

    run(test)


def test_a_handed_over_attempt_that_the_shutdown_cancels_is_recorded() -> None:
    house: list[House] = []

    async def test() -> None:
        house.append(House(policy=SHORT, on_deadline="hand_over"))
        assert (await house[0].engine.inline("b")).handed_over

    run(test)
    house[0].check_cancelled_tidily()


# Cancellation in the middle of the search.


def test_a_cancelled_request_leaves_a_result_and_no_hold_and_the_cancellation_is_unchanged() -> None:
    async def test() -> None:
        house = House()
        seen: list[BaseException] = []

        async def host() -> Outcome:
            try:
                return await house.engine.inline("b")
            except asyncio.CancelledError as error:
                seen.append(error)
                raise

        task = asyncio.create_task(host())
        await reached(house.planner.gate)
        task.cancel("client disconnected")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value is seen[0] or caught.value.args == seen[0].args == ("client disconnected",)
        assert seen[0].args == ("client disconnected",)
        assert type(seen[0]) is asyncio.CancelledError
        assert task.cancelled()
        assert task.cancelling() == 1
        house.check_cancelled_tidily()
        assert house.telemetry.named(EventName.INLINE_OPERATION_ABORTED)
        await house.runtime.drain()

    run(test)


def test_asyncio_timeout_around_an_attempt_works_and_leaves_no_cancellation_behind() -> None:
    async def test() -> None:
        house = House()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await house.engine.inline("b")
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        house.check_cancelled_tidily()
        # The task is as good as new.
        house.planner.gate.open.set()
        assert (await house.engine.job("b")).verdict is Verdict.CONFIRMED
        await house.runtime.drain()

    run(test)


def test_an_anyio_scope_cancels_again_at_every_await_and_the_clean_up_is_done_all_the_same() -> None:
    async def test() -> None:
        house = House()
        slow_record = Gate()
        house.store.before_record = slow_record
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:

                async def cancel() -> None:
                    await reached(house.planner.gate)
                    scope.cancel()
                    await reached(slow_record)
                    await settled()
                    slow_record.open.set()

                group.start_soon(cancel)
                await house.engine.inline("b")
                pytest.fail("the cancellation was lost")
        assert scope.cancelled_caught
        house.check_cancelled_tidily()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await house.runtime.drain()

    run(test)


def test_anyio_fail_after_around_an_attempt() -> None:
    async def test() -> None:
        house = House()
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.02):
                await house.engine.inline("b")
        house.check_cancelled_tidily()
        await house.runtime.drain()

    run(test)


def test_a_failing_sibling_in_a_task_group_cancels_the_attempt_tidily() -> None:
    async def test() -> None:
        house = House()

        async def sibling() -> None:
            await reached(house.planner.gate)
            raise ValueError("sibling")

        async def group_of_two() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(house.engine.inline("b"))
                group.create_task(sibling())

        with pytest.raises(ExceptionGroup) as caught:
            await group_of_two()
        assert [type(error) for error in caught.value.exceptions] == [ValueError]
        house.check_cancelled_tidily()
        await house.runtime.drain()

    run(test)


def test_a_hold_that_comes_after_the_cancellation_is_given_back() -> None:
    async def test() -> None:
        house = House(stubborn=True)
        task = asyncio.create_task(house.engine.inline("b"))
        await reached(house.planner.gate)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        house.check_cancelled_tidily()
        house.planner.gate.open.set()
        await house.planner.ended.wait()
        await house.runtime.drain()
        assert not house.db.holds
        assert house.db.row("b").status == "pending"

    run(test)


# Cancellation in the middle of the confirm.


@pytest.mark.parametrize("committed", [False, True], ids=["before_the_commit", "after_it"])
def test_a_cancelled_confirm_is_told_as_what_it_was(committed: bool) -> None:
    async def test() -> None:
        house = House()
        house.planner.gate.open.set()
        gate = Gate()
        if committed:
            house.store.after_confirm = gate
        else:
            house.store.before_confirm = gate
        task = asyncio.create_task(house.engine.inline("b"))
        await reached(gate)
        task.cancel("shutdown")
        with pytest.raises(asyncio.CancelledError, match="shutdown"):
            await task
        if committed:
            assert house.db.row("b").status == "confirmed"
            assert house.last.success
            assert [email.key for email in house.post.accepted] == ["b:confirmation:0"]
        else:
            house.check_cancelled_tidily()
        await house.runtime.drain()

    run(test)


def test_a_port_that_fails_while_it_is_cancelled_does_not_make_the_loop_complain() -> None:
    async def test() -> None:
        house = House()
        house.planner.gate.open.set()
        gate = Gate()

        async def fails_when_cancelled() -> None:
            try:
                await gate()
            except asyncio.CancelledError:
                raise ConnectionError("the server closed the connection") from None

        house.store.before_confirm = fails_when_cancelled
        task = asyncio.create_task(house.engine.inline("b"))
        await reached(gate)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled()
        house.check_cancelled_tidily()

    run(test)


# Cancellation during the clean-up.


def test_a_cancellation_during_the_clean_up_waits_for_it_and_is_then_delivered() -> None:
    async def test() -> None:
        house = House(policy=SHORT)  # the deadline begins the clean-up
        gate = Gate()
        house.store.before_record = gate
        task = asyncio.create_task(house.engine.inline("b"))
        await reached(gate)
        task.cancel("during the record")
        await settled()
        assert not task.done()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError, match="during the record"):
            await task
        assert house.last.reason_code is ReasonCode.TIMEOUT
        assert house.db.row("b").lease is None
        await house.runtime.drain()

    run(test)


@pytest.mark.parametrize("hangs", [False, True])
def test_a_cancellation_is_not_lost_because_the_clean_up_fails(hangs: bool) -> None:
    """Whoever loops over failures of the store could not be stopped."""

    async def test() -> None:
        house = House(policy=replace(SHORT, grace=timedelta(seconds=0.05)) if hangs else SHORT)
        gate = Gate()
        house.store.before_record = gate
        task = asyncio.create_task(house.engine.inline("b"))
        await reached(gate)
        task.cancel("during the record")
        await settled()
        if not hangs:
            house.store.record_fails = ConnectionError("gone")
            gate.open.set()
        with pytest.raises(asyncio.CancelledError, match="during the record") as raised:
            await task
        assert task.cancelled()
        (note,) = raised.value.__notes__
        assert note.startswith("the attempt ended with " + ("TimeoutError" if hangs else "ConnectionError: gone"))
        gate.open.set()
        await house.runtime.drain()

    run(test)


def test_a_second_cancellation_during_the_clean_up_ends_the_attempt_and_the_record_still_arrives() -> None:
    async def test() -> None:
        house = House()
        gate = Gate()
        house.store.before_record = gate
        task = asyncio.create_task(house.engine.inline("b"))
        await reached(house.planner.gate)
        task.cancel("first")
        await reached(gate)
        task.cancel("second")
        await settled()
        task.cancel("third")
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open.set()
        await settled()
        assert not house.db.holds
        # The call that was under way was not torn: it arrives, or the lease expires.
        lease = house.db.row("b").lease
        assert lease is None or lease.expires_at > datetime.now(UTC)
        await house.runtime.drain()

    run(test)


def test_a_job_that_is_cancelled_while_it_records_does_not_go_to_sleep() -> None:
    async def test() -> None:
        house = House(policy=replace(LONG, job_deadline=SHORT.inline_deadline))  # the deadline begins the clean-up
        gate = Gate()
        house.store.before_record = gate
        task = asyncio.create_task(house.engine.run_job("b"))
        await reached(gate)
        task.cancel("during the record")
        await settled()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError, match="during the record"):
            await task
        assert house.last.reason == "JOB_TIMEOUT"
        await house.runtime.drain()

    run(test)


def test_a_cancellation_after_the_commit_delivers_the_mail_and_then_the_cancellation() -> None:
    async def test() -> None:
        gate = Gate()

        class SlowTransport:
            deduplicates = False

            def __init__(self) -> None:
                self.accepted: list[Email] = []

            async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
                del idempotency_key, timeout
                await gate()
                self.accepted.append(email)

        house = House()
        post = SlowTransport()
        engine = LawfulAsyncEngine(
            store=house.store,
            planner=house.planner,
            mailer=AsyncMemoryMailer(Outbox(house.db), post),
            telemetry=house.telemetry,
            runtime=house.runtime,
            policy=LONG,
        )
        house.planner.gate.open.set()
        task = asyncio.create_task(engine.inline("b"))
        await reached(gate)
        task.cancel("too late")
        await settled()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError, match="too late"):
            await task
        assert house.last.success
        assert house.last.email_sent
        assert [email.key for email in post.accepted] == ["b:confirmation:0"]

    run(test)


# Ports that hang or misbehave as only coroutines can.


class HangingTelemetry:
    def __init__(self) -> None:
        self.calls = 0

    async def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        del events, stored
        self.calls += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize("grace", [0.1, 0.01])
def test_telemetry_that_hangs_neither_fails_nor_delays_a_booking(grace: float) -> None:
    async def test() -> None:
        policy = Policy(inline_deadline=timedelta(seconds=0.3), grace=timedelta(seconds=grace))
        house = House(policy=policy, telemetry=HangingTelemetry())
        house.planner.gate.open.set()
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.CONFIRMED
        assert [email.key for email in house.post.accepted] == ["b:confirmation:0"]
        # And again, now that there is a loss to tell as well.
        assert (await house.engine.job("b")).verdict is Verdict.ALREADY_CONFIRMED

    run(test)


def test_telemetry_that_hangs_does_not_turn_a_timeout_into_an_error() -> None:
    async def test() -> None:
        policy = Policy(inline_deadline=timedelta(seconds=0.05), grace=timedelta(seconds=0.01))
        house = House(policy=policy, telemetry=HangingTelemetry())
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.WAIT
        await house.runtime.drain()

    run(test)


def test_a_mailer_that_hangs_leaves_the_booking_confirmed_and_the_mail_unknown() -> None:
    async def test() -> None:
        class Hangs:
            deduplicates = False

            async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
                del email, idempotency_key, timeout
                await asyncio.Event().wait()

        house = House()
        policy = Policy(inline_deadline=timedelta(seconds=0.3), grace=timedelta(seconds=0.1))
        engine = LawfulAsyncEngine(
            store=house.store,
            planner=house.planner,
            mailer=AsyncMemoryMailer(Outbox(house.db), Hangs()),
            telemetry=house.telemetry,
            runtime=house.runtime,
            policy=policy,
        )
        house.planner.gate.open.set()
        outcome = await engine.inline("b")
        assert outcome.verdict is Verdict.CONFIRMED
        await settled()
        assert house.db.email_states() == {"b:confirmation:0": EmailState.UNKNOWN}
        assert house.telemetry.named(EventName.EMAIL_ERROR)

    run(test)


def test_a_release_that_hangs_does_not_cost_the_record() -> None:
    async def test() -> None:
        house = House(policy=Policy(inline_deadline=timedelta(seconds=0.05), grace=timedelta(seconds=0.1)))
        house.planner.release_gate = Gate()
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.WAIT
        assert house.last.reason_code is ReasonCode.TIMEOUT
        house.planner.release_gate.open.set()
        await house.runtime.drain()

    run(test)


def test_a_planner_that_cancels_itself_is_a_failure_and_not_the_hosts_cancellation() -> None:
    """Nobody cancelled the host's task, so nobody may hear of one: a task group would swallow it silently."""

    async def test() -> None:
        house = House()

        async def cancels(request: QuoteRequest, *, timeout: float) -> Quote:
            del request, timeout
            raise asyncio.CancelledError("inside the planner")

        house.planner.quote = cancels  # type: ignore[method-assign]  # a port that misbehaves
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.WAIT
        assert not house.last.success

    run(test)


def test_a_late_release_that_fails_does_not_make_the_loop_complain() -> None:
    async def test() -> None:
        house = House(policy=SHORT)

        async def broken(booking_id: str, attempt_id: str, *, timeout: float) -> None:
            del booking_id, attempt_id, timeout
            raise RuntimeError("release is out of order")

        house.planner.release = broken  # type: ignore[method-assign]  # a port that misbehaves
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.WAIT
        await settled()

    run(test)


def test_a_store_that_hangs_at_the_confirm_is_left_at_the_deadline() -> None:
    async def test() -> None:
        house = House(policy=SHORT)
        house.planner.gate.open.set()
        house.store.before_confirm = Gate()
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.WAIT
        assert house.last.reason_code is ReasonCode.TIMEOUT
        assert not house.db.holds
        assert house.db.row("b").status == "pending"

    run(test)


def test_many_requests_at_once_never_share_a_table() -> None:
    async def test() -> None:
        house = House()
        house.planner.gate.open.set()
        start = house.db.row("b").start_at
        names = [f"g{number}" for number in range(10)]
        for name in names:
            house.db.add_booking(name, party=2, start_at=start)
        await asyncio.gather(*(call(name) for name in names for call in (house.engine.inline, house.engine.job)))
        assert not house.db.double_booked()
        assert sum(house.db.row(name).status == "confirmed" for name in names) == 2
        assert len(house.post.accepted) == len({email.key for email in house.post.accepted})

    run(test)
