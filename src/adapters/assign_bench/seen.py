"""The restaurant as one flow meets it: how long each effect takes, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Final

from attrs import define, field

from assign_bench.restaurant import Restaurant
from assign_core.booking import EmailState
from assign_core.effects import (
    AwaitQuote,
    Confirm,
    Deliver,
    Effect,
    Emit,
    ReleaseHold,
    RequestQuote,
)
from assign_core.last_result import Source
from assign_core.ports import Confirmed, Email, EmailKind, Hold, Quote, QuoteRequest

_PATIENCE: Final = 60.0
"""Seconds for a port; no virtual time passes while it works."""


@dataclass(frozen=True, slots=True)
class MailAgain(Effect[None]):
    """Hand an e-mail over past the ledger, as a job does that knows of none."""

    cleanup: ClassVar[bool] = True
    email: Email


@define(eq=False)
class SeenBy:
    """A :class:`~assign_sim.kernel.World`: the restaurant as one flow meets it."""

    restaurant: Restaurant
    source: Source
    _refused: bool = field(default=False, init=False)

    def seconds(self, effect: Effect[Any], left: float) -> float:
        latencies = self.restaurant.workload.latencies
        match effect:
            case RequestQuote():
                return self._search_begins(effect, left)
            case Emit():
                return 0.0
            case Deliver() | MailAgain():
                return latencies.transport
            case _:
                return latencies.store

    def _search_begins(self, effect: RequestQuote, left: float) -> float:
        place, request = self.restaurant, effect.request
        place.expire()
        now = place.clock.monotonic()
        needed = self.how_long(request, now)
        place.searches[request.booking_id] += 1
        place.tally.calls[self.source] += 1
        place.tally.calls_in[request.attempt_id] += 1
        place.tally.seconds[self.source] += min(needed, left if effect.seconds is None else effect.seconds)
        if self.source is Source.JOB:
            place.tally.job_calls_at.append(now)
            place.tally.job_calls_for[request.booking_id] += 1
        return needed

    def how_long(self, request: QuoteRequest, now: float) -> float:
        trouble = self.restaurant.workload.trouble_at(now)
        self._refused = trouble is not None and trouble.kind == "refuses"
        if self._refused:
            return self.restaurant.workload.latencies.unreachable
        if trouble is not None and trouble.kind == "hangs":
            return inf
        factor = 1.0 if trouble is None else trouble.factor
        return factor * self.restaurant.draw(
            request, self.restaurant.would_find(request.booking_id, refused=request.excluded)
        )

    def perform(self, effect: Effect[Any], left: float = _PATIENCE) -> object:
        del left
        place = self.restaurant
        match effect:
            case RequestQuote() | AwaitQuote():
                return self.quote(effect.request)
            case Emit():
                place.events += effect.events
                return None
            case _:
                return self._through_the_ports(effect)

    def quote(self, request: QuoteRequest) -> Quote:
        place = self.restaurant
        if self._refused:
            place.hear(request.booking_id, None)
            raise ConnectionRefusedError("connection refused: the planner is down")
        place.expire()
        answer = place.planner.quote(request, timeout=_PATIENCE)
        if isinstance(answer, Hold):
            place.changes += 1
            place.tally.found[self.source] += 1
        place.hear(request.booking_id, answer)
        return answer

    @property
    def _keeps_quiet(self) -> bool:
        return self.source is Source.INLINE and not self.restaurant.inline_tells_staff

    def _through_the_ports(self, effect: Effect[Any]) -> object:
        place = self.restaurant
        match effect:
            case MailAgain():
                place.mail_again(effect.email)
                return None
            case Deliver() if effect.email.kind is EmailKind.STAFF_NOTICE and self._keeps_quiet:
                return EmailState.CLAIMED
            case ReleaseHold():
                place.changes += 1
            case Confirm():
                place.changes += 1
                answer = place.ports.call(effect, _PATIENCE)
                if isinstance(answer, Confirmed) and answer.attempt_id == effect.confirmation.attempt_id:
                    place.tally.confirmed[self.source] += 1
                    place.seated(effect.confirmation.booking_id, self.source.value)
                return answer
            case _:
                pass
        return place.ports.call(effect, _PATIENCE)
