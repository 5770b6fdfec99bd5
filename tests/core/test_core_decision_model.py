"""The decision against a second telling of it: one straight function of plain values, written from the design alone.

The questions are enumerated (every status, worth of evidence, failure, version, number of attempts, start and hint
that the table tells apart, on both sides of every bound), then the whole space as the design divides it, each part of
each axis with each part of every other (how many cases that is, each test's name says), and then drawn at random with
random settings. The model knows nothing of how jitter is drawn: it is asked with none and with all of it, and the
answer must lie between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice, product
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assign_core import (
    RULES,
    Booking,
    Decision,
    EmailState,
    EmailVariant,
    LastResult,
    Policy,
    ReasonCode,
    Source,
    Strategy,
    Unreadable,
    decide,
)

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
DAY: Final = 24 * 60 * MINUTE


class Question(NamedTuple):
    """A row and its blob in plain values. Spans and moments are microseconds, moments counted from now."""

    status: str = "pending"
    start: int | None = None
    revision: int = 0
    version: int | None = None
    ledger: str | None = None
    seen: str = "result"  # or "absent", "unreadable"
    at: int = 0
    seen_revision: int = 0
    seen_version: int | None = None
    failure: str | None = "infrastructure"  # None: success
    timed_out: bool = False
    attempt: int = 0
    duration_ms: int | None = None
    hint: int | None = None
    flag: bool = False
    variant: str | None = None
    knobs: bool = False  # the blob says which strategy was used


class Settings(NamedTuple):
    """The policy in plain values, with the documented defaults."""

    retries: int = 3
    cap: int = 11
    capacity_budget: int = 2
    rejected_budget: int = 2
    ambiguous_budget: int = 3
    audited: float = 0.0  # share of the parked bookings that are searched for once more
    delays: tuple[int, ...] = (5 * SECOND, 15 * SECOND, 45 * SECOND)
    jitter: float = 0.2
    cutoff: int = 10 * MINUTE
    margin: int = 30 * SECOND
    freshness: int = 5 * MINUTE
    skew: int = 30 * SECOND
    limit: int = 30 * MINUTE
    window: int = 366 * DAY
    relax: bool = False


class Answer(NamedTuple):
    """What the model expects."""

    action: str
    budget: int
    used: int
    at: int | None
    parked: bool
    knobs: str | None  # "kept", "own" or "relaxed"; None where nothing will be attempted
    told: bool
    evidence: str
    rules: tuple[str, ...]


def model(q: Question, s: Settings, share: float) -> Answer:
    """Sections 2 and 5 of the design, top to bottom; ``share`` of the most jitter there can be is added."""
    result = q.seen == "result"
    ours = result and q.seen_revision == q.revision
    age = -q.at

    told = q.ledger in {"claimed", "sent", "unknown"}
    if ours and q.flag and (q.variant is None or q.variant == ("modified" if q.revision else "standard")):
        told = True

    grown = result and q.version is not None and q.seen_version is not None and q.version > q.seen_version
    same = result and q.version is not None and q.seen_version is not None and q.version <= q.seen_version

    if not result:
        evidence = q.seen
    elif q.seen_revision < q.revision:
        evidence = "older_revision"
    elif q.seen_revision > q.revision or age < -s.skew:
        evidence = "future"
    elif same and age <= s.limit:
        evidence = "revalidated"
    elif age <= s.freshness:
        evidence = "fresh"
    else:
        evidence = "stale"
    shrinks = evidence in {"fresh", "revalidated"}
    dated = shrinks or evidence == "stale"

    used = q.attempt if ours else 0
    full = s.retries + 1

    def say(
        action: str, rule: str, *more: str, budget: int = full, at: int | None = None, knobs: str | None = None
    ) -> Answer:
        return Answer(action, budget, used, at, False, knobs, told, evidence, (rule, *more))

    # 1. and 2.
    if q.status in {"cancelled", "no_show", "completed"}:
        return say("none", "status_closed")
    if q.status in {"confirmed", "checked_in"}:
        return say("ensure_email", "already_confirmed", *(["email_on_record"] if told else []))
    if q.status not in {"pending", "pending_allocation"}:
        return say("none", "status_not_ours")

    # 3.
    if q.start is not None and q.start <= 0:
        return say("give_up", "start_passed")
    if q.start is not None and ours and q.start < s.cutoff:
        return say("give_up", "cutoff")

    knobs = "kept" if dated and q.knobs else "own"
    delay = s.delays[min(max(used, 1), len(s.delays)) - 1]
    most = round(delay * s.jitter)
    backoff = q.at + delay + round(share * most) - 1000 * min(q.duration_ms or 0, 24 * 60 * 60 * 1000)

    failure = q.failure if result else None
    # 4.
    if shrinks and failure == "permanent" and not grown:
        return say("give_up", "permanent_failure")
    # 5.
    if dated and failure == "capacity" and grown:
        rule, budget = "capacity_changed", min(s.cap, max(full, used + 1))
        due = 0 if q.start is None or s.window == 366 * DAY else q.start - s.window  # the longest is always open
    elif dated and failure == "capacity" and same:
        searches_left = used == 0 and s.audited == 1
        if searches_left and age >= s.limit:
            return say("attempt", "revalidation_due", knobs=knobs)
        look = s.limit - age if searches_left else s.limit
        if q.start is not None:
            look = min(look, max(q.start - s.cutoff + 1, 1))
        return say("wait", "capacity_unchanged", at=look, knobs=knobs)._replace(parked=True)
    elif shrinks and failure == "capacity":
        rule, budget, due = "capacity_fresh", min(s.capacity_budget, full), q.at + s.freshness
        if used >= 1 and used + 1 == budget and q.start is not None:
            chance = q.start - s.cutoff - s.margin
            if chance > max(due, 0):
                return say("wait", "last_chance", budget=budget, at=chance, knobs=knobs)._replace(parked=True)
    # 6.
    elif shrinks and failure == "contention":
        rule, budget, due = "contention", full, backoff
        if q.hint is not None and q.hint > q.at:  # one that had passed when it was recorded is none
            due = min(q.hint + round(share * round(s.delays[0] * s.jitter)), q.at + s.freshness)
    # 7.
    elif shrinks and failure == "rejected":
        rule, budget, due = "plan_rejected", min(s.rejected_budget, full), backoff
    # 8.
    elif shrinks and failure == "ambiguous":
        rule, budget, due = "outcome_unknown", min(s.ambiguous_budget, full), backoff if used else 0
        if used and q.timed_out:
            budget, due = min(budget, s.capacity_budget), q.at + s.freshness
        if s.relax and q.timed_out:
            knobs = "relaxed"
    # 9.
    elif shrinks and failure == "infrastructure":
        rule, budget, due = "infrastructure", full, backoff
    # 10.
    else:
        rule, budget, due = "no_usable_evidence", full, 0

    # 11.
    if used >= budget:
        return say("give_up", rule, "budget_used_up", budget=budget)
    if due > 0 and q.start is not None:
        last_chance = q.start - s.cutoff - s.margin
        if due > last_chance:
            due = min(due, max(last_chance, backoff))
    if due > 0:
        parked = rule == "capacity_changed"
        return say("wait", rule, budget=budget, at=due, knobs=knobs)._replace(parked=parked)
    return say("attempt", rule, budget=budget, knobs=knobs)


# From plain values to the core's, and back.

CODES: Final = {
    "capacity": ReasonCode.NO_CAPACITY,
    "permanent": ReasonCode.PARTY_TOO_LARGE,
    "rejected": ReasonCode.ZONE_LOCKED,
    "contention": ReasonCode.HOLD_CONFLICT,
    "infrastructure": ReasonCode.DEADLOCK,
    "ambiguous": ReasonCode.ABORTED,
}
USED_KNOBS: Final = Strategy(require_adjacency=True, max_tables=2)
OWN_KNOBS: Final = Strategy(require_adjacency=None, max_tables=4)


def _span(microseconds: int) -> timedelta:
    return timedelta(microseconds=microseconds)


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else NOON + _span(microseconds)


def _policy(s: Settings) -> Policy:
    return Policy(
        retries=s.retries,
        attempt_cap=s.cap,
        capacity_budget=s.capacity_budget,
        rejected_budget=s.rejected_budget,
        ambiguous_budget=s.ambiguous_budget,
        revalidation_share=s.audited,
        delays=tuple(_span(delay) for delay in s.delays),
        jitter=s.jitter,
        cutoff=_span(s.cutoff),
        dispatch_margin=_span(s.margin),
        freshness=_span(s.freshness),
        clock_skew=_span(s.skew),
        revalidation_limit=_span(s.limit),
        wake_window=_span(s.window),
        strategy=OWN_KNOBS,
        relax_after_timeout=s.relax,
    )


def _booking(q: Question) -> Booking:
    return Booking(
        id="b",
        status=q.status,
        start_at=_moment(q.start),
        revision=q.revision,
        capacity_version=q.version,
        email=None if q.ledger is None else EmailState(q.ledger),
    )


def _last(q: Question) -> LastResult | Unreadable | None:
    if q.seen != "result":
        return None if q.seen == "absent" else Unreadable("cut off")
    code = None if q.failure is None else CODES[q.failure]
    return LastResult(
        source=Source.JOB if q.attempt else Source.INLINE,
        recorded_at=NOON + _span(q.at),
        success=q.failure is None,
        reason_code=ReasonCode.TIMEOUT if q.timed_out and q.failure == "ambiguous" else code,
        strategy=USED_KNOBS if q.knobs else None,
        duration_ms=q.duration_ms,
        attempt_id=f"a{q.attempt}",
        attempt=q.attempt,
        revision=q.seen_revision,
        email_sent=q.flag,
        email_variant=None if q.variant is None else EmailVariant(q.variant),
        capacity_version=q.seen_version,
        retry_after=_moment(q.hint),
    )


KNOBS: Final = {
    "kept": USED_KNOBS,
    "own": OWN_KNOBS,
    "relaxed": None,
}


def _check(q: Question, s: Settings, policy: Policy) -> None:
    _compare(q, s, decide(_booking(q), _last(q), policy=policy, now=NOON))


def _compare(q: Question, s: Settings, found: Decision) -> None:
    soonest = model(q, s, 0.0)
    latest = model(q, s, 1.0) if s.jitter else soonest
    expected = soonest if found.action == soonest.action else latest
    assert (
        found.action.value,
        found.max_attempts,
        found.attempts_used,
        found.parked,
        found.suppress_email,
        found.evidence.value,
        found.rules,
    ) == (
        expected.action,
        expected.budget,
        expected.used,
        expected.parked,
        expected.told,
        expected.evidence,
        expected.rules,
    ), (q, s)
    assert (None if found.failure_class is None else found.failure_class.value) == (
        q.failure if q.seen == "result" else None
    ), (q, s)
    if expected.at is None:
        assert found.not_before is None, (q, s)
    else:
        assert found.not_before is not None, (q, s)
        wait = (found.not_before - NOON) // TICK
        # Where no jitter at all would already be late enough, any moment from now on may come out.
        assert (1 if soonest.at is None else soonest.at) <= wait <= (latest.at or 0), (q, s, wait)
    if expected.knobs == "relaxed":
        base = USED_KNOBS if q.knobs else OWN_KNOBS
        assert found.strategy == Strategy(require_adjacency=False, max_tables=base.max_tables), (q, s)
    elif expected.knobs is not None:
        assert found.strategy == KNOBS[expected.knobs], (q, s)


# The whole table, enumerated.

AGES: Final = (
    *(second * SECOND for second in (-31, -30, -1, 0, 4, 5, 6, 14, 18, 44, 54, 299, 300, 1799, 1800, 9000)),
    300 * SECOND + 1,
    1800 * SECOND + 1,
    -30 * SECOND - 1,
)
# The row's version, and the blob's.
VERSIONS: Final = ((None, None), (5, 5), (6, 5), (4, 5), (None, 5), (5, None))
STARTS: Final = (
    None,
    30 * DAY,
    -1,
    0,
    1,
    10 * MINUTE - 1,
    10 * MINUTE,
    10 * MINUTE + 2 * SECOND,
    10 * MINUTE + 31 * SECOND,
    11 * MINUTE,
    15 * MINUTE + 30 * SECOND,
    15 * MINUTE + 30 * SECOND + 1,
)
ATTEMPTS: Final = range(13)
FAILURES: Final = ("permanent", "capacity", "contention", "rejected", "ambiguous", "infrastructure", None)
HINTS: Final = (None, -10 * SECOND, 2 * SECOND, 200 * SECOND, 2 * 60 * MINUTE)
LEDGER: Final = (None, "claimed", "sent", "unknown", "failed")
FLAGS: Final = ((False, None), (True, None), (True, "standard"), (True, "modified"), (False, "modified"))
NO_JITTER: Final = Settings(jitter=0.0, audited=1.0)
RELAXED: Final = Settings(relax=True, jitter=1.0)
LATE: Final = Settings(window=10 * MINUTE + 31 * SECOND)
SETTINGS: Final = {"defaults": Settings(), "no jitter": NO_JITTER, "relaxed": RELAXED, "late": LATE}


def _open_questions(failure: str | None) -> Iterator[Question]:
    """Every open booking with evidence of its own revision. What has no part in the choice goes round beside it."""
    hints: Iterable[int | None] = HINTS if failure == "contention" else (None,)
    beside = zip(
        cycle((None, 0, 2_000, 42_000, 90_000_000)),
        cycle(LEDGER * 3 + LEDGER[:2]),
        cycle(FLAGS * 2 + FLAGS[:3]),
        cycle((True, False, True)),
        cycle((False, True)),
        cycle(("pending", "pending_allocation")),
        strict=False,
    )
    versions = VERSIONS[:3] if failure == "contention" else VERSIONS
    axes = product(AGES, versions, ATTEMPTS, STARTS, hints)
    for (age, (version, seen_version), attempt, start, hint), other in zip(axes, beside, strict=False):
        duration_ms, ledger, (flag, variant), knobs, timed_out, status = other
        yield Question(
            status=status,
            start=start,
            version=version,
            ledger=ledger,
            at=-age,
            seen_version=seen_version,
            failure=failure,
            timed_out=timed_out,
            attempt=attempt,
            duration_ms=duration_ms,
            hint=hint,
            flag=flag,
            variant=variant,
            knobs=knobs,
        )


# Relaxing tells nothing apart but where the strategy is looked at, the window nothing but where seats have become free.
ASKED: Final = [
    *product(FAILURES, ("defaults", "no jitter")),
    ("ambiguous", "relaxed"),
    ("capacity", "late"),
]


@pytest.mark.parametrize(("failure", "named"), ASKED)
def test_every_open_booking_is_decided_as_the_model_says(failure: str | None, named: str) -> None:
    s = SETTINGS[named]
    policy = _policy(s)
    for question in _open_questions(failure):
        _check(question, s, policy)


@pytest.mark.parametrize("seen_revision", [1, 3])
def test_another_revision_is_decided_as_the_model_says(seen_revision: int) -> None:
    s, policy = NO_JITTER, _policy(NO_JITTER)
    for age, (version, seen_version), attempt, start, failure, flag in product(
        AGES[::3], VERSIONS, (0, 3, 4, 12), STARTS, FAILURES, (False, True)
    ):
        question = Question(
            revision=2,
            seen_revision=seen_revision,
            at=-age,
            version=version,
            seen_version=seen_version,
            attempt=attempt,
            start=start,
            failure=failure,
            flag=flag,
            variant="modified",
            knobs=True,
        )
        _check(question, s, policy)


@pytest.mark.parametrize("seen", ["absent", "unreadable"])
def test_a_booking_without_evidence_is_decided_as_the_model_says(seen: str) -> None:
    for s in SETTINGS.values():
        policy = _policy(s)
        for start, version, ledger, revision in product(STARTS, (None, 5), LEDGER, (0, 2)):
            _check(Question(seen=seen, start=start, version=version, ledger=ledger, revision=revision), s, policy)


STATUSES: Final = (
    "pending",
    "pending_allocation",
    "confirmed",
    "checked_in",
    "completed",
    "cancelled",
    "no_show",
    "waitlisted",
    "PENDING",
    "",
)


@pytest.mark.parametrize("status", STATUSES)
def test_every_word_of_the_e_mail_is_decided_as_the_model_says(status: str) -> None:
    s, policy = NO_JITTER, _policy(NO_JITTER)
    for ledger, (flag, variant), revision, seen_revision in product(LEDGER, FLAGS, (0, 1), (0, 1, 2)):
        question = Question(
            status=status,
            revision=revision,
            ledger=ledger,
            seen_revision=seen_revision,
            failure=None,
            flag=flag,
            variant=variant,
        )
        _check(question, s, policy)


# The decision space as the design divides it: every part of every axis with every part of every other.

PARTS_OF_STATUS: Final = (*STATUSES[:7], "waitlisted")
"""The seven, and one that is not ours."""
PARTS_OF_MAIL: Final = ((None, False), (None, True), *((word, False) for word in LEDGER[1:]))
"""Nothing is known; the flag says that it was sent; each word of the ledger."""
PARTS_OF_CUTOFF: Final = (None, DAY, 10 * MINUTE + 10 * SECOND, 5 * MINUTE, -1)
"""Not known; far; nearer than the last chance; nearer than the cutoff; passed."""
PARTS_OF_EVIDENCE: Final = (
    ("future", 31 * SECOND, 1),
    ("fresh", -MINUTE, 1),
    ("stale, within the revalidation limit", -10 * MINUTE, 1),
    ("stale beyond it", -40 * MINUTE, 1),
    ("older revision", -MINUTE, 0),
    ("revision not reached", -MINUTE, 2),
)
"""Of a result: when, and of which revision of a booking of revision 1. With the same version it is revalidated."""
PARTS_OF_BUDGET: Final = (0, 1, 2, 3, 4, 10, 11)
"""Unused; one; used up as that of capacity, of the ambiguous, the full one; one below the cap, and at it."""
NOTHING_READ: Final = ("absent", "unreadable")
ROWS: Final = len(PARTS_OF_MAIL) * len(PARTS_OF_CUTOFF)
RESULTS: Final = len(PARTS_OF_EVIDENCE) * len(FAILURES) * len(PARTS_OF_BUDGET)
SPACE: Final = ROWS * len(VERSIONS) * (RESULTS + len(NOTHING_READ))
"""Cases of one status."""


def _blobs(seen_version: int | None) -> Iterator[tuple[Question, LastResult | Unreadable | None]]:
    for seen in NOTHING_READ:
        question = Question(seen=seen, revision=1)
        yield question, _last(question)
    for (_, at, seen_revision), failure, attempt in product(PARTS_OF_EVIDENCE, FAILURES, PARTS_OF_BUDGET):
        question = Question(
            revision=1,
            at=at,
            seen_revision=seen_revision,
            seen_version=seen_version,
            failure=failure,
            attempt=attempt,
            variant="modified",
        )
        yield question, _last(question)


@pytest.mark.parametrize("status", PARTS_OF_STATUS, ids=lambda status: f"{status}, {SPACE} cases")
def test_the_whole_space_is_decided_as_the_model_says(status: str) -> None:
    s, policy = NO_JITTER, _policy(NO_JITTER)
    cases = 0
    for version, seen_version in VERSIONS:
        blobs = tuple(_blobs(seen_version))
        for (ledger, flag), start in product(PARTS_OF_MAIL, PARTS_OF_CUTOFF):
            row = _booking(Question(status=status, start=start, revision=1, version=version, ledger=ledger))
            for blob, last in blobs:
                stored = replace(last, email_sent=True) if flag and isinstance(last, LastResult) else last
                question = blob._replace(status=status, start=start, version=version, ledger=ledger, flag=flag)
                _compare(question, s, decide(row, stored, policy=policy, now=NOON))
                cases += 1
    assert cases == SPACE


def test_the_enumeration_reaches_every_rule() -> None:
    fired: set[str] = set()
    policy = _policy(NO_JITTER)
    for failure in FAILURES:
        for question in islice(_open_questions(failure), 0, None, 7):
            fired.update(model(question, NO_JITTER, 0.0).rules)
    for status in STATUSES:
        question = Question(status=status, ledger="sent")
        fired.update(decide(_booking(question), _last(question), policy=policy, now=NOON).rules)
    named = {name for rule in RULES for name in rule.names}
    assert fired == named | {"budget_used_up", "email_on_record"}


# Anything between, with any settings.

near = st.integers(-10 * MINUTE, 10 * MINUTE) | st.integers(-2 * DAY, 2 * DAY)
spans = st.integers(0, 10 * MINUTE) | st.integers(0, DAY)


@st.composite
def any_settings(draw: st.DrawFn) -> Settings:
    retries = draw(st.integers(0, 6))
    return Settings(
        retries=retries,
        cap=draw(st.integers(retries + 1, 14)),
        capacity_budget=draw(st.integers(1, 8)),
        rejected_budget=draw(st.integers(1, 8)),
        ambiguous_budget=draw(st.integers(1, 8)),
        audited=draw(st.sampled_from((0.0, 1.0))),
        delays=tuple(sorted(draw(st.lists(st.integers(1, 10 * MINUTE), min_size=1, max_size=4)))),
        jitter=draw(st.sampled_from((0.0, 0.25, 1.0))),
        cutoff=draw(spans),
        margin=draw(spans),
        freshness=draw(spans),
        skew=draw(spans),
        limit=draw(spans.map(lambda span: span + 1)),
        window=draw(st.just(366 * DAY) | spans),
        relax=draw(st.booleans()),
    )


questions = st.builds(
    Question,
    status=st.sampled_from(("pending", "pending", "pending_allocation", "confirmed", "cancelled", "hosts own")),
    start=st.none() | near,
    revision=st.sampled_from((1, 1, 1, 0, 2)),
    version=st.none() | st.integers(0, 1),
    ledger=st.sampled_from(LEDGER),
    seen=st.sampled_from(("result", "result", "result", "absent", "unreadable")),
    at=near,
    seen_revision=st.just(1),
    seen_version=st.none() | st.integers(0, 1),
    failure=st.sampled_from(FAILURES),
    timed_out=st.booleans(),
    attempt=st.integers(0, 15),
    duration_ms=st.none() | st.integers(0, 600_000),
    hint=st.none() | near,
    flag=st.booleans(),
    variant=st.sampled_from((None, "standard", "modified")),
    knobs=st.booleans(),
)


@settings(max_examples=600, deadline=None)
@given(questions, st.just(Settings()) | any_settings())
def test_any_booking_under_any_policy_is_decided_as_the_model_says(q: Question, s: Settings) -> None:
    _check(q, s, _policy(s))
