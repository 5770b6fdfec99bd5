"""How Hypothesis makes the core's values: every value that a host, another writer or damage can bring about.

Each function gives a strategy, and takes for each attribute a value or a strategy to draw it from; what is not given
may be anything that the type allows::

    @given(last_results(revision=0, success=False), bookings(revision=st.integers(0, 2)))
    def test_mine(last: LastResult, booking: Booking) -> None: ...

Small pools stand beside the whole range, so that ties, equal revisions and equal versions are common, and so are the
values that only damage or malice would write. Where a property needs values that storing leaves as they are, ask for
``storable=True``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from hypothesis import strategies as st

from assign_core.booking import Booking, BookingStatus, EmailState
from assign_core.last_result import EmailVariant, LastResult, Source, Strategy, Unreadable
from assign_core.policy import Policy
from assign_core.reasons import ReasonCode
from assign_memory import Cue
from assign_testing.given import Given, chosen
from assign_testing.house import NOON
from assign_testing.quotes import REASONS, cues

ODD_TEXTS: Final = ("", "a", "b", "\0", "\ud800", "\U0001f37d", "x" * 5_000, "'; drop table bookings --")
"""Texts at which a program may stumble."""
ODD_STATUSES: Final = ("waitlisted", "", "Pending", "\0")
"""Statuses that the core does not know."""
BEYOND: Final = 10**30
"""A number that no database column holds."""
_LARGEST: Final = 2**63 - 1

# A day from both ends of the calendar UTC can hold what any zone says; at the ends only UTC can.
_ANYWHERE: Final = st.datetimes(timezones=st.just(UTC)) | st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - the same
    timezones=st.sampled_from((timezone(timedelta(hours=-11)), timezone(timedelta(hours=5, minutes=45)))),
)
_COUNTS: Final = st.integers(0, 12) | st.sampled_from((0, 1, 2, BEYOND)) | st.integers(2**62, 2**70)
_STORABLE_COUNTS: Final = st.integers(0, 12) | st.integers(0, _LARGEST)
_VERSIONS: Final = st.sampled_from((0, 1, 2, -1, BEYOND)) | st.integers()
_STORABLE_VERSIONS: Final = st.integers(0, 2) | st.integers(-_LARGEST, _LARGEST)
_STORABLE_TEXTS: Final = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
_SURROGATES: Final = "".join(map(chr, (0xD800, 0xDBFF, 0xDC00, 0xDFFF)))
_LONGEST: Final = 1_000
"""Characters of a text that is put together; Hypothesis likes to print what it has drawn."""
# The pieces of reasons are here so that whoever cuts a text may hit the cause in it.
_TEXTS: Final = st.sampled_from(ODD_TEXTS) | st.one_of(
    st.text(st.characters(exclude_categories=[])),
    st.text(st.sampled_from(["\x00", "\x01", '"', "\\", "é", "💺", *_SURROGATES])),
    st.lists(st.sampled_from((*REASONS, "AbortError", "no_overlapping_x", " ", "x" * 90)), max_size=30).map("".join),
).flatmap(lambda text: st.integers(0, 50).map(lambda times: (text * times)[:_LONGEST]))


def moments(near: datetime = NOON) -> st.SearchStrategy[datetime]:
    """Aware times: often ``near`` or a second beside it, often within an hour of it, sometimes anywhere in the
    calendar and in another zone."""
    ties = st.sampled_from((near, near - timedelta(seconds=1), near + timedelta(seconds=1)))
    return st.one_of(ties, st.integers(-4000, 4000).map(lambda seconds: near + timedelta(seconds=seconds)), _ANYWHERE)


def texts(*, storable: bool = False) -> st.SearchStrategy[str]:
    """Texts of any kind, most of up to a thousand characters; ``storable``: short ones that every database takes."""
    return _STORABLE_TEXTS if storable else _TEXTS


def knobs(
    *, require_adjacency: Given[bool | None] = ..., max_tables: Given[int | None] = ..., storable: bool = False
) -> st.SearchStrategy[Strategy]:
    """The planner's knobs: :class:`~assign_core.last_result.Strategy`."""
    numbers = _STORABLE_COUNTS if storable else st.just(-1) | _COUNTS
    return st.builds(
        Strategy,
        require_adjacency=chosen(require_adjacency, st.sampled_from((None, False, True))),
        max_tables=chosen(max_tables, st.none() | numbers),
    )


def last_results(
    *,
    source: Given[Source] = ...,
    recorded_at: Given[datetime] = ...,
    success: Given[bool] = ...,
    reason: Given[str | None] = ...,
    reason_code: Given[ReasonCode | None] = ...,
    strategy: Given[Strategy | None] = ...,
    trigger: Given[str | None] = ...,
    alternates: Given[int | None] = ...,
    duration_ms: Given[int | None] = ...,
    attempt_id: Given[str | None] = ...,
    attempt: Given[int] = ...,
    revision: Given[int] = ...,
    email_sent: Given[bool] = ...,
    email_variant: Given[EmailVariant | None] = ...,
    held: Given[bool] = ...,
    capacity_version: Given[int | None] = ...,
    retry_after: Given[datetime | None] = ...,
    near: datetime = NOON,
    storable: bool = False,
) -> st.SearchStrategy[LastResult]:
    """Stored results.

    Args:
        near: where the times crowd.
        storable: only what a blob gives back unchanged: ``loads(dumps(result)) == result``.
    """
    counts = _STORABLE_COUNTS if storable else _COUNTS
    words = texts(storable=storable)
    return st.builds(
        LastResult,
        source=chosen(source, st.sampled_from(Source)),
        recorded_at=chosen(recorded_at, moments(near)),
        success=chosen(success, st.booleans()),
        reason=chosen(reason, st.none() | st.sampled_from(REASONS) | words),
        reason_code=chosen(reason_code, st.sampled_from((None, *ReasonCode))),
        strategy=chosen(strategy, st.none() | knobs(storable=storable)),
        trigger=chosen(trigger, st.none() | words),
        alternates=chosen(alternates, st.none() | counts),
        duration_ms=chosen(duration_ms, st.none() | counts),
        attempt_id=chosen(attempt_id, st.none() | words),
        attempt=chosen(attempt, counts),
        revision=chosen(revision, st.integers(0, 1) | counts),
        email_sent=chosen(email_sent, st.booleans()),
        email_variant=chosen(email_variant, st.sampled_from((None, *EmailVariant))),
        held=chosen(held, st.booleans()),
        capacity_version=chosen(capacity_version, st.none() | (_STORABLE_VERSIONS if storable else _VERSIONS)),
        retry_after=chosen(retry_after, st.none() | moments(near)),
    )


