"""The engine for hosts that block: the flows, performed by plain calls on the host's ports.

Everything it knows about an effect beyond "call the port" is here: a planner that does not keep time is waited for only
as long as there is time, and its late hold is released; telemetry that fails is counted and never heard by the flow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from assign_core.drive import drive, walk
from assign_core.effects import (
    AbandonQuote,
    AwaitQuote,
    Effect,
    Emit,
    Flow,
    ReleaseHold,
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
from assign_core.ports import BookingStore, Mailer, Pending, Planner, Quote, QuoteRequest, Runtime, Telemetry


class AutoAssign:
    """The engine for hosts that block: WSGI apps, workers, scripts.

    Args:
        store, planner, mailer, telemetry: the four ports.
        runtime: clock, threads and sleep; ``assign_runtime.ThreadRuntime()`` in a real process.
        policy: the settings.
        on_deadline: what becomes of an inline search that the deadline interrupts. ``"cancel"``: it is recorded as an
            unknown outcome. ``"hand_over"``: the request is answered and the same attempt goes on in the background;
            only where the process outlives the response.
        planner_keeps_time: the planner returns or raises within its ``timeout``. Then it is called in the caller's
            thread. Otherwise it gets a thread of its own, so that control returns at the deadline whatever it does.
    """

    def __init__(
        self,
        *,
        store: BookingStore,
        planner: Planner,
        mailer: Mailer,
        telemetry: Telemetry,
        runtime: Runtime,
        policy: Policy = DEFAULT_POLICY,
        on_deadline: OnDeadline = "cancel",
        planner_keeps_time: bool = False,
    ) -> None:
        checked_mode(on_deadline)
        self.policy = policy
        self._store = store
        self._planner = planner
        self._telemetry = telemetry
        self._runtime = runtime
        self._on_deadline: OnDeadline = on_deadline
        self._planner_keeps_time = planner_keeps_time
        self._ports = PortCalls(store, planner, mailer)
        self._drops = Drops()

    def inline(self, booking_id: str, *, trigger: str = "inline") -> Outcome:
        """One attempt within the guest's request.

        Raises:
            InvalidValue: an empty id, an empty or overlong trigger.
            Exception: what the booking store raised. Planner, mailer and telemetry never make it raise.
        """
        checked(booking_id, trigger)
        return self._run(inline_attempt(booking_id, policy=self.policy, trigger=trigger, on_deadline=self._on_deadline))

    def job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        """One step of the background job: at most one attempt. Call it again at ``wait_until``, if there is one.

        Raises:
            As :meth:`inline`.
        """
        checked(booking_id, trigger)
        return self._run(job_attempt(booking_id, policy=self.policy, trigger=trigger))

    def run_job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        """The whole job, sleeping in between, for hosts without a queue. Takes as long as it takes.

        Raises:
            As :meth:`inline`.
        """
        checked(booking_id, trigger)
        return self._run(run_job(booking_id, policy=self.policy, trigger=trigger))

    def run_due(self, *, limit: int = 100, trigger: str = "due") -> list[Outcome]:
        """One step for each of the bookings whose job is due, the longest waiting first: a host's poller.

        The intention to retry is kept by the store, so it survives the process that formed it.

        Raises:
            ExceptionGroup: what the store raised for some of them, after all the others have had their step.
        """
        now, seconds = self._runtime.now(), self.policy.grace.total_seconds()
        outcomes: list[Outcome] = []
        errors: list[Exception] = []
        for booking_id in self._store.due(now, limit=limit, timeout=seconds):
            try:
                outcomes.append(self.job(booking_id, trigger=trigger))
            except Exception as error:  # noqa: BLE001 - raised below; one bad row must not stop the queue
                errors.append(error)
        return worked_off(outcomes, errors)

    def explain(self, booking_id: str) -> Explanation:
        """What the policy would do now, and why. Reads only.

        Raises:
            BookingNotFound: the store knows no such booking.
        """
        found = self._store.read(booking_id, timeout=self.policy.grace.total_seconds())
        return explanation(booking_id, found, self.policy, self._runtime)

    def _run(self, flow: Flow[Outcome]) -> Outcome:
        try:
            return drive(walk(flow, self._runtime, self.policy.grace.total_seconds()), self._perform, self._runtime)
        except DeadlineExceeded as error:
            raise out_of_time(error) from None

    def _perform(self, effect: Effect[Any], left: float) -> object:
        match effect:
            case RequestQuote():
                return self._quote(effect, left)
            case AwaitQuote():
                search: Pending[Quote] = handle(effect.unfinished)
                return self._await_quote(search, effect.request, left)
            case AbandonQuote():
                abandoned: Pending[Quote] = handle(effect.unfinished)
                abandoned.abandon(self._late_release(effect.request))
                return None
            case ReleaseHold() if not self._planner_keeps_time:
                self._release(effect, left)
                return None
            case Sleep():
                self._runtime.sleep(effect.seconds)
                return None
            case Emit():
                self._emit(effect)
                return None
            case _:
                return self._ports.call(effect, left)

    def _quote(self, effect: RequestQuote, left: float) -> Quote | Unfinished:
        request = effect.request
        if self._planner_keeps_time and effect.seconds is None:
            return self._planner.quote(request, timeout=left)
        seconds = left if effect.seconds is None else effect.seconds
        search = self._runtime.start(partial(self._planner.quote, request, timeout=seconds))
        try:
            if effect.seconds is not None and not search.wait(left):
                return Unfinished(search)
        except BaseException:
            search.abandon(self._late_release(request))
            raise
        return self._await_quote(search, request, left)

    def _await_quote(self, search: Pending[Quote], request: QuoteRequest, left: float) -> Quote:
        try:
            ended = search.wait(left)
        except BaseException:
            search.abandon(self._late_release(request))
            raise
        if ended:
            return search.result()
        search.abandon(self._late_release(request))
        raise DeadlineExceeded(request)

    def _release(self, effect: ReleaseHold, left: float) -> None:
        """A planner that does not keep time may make its release wait for the search; nobody waits for that."""
        seconds = self.policy.grace.total_seconds()
        call = partial(self._planner.release, effect.booking_id, effect.attempt_id, timeout=seconds)
        release = self._runtime.start(call)
        if not release.wait(left):
            raise TimeoutError(f"the planner has not released the hold within {left:.3f} s")
        release.result()

    def _late_release(self, request: QuoteRequest) -> Callable[[], object]:
        """A search that nobody waits for may still take a hold; it is given back when the search ends."""
        return partial(self._release_late, request)

    def _release_late(self, request: QuoteRequest) -> None:
        seconds = self.policy.grace.total_seconds()
        try:
            self._planner.release(request.booking_id, request.attempt_id, timeout=seconds)
        except Exception as error:  # noqa: BLE001 - nobody waits; the hold expires by itself, and telemetry is told
            self._emit(Emit((late_release_failed(self._runtime, request, error),)))

    def _emit(self, effect: Emit) -> None:
        self._tell_loss()
        try:
            self._telemetry.emit(effect.events, stored=effect.stored)
        except Exception as error:  # noqa: BLE001 - telemetry never reaches the flow; the loss is counted and told
            self._drops.add(effect.events, error)

    def _tell_loss(self) -> None:
        lost = self._drops.report(self._runtime)
        if lost is None:
            return
        try:
            self._telemetry.emit((lost,), stored=False)
        except Exception:  # noqa: BLE001 - not told, so it is kept for the next time
            self._drops.put_back(lost)
