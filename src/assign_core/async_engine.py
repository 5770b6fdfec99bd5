"""The engine for hosts with an event loop: the flows, awaited on the host's ports.

The same story as :mod:`assign_core.engine`, and no other difference: a call that may outlive its caller is a task
instead of a thread, and clean-up is shielded by the driver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from assign_core.drive import drive_async, walk
from assign_core.effects import (
    AbandonQuote,
    AwaitQuote,
    Effect,
    Emit,
    Flow,
    RequestQuote,
    Sleep,
    Unfinished,
)
from assign_core.errors import DeadlineExceeded
from assign_core.explain import Explanation
from assign_core.flows import OnDeadline, inline_attempt, job_attempt, run_job
from assign_core.outcome import Outcome
from assign_core.performing import (
    DEFAULT_POLICY,
    LONGEST_EMIT,
    Drops,
    PortCalls,
    checked,
    checked_mode,
    explanation,
    handle,
    late_release_failed,
    out_of_time,
    worked_off,
)
from assign_core.policy import Policy
from assign_core.ports import (
    AsyncBookingStore,
    AsyncMailer,
    AsyncPending,
    AsyncPlanner,
    AsyncRuntime,
    AsyncTelemetry,
    Quote,
    QuoteRequest,
)


class AsyncAutoAssign:
    """The engine for hosts with an event loop: ASGI apps. Methods and arguments as
    :class:`~assign_core.engine.AutoAssign`.

    A cancellation goes through unchanged, after the attempt has been recorded and its hold released.
    ``runtime``: ``assign_runtime.AsyncioRuntime()`` in a real process.
    """

    def __init__(
        self,
        *,
        store: AsyncBookingStore,
        planner: AsyncPlanner,
        mailer: AsyncMailer,
        telemetry: AsyncTelemetry,
        runtime: AsyncRuntime,
        policy: Policy = DEFAULT_POLICY,
        on_deadline: OnDeadline = "cancel",
    ) -> None:
        checked_mode(on_deadline)
        self.policy = policy
        self._store = store
        self._planner = planner
        self._telemetry = telemetry
        self._runtime = runtime
        self._on_deadline: OnDeadline = on_deadline
        self._ports = PortCalls(store, planner, mailer)
        self._drops = Drops()

    async def inline(self, booking_id: str, *, trigger: str = "inline") -> Outcome:
        """See :meth:`assign_core.engine.AutoAssign.inline`."""
        checked(booking_id, trigger)
        return await self._run(
            inline_attempt(booking_id, policy=self.policy, trigger=trigger, on_deadline=self._on_deadline)
        )

    async def job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        """See :meth:`assign_core.engine.AutoAssign.job`."""
        checked(booking_id, trigger)
        return await self._run(job_attempt(booking_id, policy=self.policy, trigger=trigger))

    async def run_job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        """See :meth:`assign_core.engine.AutoAssign.run_job`."""
        checked(booking_id, trigger)
        return await self._run(run_job(booking_id, policy=self.policy, trigger=trigger))

    async def run_due(self, *, limit: int = 100, trigger: str = "due") -> list[Outcome]:
        """See :meth:`assign_core.engine.AutoAssign.run_due`."""
        now, seconds = self._runtime.now(), self.policy.grace.total_seconds()
        outcomes: list[Outcome] = []
        errors: list[Exception] = []
        for booking_id in await self._store.due(now, limit=limit, timeout=seconds):
            try:
                outcomes.append(await self.job(booking_id, trigger=trigger))
            except Exception as error:  # noqa: BLE001 - raised below; one bad row must not stop the queue
                errors.append(error)
        return worked_off(outcomes, errors)

    async def explain(self, booking_id: str) -> Explanation:
        """See :meth:`assign_core.engine.AutoAssign.explain`."""
        found = await self._store.read(booking_id, timeout=self.policy.grace.total_seconds())
        return explanation(booking_id, found, self.policy, self._runtime)

    async def _run(self, flow: Flow[Outcome]) -> Outcome:
        try:
            return await drive_async(
                walk(flow, self._runtime, self.policy.grace.total_seconds()), self._perform, self._runtime
            )
        except DeadlineExceeded as error:
            raise out_of_time(error) from None

    async def _perform(self, effect: Effect[Any], left: float) -> object:
        match effect:
            case RequestQuote():
                return await self._quote(effect, left)
            case AwaitQuote():
                search: AsyncPending[Quote] = handle(effect.unfinished)
                return await self._await_quote(search, effect.request, left)
            case AbandonQuote():
                abandoned: AsyncPending[Quote] = handle(effect.unfinished)
                abandoned.abandon(self._late_release(effect.request))
                return None
            case Sleep():
                await self._runtime.sleep(effect.seconds)
                return None
            case Emit():
                await self._emit(effect)
                return None
            case _:
                return await self._call(effect, left)

    async def _call(self, effect: Effect[Any], left: float) -> object:
        call: Callable[[], Awaitable[object]] = partial(_awaited, self._ports, effect, left)
        # The driver shields clean-up and bounds it there.
        return await call() if effect.cleanup else await self._runtime.within(call, left)

    async def _quote(self, effect: RequestQuote, left: float) -> Quote | Unfinished:
        request = effect.request
        seconds = left if effect.seconds is None else effect.seconds
        search = self._runtime.start(partial(self._planner.quote, request, timeout=seconds))
        try:
            if effect.seconds is not None and not await search.wait(left):
                return Unfinished(search)
        except BaseException:
            search.abandon(self._late_release(request))
            raise
        return await self._await_quote(search, request, left)

    async def _await_quote(self, search: AsyncPending[Quote], request: QuoteRequest, left: float) -> Quote:
        try:
            ended = await search.wait(left)
        except BaseException:
            search.abandon(self._late_release(request))
            raise
        if ended:
            return search.result()
        search.abandon(self._late_release(request))
        raise DeadlineExceeded(request)

    def _late_release(self, request: QuoteRequest) -> Callable[[], Awaitable[object]]:
        return partial(self._release_late, request)

    async def _release_late(self, request: QuoteRequest) -> None:
        seconds = self.policy.grace.total_seconds()
        call = partial(self._planner.release, request.booking_id, request.attempt_id, timeout=seconds)
        try:
            await self._runtime.within(call, seconds)
        except Exception as error:  # noqa: BLE001 - nobody waits; the hold expires by itself, and telemetry is told
            await self._emit(Emit((late_release_failed(self._runtime, request, error),)))

    async def _emit(self, effect: Emit) -> None:
        await self._tell_loss()
        try:
            emit = partial(self._telemetry.emit, effect.events, stored=effect.stored)
            await self._runtime.within(emit, LONGEST_EMIT)
        except Exception as error:  # noqa: BLE001 - telemetry never reaches the flow; the loss is counted and told
            self._drops.add(effect.events, error)

    async def _tell_loss(self) -> None:
        lost = self._drops.report(self._runtime)
        if lost is None:
            return
        try:
            await self._runtime.within(partial(self._telemetry.emit, (lost,), stored=False), LONGEST_EMIT)
        except Exception:  # noqa: BLE001 - not told, so it is kept for the next time
            self._drops.put_back(lost)


async def _awaited(ports: PortCalls, effect: Effect[Any], left: float) -> object:
    answer: Any = ports.call(effect, left)
    return await answer