def unreadables() -> st.SearchStrategy[Unreadable]:
    """Stored values that nobody can read, as the core sees them."""
    return st.builds(Unreadable, problem=texts())


def bookings(
    *,
    id: Given[str] = ...,  # noqa: A002 - the attribute's name, as every other keyword here
    status: Given[str] = ...,
    start_at: Given[datetime | None] = ...,
    revision: Given[int] = ...,
    capacity_version: Given[int | None] = ...,
    email: Given[EmailState | None] = ...,
    near: datetime = NOON,
) -> st.SearchStrategy[Booking]:
    """Bookings as the policy sees them. Half of them are pending, since most rules are about those.

    Args:
        near: where the starts crowd.
    """
    statuses = st.just("pending") | st.sampled_from((*(status.value for status in BookingStatus), *ODD_STATUSES))
    return st.builds(
        Booking,
        id=chosen(id, st.sampled_from(("b", "7", "\ud800", "\U0001f37d", "x" * 5000))),
        status=chosen(status, statuses),
        start_at=chosen(start_at, st.none() | moments(near)),
        revision=chosen(revision, st.integers(0, 1) | _COUNTS),
        capacity_version=chosen(capacity_version, st.none() | _VERSIONS),
        email=chosen(email, st.sampled_from((None, *EmailState))),
    )


_SPANS: Final = st.timedeltas(timedelta(0), timedelta(hours=2)) | st.timedeltas(timedelta(0), timedelta(days=366))
_POSITIVE: Final = _SPANS.filter(bool)
_SHARES: Final = st.sampled_from((0.0, 0.2, 1.0)) | st.floats(0, 1)


@st.composite
def policies(
    draw: st.DrawFn,
    *,
    retries: Given[int] = ...,
    attempt_cap: Given[int] = ...,
    capacity_budget: Given[int] = ...,
    rejected_budget: Given[int] = ...,
    ambiguous_budget: Given[int] = ...,
    revalidation_share: Given[float] = ...,
    delays: Given[tuple[timedelta, ...]] = ...,
    jitter: Given[float] = ...,
    cutoff: Given[timedelta] = ...,
    dispatch_margin: Given[timedelta] = ...,
    freshness: Given[timedelta] = ...,
    clock_skew: Given[timedelta] = ...,
    revalidation_limit: Given[timedelta] = ...,
    wake_window: Given[timedelta] = ...,
    strategy: Given[Strategy] = ...,
    relax_after_timeout: Given[bool] = ...,
) -> Policy:
    """Settings that a host may mean, and some that it may only mean in jest: every setting of the *decision*.

    Deadlines, holds and grace, which only the flows look at, keep their defaults.
    """
    tried = draw(chosen(retries, st.integers(0, 5) | st.integers(0, 100)))
    budgets = st.integers(1, 5) | st.integers(1, 10**9)
    schedules = st.lists(_POSITIVE, min_size=1, max_size=5).map(lambda spans: tuple(sorted(spans)))
    return Policy(
        retries=tried,
        attempt_cap=draw(chosen(attempt_cap, st.integers(tried + 1, tried + 10) | st.integers(tried + 1, 1000))),
        capacity_budget=draw(chosen(capacity_budget, budgets)),
        rejected_budget=draw(chosen(rejected_budget, budgets)),
        ambiguous_budget=draw(chosen(ambiguous_budget, budgets)),
        revalidation_share=draw(chosen(revalidation_share, _SHARES)),
        delays=draw(chosen(delays, schedules)),
        jitter=draw(chosen(jitter, _SHARES)),
        cutoff=draw(chosen(cutoff, _SPANS)),
        dispatch_margin=draw(chosen(dispatch_margin, _SPANS)),
        freshness=draw(chosen(freshness, _SPANS)),
        clock_skew=draw(chosen(clock_skew, _SPANS)),
        revalidation_limit=draw(chosen(revalidation_limit, _POSITIVE)),
        wake_window=draw(chosen(wake_window, st.just(Policy().wake_window) | _SPANS)),
        strategy=draw(chosen(strategy, knobs())),
        relax_after_timeout=draw(chosen(relax_after_timeout, st.booleans())),
    )


def planner_scripts(
    *,
    max_size: int = 6,
    longest_delay: float = 60.0,
    near: datetime = NOON,
) -> st.SearchStrategy[list[Cue]]:
    """What a :class:`~assign_memory.ScriptedPlanner` does, call by call: the real search, a refusal, an exception.

    Args:
        max_size: of calls that are scripted; the calls after them are the real search.
        longest_delay: seconds that a call takes at most.
        near: where the times of hints crowd.
    """
    return st.lists(cues(longest_delay=longest_delay, near=near), max_size=max_size)
