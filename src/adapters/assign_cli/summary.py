"""The accounts of a replay, in one place for the tables and for ``--json``.

A saving is never told alone: beside the calls that the policy would not have made stand the successes it would have
lost or delayed, since a policy that skips everything saves everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Final

from assign_cli.projection import PAUSES_WITHOUT_SHARING, Repeats
from assign_cli.replaying import CALLS, Effect, Replayed, ReplayedInline
from assign_core import Action, FailureClass, Policy, Source

ASSUMPTION: Final = "the search after a recorded failure fails the same way and takes as long"


@dataclass(slots=True, kw_only=True)
class Calls:
    """Recorded planner calls, and what becomes of them. ``recorded = made + saved``; put-off calls are made, later."""

    recorded: int = 0
    made: int = 0
    put_off: int = 0
    saved: int = 0
    seconds_recorded: float = 0.0
    seconds_made: float = 0.0
    seconds_saved: float = 0.0

    def count(self, effect: Effect, seconds: float, calls: int = 1) -> None:
        """Add the recorded calls of one attempt, ``seconds`` in all."""
        self.recorded += calls
        self.seconds_recorded += seconds
        if effect in CALLS:
            self.made += calls
            self.seconds_made += seconds
            self.put_off += calls if effect is not Effect.MADE else 0
        else:
            self.saved += calls
            self.seconds_saved += seconds


@dataclass(slots=True, kw_only=True)
class AfterInline:
    """What follows recorded inline attempts.

    Attributes:
        rows: inline attempts.
        blob_says_failure: stored results that say the attempt failed, and
        blob_says_failure_row_confirmed: how many of them belong to bookings that are confirmed.
        actions: what the policy says to the job that comes next.
        searches_by_blob_alone, seconds_by_blob_alone: of a job that believes the stored result and searches after
            every failure, each search as long as the inline one.
        searches_avoided, seconds_avoided: those of them that the policy does not make.
        emails_suppressed: confirmed bookings whose guest has been written to.
        emails_to_ensure: confirmed bookings whose e-mail is not on record.
    """

    rows: int = 0
    blob_says_failure: int = 0
    blob_says_failure_row_confirmed: int = 0
    actions: dict[str, int] = field(default_factory=dict)
    searches_by_blob_alone: int = 0
    seconds_by_blob_alone: float = 0.0
    searches_avoided: int = 0
    seconds_avoided: float = 0.0
    emails_suppressed: int = 0
    emails_to_ensure: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """How the runs of a record are read, and what the other reading would say.

    A run that begins with its bookings reset renews their budgets, and the record does not say whether it did.

    Attributes:
        number: of runs.
        are_resets: neither evidence nor budget carries over from one to the next.
        saved_otherwise, seconds_saved_otherwise: planner calls that the other reading would save.
        lost_otherwise, delayed_otherwise: recorded successes that it would lose or delay.
    """

    number: int
    are_resets: bool
    saved_otherwise: int
    seconds_saved_otherwise: float
    lost_otherwise: int
    delayed_otherwise: int

    @classmethod
    def of(cls, are_resets: bool, otherwise: Sequence[Replayed]) -> Runs | None:
        """Of a record with more than one run; ``otherwise``: replayed in the other reading."""
        number = len({answer.row.run for answer in otherwise})
        if number < 2:
            return None
        spared = [answer for answer in otherwise if answer.effect not in CALLS]
        return cls(
            number=number,
            are_resets=are_resets,
            saved_otherwise=sum(answer.row.calls for answer in spared),
            seconds_saved_otherwise=sum(answer.row.duration_ms for answer in spared) / 1000,
            lost_otherwise=sum(answer.effect is Effect.LOST for answer in spared),
            delayed_otherwise=sum(answer.effect is Effect.DELAYED for answer in otherwise),
        )

    def as_json(self) -> dict[str, object]:
        """As ``--json`` prints it."""
        return {
            "number": self.number,
            "are_resets": self.are_resets,
            "otherwise": {
                "planner_calls_saved": self.saved_otherwise,
                "planner_seconds_saved": _seconds(self.seconds_saved_otherwise),
                "successes_lost": self.lost_otherwise,
                "successes_delayed": self.delayed_otherwise,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything that a replay has to say in numbers.

    Attributes:
        bookings: distinct ids.
        resets: how often a booking was attempted afresh, as a new revision.
        calls: all recorded planner calls, inline ones included.
        by_source: the same by who made them.
        unmeasured: attempts whose record does not say how long a call took; that call counts as 0 seconds.
        successes_kept, successes_delayed, successes_lost: of the recorded successes.
        longest_delay: of a delayed success.
        by_failure_class: the calls that failed.
        actions, evidence: of the decisions before the recorded attempts.
        shortest_pause: from a booking's result to its next attempt, where no reset lies between.
        freshness: how long evidence counts.
        projection: what would follow each recorded failure.
        after_inline: what follows each inline attempt.
        runs: how the record's runs are read, if it has several.
    """

    bookings: int
    resets: int
    calls: Calls
    by_source: Mapping[Source, Calls]
    unmeasured: int
    successes_kept: int
    successes_delayed: int
    successes_lost: int
    longest_delay: timedelta | None
    by_failure_class: Mapping[FailureClass, Calls]
    actions: Mapping[str, int]
    evidence: Mapping[str, int]
    shortest_pause: timedelta | None
    freshness: timedelta
    projection: Mapping[FailureClass, Repeats]
    after_inline: AfterInline
    runs: Runs | None = None

    @property
    def successes_recorded(self) -> int:
        """Attempts that confirmed their booking."""
        return self.successes_kept + self.successes_delayed + self.successes_lost

    @property
    def projected(self) -> Repeats:
        """The projection's total."""
        return sum(self.projection.values(), Repeats())

    def as_json(self) -> dict[str, object]:
        """The summary as ``--json`` prints it."""
        return {
            "bookings": self.bookings,
            "resets": self.resets,
            "planner_calls_recorded": self.calls.recorded,
            "planner_calls_made": self.calls.made,
            "planner_calls_put_off": self.calls.put_off,
            "planner_calls_saved": self.calls.saved,
            "planner_seconds_recorded": _seconds(self.calls.seconds_recorded),
            "planner_seconds_made": _seconds(self.calls.seconds_made),
            "planner_seconds_saved": _seconds(self.calls.seconds_saved),
            "attempts_unmeasured": self.unmeasured,
            "by_source": {name.value: _rounded(asdict(calls)) for name, calls in self.by_source.items()},
            "successes_recorded": self.successes_recorded,
            "successes_kept": self.successes_kept,
            "successes_delayed": self.successes_delayed,
            "successes_lost": self.successes_lost,
            "longest_delay_seconds": span_in_json(self.longest_delay),
            "actions": dict(self.actions),
            "evidence": dict(self.evidence),
            "by_failure_class": {name.value: _rounded(asdict(calls)) for name, calls in self.by_failure_class.items()},
            "shortest_pause_seconds": span_in_json(self.shortest_pause),
            "freshness_seconds": span_in_json(self.freshness),
            "projection": {
                "assumption": ASSUMPTION,
                "pauses_without_sharing_seconds": [span_in_json(pause) for pause in PAUSES_WITHOUT_SHARING],
                "by_failure_class": {name.value: _rounded(asdict(each)) for name, each in self.projection.items()},
                "total": _rounded(asdict(self.projected)),
            },
            "after_inline": _rounded(asdict(self.after_inline)),
            "runs": None if self.runs is None else self.runs.as_json(),
        }


