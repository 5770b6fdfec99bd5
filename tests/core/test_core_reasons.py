"""Free text to reason code and failure class: every promised example, and what only looks like one."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assign_core.reasons import (
    CLASS_OF,
    LONGEST_REASON_READ,
    REASON_RULES,
    Classification,
    FailureClass,
    ReasonCode,
    ReasonRule,
    classify_reason,
    reason_of,
)

C, P, R = FailureClass.CAPACITY, FailureClass.PERMANENT, FailureClass.REJECTED
N, I, A = FailureClass.CONTENTION, FailureClass.INFRASTRUCTURE, FailureClass.AMBIGUOUS  # noqa: E741 - the classes' initials

EXCLUSION: Final = 'conflicting key value violates exclusion constraint "no_overlapping_table_assignments"'

# The examples that the core was ordered to get right, word by word.
PROMISED: Final[tuple[tuple[str | None, FailureClass, ReasonCode], ...]] = (
    ("No suitable tables available", C, ReasonCode.NO_TABLES_AVAILABLE),
    ("No tables available for requested window", C, ReasonCode.NO_TABLES_AVAILABLE),
    ("No capacity", C, ReasonCode.NO_CAPACITY),
    ("Insufficient filtered capacity", C, ReasonCode.FILTERED_CAPACITY),
    ("Unable to satisfy max tables", C, ReasonCode.MAX_TABLES),
    ("Insufficient global capacity", P, ReasonCode.PARTY_TOO_LARGE),
    ("Reservation would overrun lunch service (end 15:00).", P, ReasonCode.SERVICE_OVERRUN),
    ("BOOKING_NOT_FOUND", P, ReasonCode.BOOKING_NOT_FOUND),
    ("Merged assignments require movable tables", R, ReasonCode.TABLES_NOT_MOVABLE),
    ("Booking 9a40... locked to zone d10f..., cannot assign zone 7a07...", R, ReasonCode.ZONE_LOCKED),
    ("Table d1f3... is not adjacent to the selected set", R, ReasonCode.TABLES_NOT_ADJACENT),
    ("Hold conflicts prevented all candidates", N, ReasonCode.HOLD_CONFLICT),
    (EXCLUSION, N, ReasonCode.OVERLAP),
    ("allocations_no_overlap", N, ReasonCode.OVERLAP),
    ("AssignTablesRpcError: ... allocations_no_overlap", N, ReasonCode.OVERLAP),
    ("lock wait timeout exceeded", I, ReasonCode.LOCK_TIMEOUT),
    ("deadlock detected", I, ReasonCode.DEADLOCK),
    ("could not serialize access", I, ReasonCode.SERIALIZATION_FAILURE),
    ("Allocator v2 repository failure", I, ReasonCode.REPOSITORY_FAILURE),
    ("fetch failed", I, ReasonCode.NETWORK_FAILURE),
    ("HOLD_RATE_LIMIT", I, ReasonCode.RATE_LIMITED),
    ("AssignTablesRpcError: lock wait timeout exceeded", I, ReasonCode.LOCK_TIMEOUT),
    ("No table lock acquired: lock wait timeout", I, ReasonCode.LOCK_TIMEOUT),
    ("INLINE_TIMEOUT", A, ReasonCode.TIMEOUT),
    ("AbortError", A, ReasonCode.ABORTED),
    ("Evaluation limit reached", A, ReasonCode.EVALUATION_LIMIT),
    ("HoldNotFoundError", A, ReasonCode.HOLD_NOT_FOUND),
    ("AssignTablesRpcError", A, ReasonCode.UNKNOWN),
    ("", A, ReasonCode.UNKNOWN),
    ("   \n\t ", A, ReasonCode.UNKNOWN),
    (None, A, ReasonCode.UNKNOWN),
    ("The kitchen is on fire", A, ReasonCode.UNKNOWN),
)

# One text, at least, for every row of the table: a row without one could be lost without a sound.
MORE: Final[tuple[tuple[str, FailureClass, ReasonCode], ...]] = (
    ("ATTEMPT_LOST", A, ReasonCode.ATTEMPT_LOST),
    ("BOOKING_CHANGED", A, ReasonCode.BOOKING_CHANGED),
    ("JOB_TIMEOUT", A, ReasonCode.TIMEOUT),
    ("SQLSTATE 40P01", I, ReasonCode.DEADLOCK),
    ("40001", I, ReasonCode.SERIALIZATION_FAILURE),
    ("ERROR: 40001", I, ReasonCode.SERIALIZATION_FAILURE),
    ("rpc failed, code: '40001'", I, ReasonCode.SERIALIZATION_FAILURE),
    ("SQLSTATE[55P03]", I, ReasonCode.LOCK_TIMEOUT),
    ("SQLSTATE 23P01", N, ReasonCode.OVERLAP),
    ("(57014)", A, ReasonCode.TIMEOUT),
    ("connect ECONNREFUSED 127.0.0.1:5432", I, ReasonCode.NETWORK_FAILURE),
    (
        'duplicate key value violates unique constraint "bookings_idempotency_key" (SQLSTATE 23505)',
        A,
        ReasonCode.DUPLICATE_REQUEST,
    ),
    ("no capacity, said the server (SQLSTATE 57P01)", I, ReasonCode.NETWORK_FAILURE),
    ("no capacity on the disk (SQLSTATE 53100)", I, ReasonCode.DATABASE_ERROR),
    ("canceling statement due to lock timeout", I, ReasonCode.LOCK_TIMEOUT),
    ("no_overlapping_holds", N, ReasonCode.OVERLAP),
    (
        'duplicate key value violates unique constraint "booking_assignment_idempotency_pkey"',
        A,
        ReasonCode.DUPLICATE_REQUEST,
    ),
    ('duplicate key value violates unique constraint "bookings_pkey"', I, ReasonCode.DATABASE_ERROR),
    ('null value in column "table_id" violates not-null constraint', I, ReasonCode.DATABASE_ERROR),
    ("server closed the connection unexpectedly", I, ReasonCode.NETWORK_FAILURE),
    ("429 Too Many Requests", I, ReasonCode.RATE_LIMITED),
    ("Table 9 is immovable", R, ReasonCode.TABLES_NOT_MOVABLE),
    ("Booking 1 already has assignments in a different zone", R, ReasonCode.ZONE_LOCKED),
    ("Tables are non-adjacent", R, ReasonCode.TABLES_NOT_ADJACENT),
    ("The start is outside opening hours", P, ReasonCode.OUTSIDE_SERVICE),
    ("Booking not found", P, ReasonCode.BOOKING_NOT_FOUND),
    ("No suitable table combination", C, ReasonCode.NO_TABLES_AVAILABLE),
    ("Insufficient remaining capacity", C, ReasonCode.NO_CAPACITY),
    ("hold has expired", A, ReasonCode.HOLD_NOT_FOUND),
    ("canceling statement due to statement timeout", A, ReasonCode.TIMEOUT),
    ("CancelledError", A, ReasonCode.ABORTED),
    ("TimeoutError", A, ReasonCode.TIMEOUT),
    ("psycopg.OperationalError", I, ReasonCode.NETWORK_FAILURE),
    ("IntegrityError", I, ReasonCode.DATABASE_ERROR),
    # Further words of the same planners and servers.
    ("No available tables", C, ReasonCode.NO_TABLES_AVAILABLE),
    ("No adjacent tables available", C, ReasonCode.NO_TABLES_AVAILABLE),
    ("Not enough capacity", C, ReasonCode.NO_CAPACITY),
    ("too many connections", I, ReasonCode.NETWORK_FAILURE),
    ("FATAL: sorry, too many clients already", I, ReasonCode.NETWORK_FAILURE),
)


@pytest.mark.parametrize(("text", "failure_class", "code"), [*PROMISED, *MORE])
def test_a_reason_has_its_class_and_code(text: str | None, failure_class: FailureClass, code: ReasonCode) -> None:
    assert classify_reason(text) == Classification(code, failure_class)


def _deciding_row(text: str) -> int | None:
    """The table as it is written: every row is asked, in order."""
    for index, rule in enumerate(REASON_RULES):
        if re.search(rule.pattern, text if rule.kind == "code" else text.lower()):
            return index
    return None


def test_every_row_decides_at_least_one_example() -> None:
    decided = {_deciding_row(text) for text, _, _ in (*PROMISED, *MORE) if text}
    unused = [rule.pattern for index, rule in enumerate(REASON_RULES) if index not in decided]
    assert not unused


def test_codes_stand_before_causes_and_causes_before_wrappers() -> None:
    assert [kind for kind, _ in groupby(rule.kind for rule in REASON_RULES)] == ["code", "cause", "wrapper"]


def test_every_code_has_a_class_and_every_class_a_code() -> None:
    assert set(CLASS_OF) == set(ReasonCode)
    assert set(CLASS_OF.values()) == set(FailureClass)


@pytest.mark.parametrize("code", ReasonCode)
def test_the_stored_form_of_a_code_is_read_as_that_code(code: ReasonCode) -> None:
    assert classify_reason(code.value) == Classification(code, CLASS_OF[code])
    assert classify_reason(f"  {code.value}\n").code is code
    assert classify_reason(code) == Classification(code, CLASS_OF[code])


@pytest.mark.parametrize(
    ("text", "failure_class"),
    [
        ("No table lock acquired", I),
        ("no tables locked", A),
        ("No available table lock", A),
        ("No suitable table assignments to merge", A),
        ("No available tablet", A),
        ("No adjacent tables", A),
        ("Not enough global capacity planning", A),
        ("Knot enough capacity", A),
        ("too many connectionless sockets", A),
        ("Not too many connected tables", A),
        ("Cannot confirm booking 7: No table assignments exist. Booking must have at least one assignment", A),
        ("No tablecloth available", A),
        ("No tables", A),
        ("capacity", A),
        ("Piano capacity exceeded", A),
        ("Casino capacity", A),
        ("Insufficient privilege", A),
        ("not adjacently numbered", A),
        ("removable tables", A),
        ("The overrun was on Tuesday", A),
        ("MY_BOOKING_NOT_FOUND_HANDLER", A),
        ("BOOKING_NOT_FOUND_ERROR", A),
        ("PRE-INLINE_TIMEOUT", A),
        ("code 400017", A),
        ("booking 7-40001-9", A),
        ("hold conflicted feelings", A),
        ("Household conflict", A),
        ("blockade timeouts", A),
        ("Runtimeout", A),
        ("Time outside the plan", A),
        ("aborting", A),
        ("Assigned", A),
    ],
)
def test_a_near_miss_is_not_taken_for_what_it_resembles(text: str, failure_class: FailureClass) -> None:
    assert classify_reason(text).failure_class is failure_class


@pytest.mark.parametrize(
    "text",
    [
        'new row for relation "table_holds" violates check constraint "table_holds_window_check"',
        'new row for relation "allocations" violates check constraint "allocations_no_overlap_check"',
        'new row for relation "holds" violates check constraint "no_overlapping_self"',
        'insert on "allocations" violates foreign key constraint "table_assignments_overlap_fkey"',
        'hold conflict: new row for relation "table_holds" violates check constraint "table_holds_window_check"',
        'HoldConflictError: null value in column "expires_at" violates not-null constraint',
    ],
)
def test_a_broken_constraint_other_than_exclusion_is_never_contention(text: str) -> None:
    assert classify_reason(text).failure_class is FailureClass.INFRASTRUCTURE


@pytest.mark.parametrize("wrapper", ["AssignTablesRpcError", "AbortError", "HoldNotFoundError", "OperationalError"])
@pytest.mark.parametrize(
    ("cause", "failure_class"),
    [
        (EXCLUSION, N),
        ("allocations_no_overlap", N),
        ("deadlock detected", I),
        ("lock wait timeout exceeded", I),
        ("No suitable tables available", C),
        ("Insufficient global capacity", P),
        ("Table 3 is not adjacent to the selected set", R),
        ("HOLD_RATE_LIMIT", I),
    ],
)
def test_a_cause_beats_the_wrapper_around_it(wrapper: str, cause: str, failure_class: FailureClass) -> None:
    for text in (
        f"{wrapper}: {cause}",
        f"{cause} ({wrapper})",
        f"{wrapper}: {wrapper}: {cause}",
        f"{wrapper}\n{cause}",
    ):
        assert classify_reason(text).failure_class is failure_class


def test_a_code_beats_the_text_around_it() -> None:
    assert classify_reason("No suitable tables available [HOLD_RATE_LIMIT]").code is ReasonCode.RATE_LIMITED
    assert classify_reason("INLINE_TIMEOUT: Hold conflicts prevented all candidates").code is ReasonCode.TIMEOUT
    assert classify_reason("Insufficient global capacity (BOOKING_CHANGED)").code is ReasonCode.BOOKING_CHANGED


def test_a_code_is_written_in_its_own_case() -> None:
    assert classify_reason("inline_timeout").code is ReasonCode.UNKNOWN
    assert classify_reason("hold_rate_limit").code is ReasonCode.UNKNOWN


PROSE: Final = [
    text
    for text, _, _ in (*PROMISED, *MORE)
    if text and (row := _deciding_row(text)) is not None and REASON_RULES[row].kind != "code"
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_read_without_case(text: str) -> None:
    expected = classify_reason(text)
    assert classify_reason(text.upper()) == classify_reason(text.lower()) == classify_reason(text.title()) == expected


@given(
    st.sampled_from([text for text, _, _ in (*PROMISED, *MORE) if text]),
    st.text(" \t\r\n\u00a0\u2003", max_size=20),
    st.text(" \t\r\n\u00a0\u2003", max_size=20),
)
def test_white_space_around_a_reason_means_nothing(text: str, before: str, after: str) -> None:
    assert classify_reason(before + text + after) == classify_reason(text)


@pytest.mark.parametrize(
    "text",
    [
        "The search took 57014 ms",
        "Table 40001 is not adjacent to the selected set",
        "No suitable tables available for party 40001",
    ],
)
def test_a_number_in_prose_is_no_database_code(text: str) -> None:
    assert classify_reason(text).failure_class is not FailureClass.INFRASTRUCTURE
    assert classify_reason(text).code is not ReasonCode.TIMEOUT


@pytest.mark.parametrize(
    "text", ["Time budget overrun: the allocation service did not answer", "buffer overrun in planner service"]
)
def test_an_overrun_of_something_else_is_not_permanent(text: str) -> None:
    # The one class that ends a booking's search for good must not be reached by accident.
    assert classify_reason(text).failure_class is not FailureClass.PERMANENT


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec=None)) | st.text("noNO capitytblesuvhodcfr:_-'\"\n ", max_size=80))
@example("\ud800")
@example("\0" * 100)
@example("İ" * 50)
def test_every_text_has_a_classification(text: str) -> None:
    found = classify_reason(text)
    assert found.failure_class is CLASS_OF[found.code]
    assert classify_reason(text) == found


@given(st.none() | st.integers() | st.floats() | st.binary() | st.booleans() | st.lists(st.text()) | st.dates())
def test_what_is_no_text_is_ambiguous(value: object) -> None:
    assert classify_reason(value) == (ReasonCode.UNKNOWN, FailureClass.AMBIGUOUS)  # type: ignore[arg-type]  # a wrong type on purpose


PIECES: Final = [
    *(text for text, _, _ in (*PROMISED, *MORE) if text),
    *(
        "SQLSTATE ",
        "ERROR: ",
        "unique constraint ",
        "idempotency",
        "would overrun ",
        "service",
        "no ",
        "40001",
        "-",
        "_",
    ),
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=6).map("".join))
@example("EPIPE")
@example("\u212a")
def test_a_text_has_the_first_row_of_the_table_that_finds_it(text: str) -> None:
    """However the table is searched."""
    text = text.strip()
    if text not in {code.value for code in ReasonCode}:
        row = _deciding_row(text[:LONGEST_REASON_READ])
        assert classify_reason(text).code is (ReasonCode.UNKNOWN if row is None else REASON_RULES[row].code)


@pytest.mark.parametrize("rule", REASON_RULES, ids=lambda rule: rule.pattern)
def test_no_pattern_repeats_without_a_bound(rule: ReasonRule) -> None:
    # With a bound on every repeat, and on the text, no crafted text is slow.
    assert not re.search(r"(?<!\\)[*+]|\{\d*,\}", rule.pattern)


@pytest.mark.parametrize("rule", [rule for rule in REASON_RULES if rule.kind != "code"], ids=lambda rule: rule.pattern)
def test_prose_is_written_in_lower_case(rule: ReasonRule) -> None:
    # Else it would never be found.
    assert re.sub(r"\\.", "", rule.pattern) == re.sub(r"\\.", "", rule.pattern).lower()


@pytest.mark.parametrize("padding", ["at frame\n", "overrun ", " "], ids=["stack trace", "one word", "blanks"])
def test_only_the_beginning_of_a_text_is_read(padding: str) -> None:
    assert classify_reason("deadlock detected" + padding * LONGEST_REASON_READ).code is ReasonCode.DEADLOCK
    filled = (padding * LONGEST_REASON_READ)[:LONGEST_REASON_READ]
    assert classify_reason(filled + "deadlock detected").code is ReasonCode.UNKNOWN


# Exceptions as reasons.


class AssignTablesRpcError(Exception):
    """A carrier, as planners have them."""


class SilentError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class EmptyError(Exception):
    """A collection of problems that counts itself, and so is false when empty."""

    def __len__(self) -> int:
        return 0


def _raised(error: BaseException, cause: BaseException | None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001 - handed back as a value
        return caught


def test_an_exception_names_its_class_its_words_and_its_causes_innermost_last() -> None:
    inner = OSError("fetch failed")
    middle = _raised(AssignTablesRpcError("rpc"), inner)
    assert (
        reason_of(_raised(RuntimeError(), middle))
        == "RuntimeError <- AssignTablesRpcError: rpc <- OSError: fetch failed"
    )


@pytest.mark.parametrize(
    ("cause", "failure_class"),
    [
        (Exception("deadlock detected"), I),
        (Exception(EXCLUSION), N),
        (TimeoutError("lock wait timeout exceeded"), I),
        (ValueError("No suitable tables available"), C),
        (Exception("SQLSTATE 40001"), I),
        (TimeoutError(), A),
        (ConnectionResetError(), I),
        (Exception(), A),
    ],
)
def test_the_cause_of_an_exception_decides(cause: Exception, failure_class: FailureClass) -> None:
    for wrapper in (AssignTablesRpcError("allocation failed"), AssignTablesRpcError(), RuntimeError("x")):
        assert classify_reason(reason_of(_raised(wrapper, cause))).failure_class is failure_class


def test_what_was_being_handled_is_a_cause_unless_the_planner_says_that_it_is_not() -> None:
    def fail(*, hide: bool) -> None:
        try:
            raise ValueError("deadlock detected")
        except ValueError:
            if hide:
                raise AssignTablesRpcError("x") from None
            raise AssignTablesRpcError("x")  # noqa: B904 - the implicit context is what is tested

    with pytest.raises(AssignTablesRpcError) as implicit:
        fail(hide=False)
    with pytest.raises(AssignTablesRpcError) as hidden:
        fail(hide=True)
    assert classify_reason(reason_of(implicit.value)).code is ReasonCode.DEADLOCK
    assert reason_of(hidden.value) == "AssignTablesRpcError: x"


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("deadlock detected"), AssignTablesRpcError("x")
    first.__cause__, second.__cause__ = second, first
    assert reason_of(second) == "AssignTablesRpcError: x <- ValueError: deadlock detected"
    itself = ValueError("y")
    itself.__cause__ = itself
    assert reason_of(itself) == "ValueError: y"


def test_an_exception_without_words_is_its_class_and_its_cause_is_still_heard() -> None:
    assert reason_of(SilentError()) == "SilentError"
    assert (
        classify_reason(reason_of(_raised(SilentError(), OSError("fetch failed")))).code is ReasonCode.NETWORK_FAILURE
    )


def test_a_false_exception_is_a_cause_all_the_same() -> None:
    error = _raised(AssignTablesRpcError("x"), EmptyError("deadlock detected"))
    assert classify_reason(reason_of(error)).code is ReasonCode.DEADLOCK


def test_a_talkative_wrapper_does_not_drown_its_cause() -> None:
    # Wrappers like to quote the request that failed; the cause must still be within what is read and stored.
    error = _raised(AssignTablesRpcError("request was " + "{...} " * 2000), Exception("deadlock detected"))
    assert classify_reason(reason_of(error)).code is ReasonCode.DEADLOCK


def test_the_members_of_an_exception_group_are_causes() -> None:
    # Task groups of asyncio and anyio hand over every failure inside one.
    error = ExceptionGroup("unhandled errors in a TaskGroup", [Exception("deadlock detected")])
    assert classify_reason(reason_of(error)).code is ReasonCode.DEADLOCK


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=6))
def test_every_chain_of_exceptions_has_a_reason_and_a_class(words: list[str]) -> None:
    error: Exception | None = None
    for word in words:
        link = AssignTablesRpcError(word)
        link.__cause__ = error
        error = link
    assert error is not None
    assert classify_reason(reason_of(error)).code in ReasonCode
