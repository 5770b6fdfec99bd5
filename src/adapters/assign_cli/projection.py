"""What a job would do right after each recorded failure: a projection, not a fact.

Recorded histories are sparse: minutes or days lie between a booking's attempts, and evidence goes stale meanwhile. A
job repeats a search within seconds, and that is where a shared result saves anything. So each recorded failure is
taken as the first attempt of a job, and its next searches are imagined *to fail in the same way and to take as long*:
by a job that knows nothing (it repeats the search after 5, 15 and 45 seconds, whatever the reason), and by the policy,
which reads what the last search found.

Nothing here says what a later search would really find. That is why the policy's searches are counted twice: those it
makes by the time the other job has finished, and all that it makes in the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from assign_cli.history import RecordedAttempt
from assign_cli.replaying import result_of
from assign_core import Action, Booking, FailureClass, Policy, decide

PAUSES_WITHOUT_SHARING: Final = (timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=45))
"""From the end of a search to its repetition, by a job that knows nothing of what it found."""
_MOST_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Searches after recorded failures.

    Attributes:
        failures: recorded failures that the searches follow.
        unshared_calls, unshared_seconds: of a job that knows nothing.
        meanwhile_calls, meanwhile_seconds: of the policy, begun by the time that job has finished.
        in_all_calls, in_all_seconds: of the policy, however late.
    """

    failures: int = 0
    unshared_calls: int = 0
    unshared_seconds: float = 0.0
    meanwhile_calls: int = 0
    meanwhile_seconds: float = 0.0
    in_all_calls: int = 0
    in_all_seconds: float = 0.0

    def __add__(self, other: Repeats) -> Repeats:
        return Repeats(
            failures=self.failures + other.failures,
            unshared_calls=self.unshared_calls + other.unshared_calls,
            unshared_seconds=self.unshared_seconds + other.unshared_seconds,
            meanwhile_calls=self.meanwhile_calls + other.meanwhile_calls,
            meanwhile_seconds=self.meanwhile_seconds + other.meanwhile_seconds,
            in_all_calls=self.in_all_calls + other.in_all_calls,
            in_all_seconds=self.in_all_seconds + other.in_all_seconds,
        )


def repeats_after(row: RecordedAttempt, policy: Policy) -> Repeats:
    """The searches that follow one recorded failure."""
    length = timedelta(milliseconds=row.duration_ms)
    unshared = len(PAUSES_WITHOUT_SHARING)
    horizon = sum(PAUSES_WITHOUT_SHARING, unshared * length)
    starts = policy_repeats(row, policy)
    meanwhile = sum(start <= horizon for start in starts)
    seconds = length.total_seconds()
    return Repeats(
        failures=1,
        unshared_calls=unshared,
        unshared_seconds=unshared * seconds,
        meanwhile_calls=meanwhile,
        meanwhile_seconds=meanwhile * seconds,
        in_all_calls=len(starts),
        in_all_seconds=len(starts) * seconds,
    )


def policy_repeats(row: RecordedAttempt, policy: Policy) -> list[timedelta]:
    """When the policy searches again, counted from the recorded failure, if every search fails like it."""
    booking = Booking(id=row.booking_id)
    last = result_of(row)
    now = row.reported_at
    length = timedelta(milliseconds=row.duration_ms)
    starts: list[timedelta] = []
    for _ in range(_MOST_STEPS):
        decision = decide(booking, last, policy=policy, now=now)
        if decision.action is Action.ATTEMPT:
            starts.append(now - row.reported_at)
            now += length
            last = replace(last, recorded_at=now, attempt=last.attempt + 1)
        elif decision.action is Action.WAIT and decision.not_before is not None:
            now = decision.not_before
        else:
            return starts
    raise AssertionError(f"the policy neither gives up nor gets on after {_MOST_STEPS} steps: {row}")


def project(rows: Iterable[RecordedAttempt], policy: Policy) -> dict[FailureClass, Repeats]:
    """The searches after every recorded failure, by what kind of failure it was."""
    found: dict[FailureClass, Repeats] = {}
    for row in rows:
        failure_class = result_of(row).failure_class
        if failure_class is not None:
            found[failure_class] = found.get(failure_class, Repeats()) + repeats_after(row, policy)
    return {each: found[each] for each in FailureClass if each in found}