def span_in_json(span: timedelta | None) -> float | None:
    """A duration as seconds."""
    return None if span is None else _seconds(span.total_seconds())


def _seconds(seconds: float) -> float:
    # Sums of milliseconds, so anything below is noise of the adding.
    return round(seconds, 3)


def _rounded(values: dict[str, object]) -> dict[str, object]:
    return {name: _seconds(value) if isinstance(value, float) else value for name, value in values.items()}


def summarise(
    replayed: Sequence[Replayed],
    inline: Sequence[ReplayedInline],
    projection: Mapping[FailureClass, Repeats],
    policy: Policy,
    runs: Runs | None = None,
) -> Summary:
    """The accounts of a replay."""
    calls = Calls()
    by_source: dict[Source, Calls] = {}
    by_class: dict[FailureClass, Calls] = {}
    for answer in replayed:
        seconds = answer.row.duration_ms / 1000
        counted = [calls, by_source.setdefault(answer.row.source, Calls())]
        if answer.failure_class is not None:
            counted.append(by_class.setdefault(answer.failure_class, Calls()))
        for account in counted:
            account.count(answer.effect, seconds, answer.row.calls)
    for each in inline:
        calls.count(Effect.MADE, each.row.duration_ms / 1000)
        by_source.setdefault(Source.INLINE, Calls()).count(Effect.MADE, each.row.duration_ms / 1000)
        if each.failure_class is not None:
            by_class.setdefault(each.failure_class, Calls()).count(Effect.MADE, each.row.duration_ms / 1000)
    succeeded = [answer for answer in replayed if answer.row.success]
    effects = Counter(answer.effect for answer in succeeded)
    before = [*(answer.decision for answer in replayed), *(each.before for each in inline)]
    return Summary(
        bookings=len({answer.row.booking_id for answer in replayed} | {each.row.booking_id for each in inline}),
        resets=_resets(replayed),
        calls=calls,
        by_source={name: by_source[name] for name in Source if name in by_source},
        unmeasured=sum(not answer.row.measured for answer in replayed),
        successes_kept=effects[Effect.MADE] + sum(each.row.success for each in inline),
        successes_delayed=effects[Effect.DELAYED],
        successes_lost=effects[Effect.LOST],
        longest_delay=max((answer.delay for answer in succeeded if answer.delay is not None), default=None),
        by_failure_class={name: by_class[name] for name in FailureClass if name in by_class},
        actions=_counted(decision.action.value for decision in before),
        evidence=_counted(decision.evidence.value for decision in before),
        shortest_pause=min((answer.pause for answer in replayed if answer.pause is not None), default=None),
        freshness=policy.freshness,
        projection=projection,
        after_inline=_after_inline(inline),
        runs=runs,
    )


def _resets(replayed: Iterable[Replayed]) -> int:
    last_revision: dict[str, int] = {}
    for answer in replayed:
        booking = answer.row.booking_id
        last_revision[booking] = max(answer.revision, last_revision.get(booking, 0))
    return sum(last_revision.values())


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _after_inline(inline: Sequence[ReplayedInline]) -> AfterInline:
    told = AfterInline(rows=len(inline), actions=_counted(each.after.action.value for each in inline))
    for each in inline:
        seconds, action = each.row.duration_ms / 1000, each.after.action
        confirmed = action is Action.ENSURE_EMAIL
        told.emails_suppressed += confirmed and each.after.suppress_email
        told.emails_to_ensure += confirmed and not each.after.suppress_email
        if each.row.success:
            continue
        told.blob_says_failure += 1
        told.blob_says_failure_row_confirmed += confirmed
        told.searches_by_blob_alone += 1
        told.seconds_by_blob_alone += seconds
        # A search that is put off is still to be made.
        if action not in {Action.ATTEMPT, Action.WAIT}:
            told.searches_avoided += 1
            told.seconds_avoided += seconds
    return told
