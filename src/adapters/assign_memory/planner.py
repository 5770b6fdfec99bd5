"""The planner in memory: a real search over a real floor, and a scripted one for tests and simulations.

:class:`FloorPlanner` looks at who has and who holds which tables, lets :mod:`assign_floor` search, and puts a hold on
the least wasteful fit. It tells seats that are *taken* (nothing but a cancellation frees them) from seats that are
*held* (the hold's expiry is known, so it says when to come back), and which capacity version it saw.

:class:`ScriptedPlanner` goes through a script first: it is slow, fails, or answers what it is told to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta

from attrs import frozen

from assign_core.booking import OPEN
from assign_core.ports import Hold, NoHold, Plan, Quote, QuoteRequest
from assign_core.reasons import ReasonCode
from assign_floor import Candidate, Refusal, Search, Window, fits_again, search
from assign_memory.database import HoldRow, MemoryDatabase, Row


class FloorPlanner:
    """:class:`assign_core.ports.Planner` over the floor of a :class:`MemoryDatabase`.

    Args:
        require_adjacency, max_tables: the knobs where a request leaves them to the planner.
    """

    def __init__(self, database: MemoryDatabase, *, require_adjacency: bool = True, max_tables: int = 3) -> None:
        self._db = database
        self._adjacency = require_adjacency
        self._max_tables = max_tables

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        if timeout <= 0:
            raise TimeoutError(f"no time is left to search ({timeout:.3f} s)")
        with self._db.lock:
            self._db.sweep()
            row = self._db.rows.get(request.booking_id)
            if row is None:
                return NoHold(reason="BOOKING_NOT_FOUND", reason_code=ReasonCode.BOOKING_NOT_FOUND)
            # What this attempt held before was refused; given back now, it is no news to a search that fails.
            self._release(request.booking_id, request.attempt_id)
            window = self._db.window(row)
            if isinstance(window, Refusal):
                return NoHold(reason=window.reason)
            found = self._search(row, request, self._db.taken(window, but_for=row.id))
            if not found.candidates:
                return self._nothing(row, request, window, found)
            lease = row.lease
            leased = lease is not None and lease.attempt_id == request.attempt_id
            if lease is None or not leased or lease.expires_at <= self._db.clock.now() or row.status not in OPEN:
                # A search that came back late takes nothing, neither from its successor nor for a booking that has
                # been confirmed or cancelled meanwhile.
                return NoHold(reason="BOOKING_CHANGED: attempt closed", reason_code=ReasonCode.BOOKING_CHANGED)
            return self._hold(request, window, found.candidates)

    def would_find(self, request: QuoteRequest) -> bool:
        """Whether a search now would succeed. Takes no hold and changes nothing."""
        with self._db.lock:
            row = self._db.rows.get(request.booking_id)
            window = None if row is None else self._db.window(row)
            if row is None or window is None or isinstance(window, Refusal):
                return False
            return bool(self._search(row, request, self._db.taken(window, but_for=row.id)).candidates)

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del timeout
        with self._db.lock:
            self._release(booking_id, attempt_id)

    def _release(self, booking_id: str, attempt_id: str) -> None:
        for hold in [hold for hold in self._db.holds.values() if hold.attempt_id == attempt_id]:
            if hold.booking_id == booking_id:
                del self._db.holds[hold.id]
                self._db.freed(hold.tables, hold.window)

    def _search(self, row: Row, request: QuoteRequest, busy: set[str]) -> Search:
        knobs = request.strategy
        return search(
            self._db.floor,
            party=row.party,
            busy=busy,
            require_adjacency=self._adjacency if knobs.require_adjacency is None else knobs.require_adjacency,
            max_tables=self._max_tables if knobs.max_tables is None else knobs.max_tables,
            excluded=[plan.tables for plan in request.excluded],
            zone=row.zone,
        )

    def _hold(self, request: QuoteRequest, window: Window, candidates: tuple[Candidate, ...]) -> Hold:
        best, now = candidates[0], self._db.clock.now()
        # An earlier attempt of this booking that died may have left a hold; the booking's new one takes its place.
        for old in [hold for hold in self._db.holds.values() if hold.booking_id == request.booking_id]:
            del self._db.holds[old.id]
            self._db.freed(old.tables, old.window)
        hold = HoldRow(
            id=self._db.clock.new_id(),
            booking_id=request.booking_id,
            attempt_id=request.attempt_id,
            tables=frozenset(best.tables),
            window=window,
            expires_at=now + timedelta(seconds=request.hold_seconds),
        )
        self._db.holds[hold.id] = hold
        return Hold(
            hold_id=hold.id,
            plan=Plan(best.tables),
            expires_at=hold.expires_at,
            strategy=request.strategy,
            alternates=len(candidates) - 1,
            capacity_version=self._db.version(self._db.row(request.booking_id)),
        )

    def _nothing(self, row: Row, request: QuoteRequest, window: Window, found: Search) -> NoHold:
        version = self._db.version(row)
        held: dict[str, datetime] = {}
        for hold in self._db.holds_of_others(window, but_for=row.id):
            for table in hold.tables:
                held[table] = max(hold.expires_at, held.get(table, hold.expires_at))
        taken = self._db.taken(window, but_for=row.id, holds=False)
        without = self._search(row, request, taken) if held else found
        if without.candidates:
            return NoHold(
                reason="Hold conflicts prevented all candidates",
                reason_code=ReasonCode.HOLD_CONFLICT,
                retry_after=fits_again(
                    held, lambda still: bool(self._search(row, request, taken.union(still)).candidates)
                ),
                capacity_version=version,
                alternates=len(without.candidates),
            )
        return NoHold(reason=found.reason or "No suitable tables available", capacity_version=version)


@frozen(kw_only=True)
class Cue:
    """What a scripted planner does with one call.

    Attributes:
        delay: seconds before it answers. Longer than the time left: it waits that long and raises ``TimeoutError``.
        before: called first, in the planner's thread: to let a test act in the middle of a search.
        answer: a quote to give, an exception to raise, or ``None`` for the real search.
    """

    delay: float = 0.0
    before: Callable[[], object] | None = None
    answer: NoHold | BaseException | None = None


class _Script:
    """Cues in order; when they are used up, the last line: the real search, at once."""

    def __init__(self, cues: Iterable[Cue]) -> None:
        self._cues = deque(cues)

    def next(self) -> Cue:
        return self._cues.popleft() if self._cues else Cue()


class ScriptedPlanner:
    """:class:`assign_core.ports.Planner` that follows a script, and keeps time on the given clock."""

    def __init__(self, planner: FloorPlanner, script: Iterable[Cue], *, sleep: Callable[[float], object]) -> None:
        self._planner = planner
        self._script = _Script(script)
        self._sleep = sleep
        self.requests: list[QuoteRequest] = []

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        self.requests.append(request)
        cue = self._script.next()
        if cue.before is not None:
            cue.before()
        self._sleep(min(cue.delay, timeout))
        if cue.delay > timeout:
            raise TimeoutError(f"the search was stopped after {timeout:.3f} s")
        return _answer(cue, self._planner, request)

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._planner.release(booking_id, attempt_id, timeout=timeout)


def _answer(cue: Cue, planner: FloorPlanner, request: QuoteRequest) -> Quote:
    if isinstance(cue.answer, BaseException):
        raise cue.answer
    return planner.quote(request, timeout=1.0) if cue.answer is None else cue.answer


class AsyncFloorPlanner:
    """:class:`assign_core.ports.AsyncPlanner` over the floor; a search of microseconds is not worth a thread."""

    def __init__(self, planner: FloorPlanner) -> None:
        self._planner = planner

    async def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        return self._planner.quote(request, timeout=timeout)

    async def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._planner.release(booking_id, attempt_id, timeout=timeout)


class AsyncScriptedPlanner(AsyncFloorPlanner):
    """The scripted planner for an event loop. Cancelled when time is up, as an asynchronous port is."""

    def __init__(
        self, planner: FloorPlanner, script: Iterable[Cue], *, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        super().__init__(planner)
        self._script = _Script(script)
        self._sleep = sleep
        self.requests: list[QuoteRequest] = []

    async def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        del timeout
        self.requests.append(request)
        cue = self._script.next()
        if cue.before is not None:
            cue.before()
        await self._sleep(cue.delay)
        return _answer(cue, self._planner, request)
