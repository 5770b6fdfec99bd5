"""From events to attempts: what telemetry told of each planner call, put together.

One attempt speaks in several events: the planner's answer, a confirm that was refused, a deadline that passed. They
belong together by the attempt's id, and where a host has none, by their order: an event belongs to its booking's last
planner call. Rows may come in any order, because buffered events are written later than those that travel with a
commit; they are put into the order of their times first.

A planner call that was interrupted has no answer on record, but it was made. It is a failure of unknown outcome, as
long as the deadline that ended it, unless an event says that it was confirmed after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from assign_cli.history import RecordedAttempt
from assign_cli.told import ANSWERS, CONFIRMS, INTERRUPTIONS, REFUSALS, Told
from assign_core import ReasonCode, Source
from assign_core.events import EventName

_INLINE: Final = "inline_auto_assign."
_MODIFICATION: Final = "modification"


def _turn(event: Told) -> int:
    """Which comes first of events that have the same time."""
    if event.name is EventName.ATTEMPT:
        return 0
    if event.name is EventName.QUOTE:
        return 1
    return 2 if event.name in ANSWERS else 4 if event.name in CONFIRMS else 3


@dataclass(slots=True)
class _Draft:
    """An attempt while its events arrive."""

    quotes: list[Told] = field(default_factory=list)
    results: list[Told] = field(default_factory=list)
    """The answers once more, as inline attempts tell them."""
    began_at: datetime | None = None
    failure: Told | None = None
    interruption: Told | None = None
    confirmed: bool = False
    inline: bool = False
    modified: bool = False

    def add(self, event: Told) -> None:
        self.inline |= event.name.startswith(_INLINE) or (event.name is EventName.QUOTE and event.number == 0)
        self.modified |= event.trigger == _MODIFICATION
        if event.name is EventName.QUOTE:
            self.quotes.append(event)
            self.failure = None  # another plan, after the one that was refused
        elif event.name in ANSWERS:
            self.results.append(event)
            self.failure = None
        elif event.name in CONFIRMS:
            self.confirmed = True
        elif event.name in REFUSALS or (event.name is EventName.ATTEMPT_ERROR and event.stage == "confirm"):
            self.failure = event
        elif event.name in INTERRUPTIONS or event.name is EventName.ATTEMPT_ERROR:
            if not event.handed_over and event.stage in {None, "quote"}:
                self.interruption = event
        elif event.name is EventName.ATTEMPT:
            self.began_at = event.at

    @property
    def settled(self) -> bool:
        """Nothing more is to be expected of it but another search, after a refused plan."""
        return self.confirmed or self.failure is not None or self.interruption is not None

    def attempt(self) -> RecordedAttempt | None:
        """As the replay takes it; ``None`` if no planner call was told of."""
        answers = self.quotes or self.results
        calls = answers if answers or self.interruption is None else [self.interruption]
        if not calls:
            return None
        ended = calls[-1]
        success = self.confirmed or (bool(answers) and ended.success is True and not self.settled)
        reason, code = (None, None) if success else self._why(ended)
        spans = self._spans(calls)
        return RecordedAttempt(
            file=ended.place.file,
            line=ended.place.line,
            unit=ended.place.unit,
            booking_id=ended.booking_id,
            attempt_id=ended.attempt_id,
            reported_at=ended.at,
            success=success,
            reason=reason,
            reason_code=code,
            duration_ms=sum(span or 0 for span in spans),
            measured=None not in spans,
            source=Source.INLINE if self.inline else Source.JOB,
            calls=len(spans),
            modified=self.inline and self.modified,
        )

    def _why(self, ended: Told) -> tuple[str | None, ReasonCode | None]:
        if self.failure is not None:
            return self.failure.reason, self.failure.reason_code
        event = self.interruption
        if event is None or (ended is not event and not ended.success):
            return ended.reason, ended.reason_code
        match event.name:
            case EventName.INLINE_TIMEOUT:
                return "INLINE_TIMEOUT", ReasonCode.TIMEOUT
            case EventName.INLINE_OPERATION_ABORTED:
                return f"AbortError: {event.reason or 'cancelled'}", ReasonCode.ABORTED
            case _:
                return event.reason, event.reason_code

    def _spans(self, calls: Sequence[Told]) -> list[int | None]:
        """How long each call took, from whichever event says so."""
        spans = [call.duration_ms for call in calls]
        for place, result in enumerate(self.results[: len(spans)]):
            if spans[place] is None:
                spans[place] = result.duration_ms
        if spans[0] is None and self.began_at is not None:
            spans[0] = max(0, round((calls[0].at - self.began_at) / timedelta(milliseconds=1)))
        return spans


def attempts_of(events: Iterable[Told]) -> tuple[RecordedAttempt, ...]:
    """The attempts that the events tell of, in the order of their ends."""
    drafts: dict[tuple[str, str], _Draft] = {}
    unnamed: dict[str, list[_Draft]] = {}
    for event in sorted(events, key=lambda event: (event.at, _turn(event))):
        if event.attempt_id is not None:
            drafts.setdefault((event.booking_id, event.attempt_id), _Draft()).add(event)
        else:
            of_booking = unnamed.setdefault(event.booking_id, [])
            if not of_booking or _begins_another(of_booking[-1], event):
                of_booking.append(_Draft())
            of_booking[-1].add(event)
    found = _attempts([*drafts.values(), *(draft for of_booking in unnamed.values() for draft in of_booking)])
    return tuple(sorted(found, key=lambda row: (row.reported_at, row.booking_id, row.attempt_id or "")))


def _attempts(drafts: Iterable[_Draft]) -> Iterator[RecordedAttempt]:
    for draft in drafts:
        attempt = draft.attempt()
        if attempt is not None:
            yield attempt


def _begins_another(last: _Draft, event: Told) -> bool:
    """Whether an event without an attempt's id belongs to another attempt than its booking's last one."""
    answered = bool(last.quotes or last.results)
    if event.name in {EventName.ATTEMPT, EventName.QUOTE}:
        return answered or last.settled
    if event.name in ANSWERS:
        return bool(last.results) or last.settled
    return last.settled and event.name not in CONFIRMS and not event.name.startswith(_INLINE)
