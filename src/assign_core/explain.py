"""A decision in plain words, for whoever has to answer why a guest has no table yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from assign_core.booking import Booking
from assign_core.decision import RULES, Action, Decision
from assign_core.evidence import USABLE, Evidence
from assign_core.last_result import LastResult, Unreadable
from assign_core.rules import MODIFIERS

_OPEN_ACTIONS: Final = frozenset({Action.ATTEMPT, Action.WAIT, Action.GIVE_UP})
"""What is decided for a booking whose row shows no table."""
_WORDS: Final = (*(part for rule in RULES for part in rule.parts), *MODIFIERS)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with everything it was made from, and the same in words."""

    booking: Booking
    last: LastResult | Unreadable | None
    now: datetime
    decision: Decision

    @property
    def lines(self) -> tuple[str, ...]:
        """One sentence a line."""
        return explain(self.booking, self.last, self.decision, now=self.now)


def explain(
    booking: Booking, last: LastResult | Unreadable | None, decision: Decision, *, now: datetime
) -> tuple[str, ...]:
    """The decision in words: what is known, what it is worth, what follows and by which rules."""
    lines = [_booking(booking, now), _known(last, decision, now), _action(decision, now)]
    if decision.action in _OPEN_ACTIONS:
        lines.append(f"Job attempts used: {decision.attempts_used} of {decision.max_attempts}.")
    if decision.suppress_email:
        lines.append("The guest has been written to about this revision: no further confirmation.")
    lines += (f"Rule {name}: {_said_of(name)}" for name in decision.rules)
    return tuple(lines)


def span_in_words(span: timedelta) -> str:
    """A duration as people say it: the two largest units that matter."""
    seconds = abs(span.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    rest = round(seconds)
    parts: list[str] = []
    for unit, size in units:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _booking(booking: Booking, now: datetime) -> str:
    text = f"Booking {booking.id} is {booking.status}, revision {booking.revision}"
    if booking.start_at is None:
        return f"{text}; its start is not known."
    left = booking.start_at - now
    if not left:
        return f"{text}; it starts now."
    when = f"starts in {span_in_words(left)}" if left > timedelta(0) else f"started {span_in_words(left)} ago"
    return f"{text}; it {when}."


def _known(last: LastResult | Unreadable | None, decision: Decision, now: datetime) -> str:
    if last is None:
        return "No attempt is on record."
    if isinstance(last, Unreadable):
        return f"The stored result cannot be read and counts for nothing: {last.problem}."
    age = now - last.recorded_at
    when = f"{span_in_words(age)} ago" if age >= timedelta(0) else f"{span_in_words(age)} in the future"
    said = "confirmed the booking" if last.success else f"failed: {last.reason or 'no reason given'}"
    if last.success and decision.evidence in USABLE and decision.action in _OPEN_ACTIONS:
        return f"The last {last.source} attempt, {when}, {said}; but the row does not show it any more."
    worth = {
        Evidence.FRESH: "fresh",
        # Of a success no version says anything: the row shows it.
        Evidence.REVALIDATED: "fresh" if last.success else "still true, because nothing has become free since",
        Evidence.STALE: "stale",
        Evidence.FUTURE: f"from the future, so {_ignored(decision)}",
        Evidence.OLDER_REVISION: f"about an older revision, so {_ignored(decision)}",
        Evidence.ABSENT: "absent",
        Evidence.UNREADABLE: "unreadable",
    }[decision.evidence]
    kind = f" ({decision.reason_code}, {decision.failure_class})" if decision.reason_code else ""
    return f"The last {last.source} attempt, {when}, {said}{kind}; this is {worth}."


def _ignored(decision: Decision) -> str:
    """A finding may count for nothing, and the attempts that led to it count all the same."""
    used = decision.attempts_used
    if not used:
        return "it is ignored"
    return (
        f"its finding is ignored; its {used} attempts count"
        if used > 1
        else "its finding is ignored; its attempt counts"
    )


def _action(decision: Decision, now: datetime) -> str:
    match decision.action:
        case Action.ATTEMPT:
            return "Call the planner now."
        case Action.WAIT:
            until = decision.not_before
            when = (
                ""
                if until is None
                else f" until {until.isoformat().replace('+00:00', 'Z')} (in {span_in_words(until - now)})"
            )
            if decision.woken:
                return f"Wait{when}, or until seats become free."
            return f"Wait{when}."
        case Action.GIVE_UP:
            return "Give up: no further search. The booking stays as it is, and the staff is told once."
        case Action.ENSURE_EMAIL:
            return "No search: the booking has its table. See to it that the guest has been written to."
        case Action.NONE:
            return "Nothing to do: the booking is not open."


def _said_of(name: str) -> str:
    said = " ".join(f"{each.when} Then {each.then.removesuffix('.')}." for each in _WORDS if each.name == name)
    return said.replace("*", "").replace("`", "")
