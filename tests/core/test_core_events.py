"""The catalogue of telemetry: dashboards are built on these names and keys, so they are spelled out here again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_core import CATALOGUE, EventName, FailureClass, InvalidValue, ReasonCode, Severity
from assign_core.events import Event, JobResult, ReasonCategory, category_of, event
from assign_core.reasons import CLASS_OF, Classification

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)

QUOTE_KEYS: Final = (
    "planner_duration_ms planner_success planner_reason planner_reason_code planner_reason_category planner_strategy "
    "trigger attempt_index planner_error planner_internal"
)
SKIP_KEYS: Final = "inline_attempt_id reason reasonCode previousMaxAttempts nextMaxAttempts notBefore trigger"
SUMMARY_KEYS: Final = (
    "attemptsUsed maxAttempts result totalDurationMs trigger skippedInitialAttempt inlineSkipReason hardStopReason "
    "inline_attempt_id inline_reason inline_trigger"
)
ORDERED: Final = {
    "auto_assign.": (
        "quote started attempt attempt_error inline_skip_attempt inline_timeout_adjustment hard_stop cutoff_skipped "
        "exited_already_confirmed succeeded failed summary"
    ),
    "inline_auto_assign.": (
        "quote_result quote_error no_hold confirm_succeeded confirm_failed confirm_overlap timeout operation_aborted "
        "succeeded late_confirm"
    ),
}
OWN: Final = "attempt_lost unreadable_result capacity_change_missed email_error telemetry_dropped"


def test_the_names_are_the_ordered_ones_and_five_of_our_own() -> None:
    expected = {prefix + name for prefix, names in ORDERED.items() for name in names.split()}
    expected |= {f"auto_assign.{name}" for name in OWN.split()}
    assert {name.value for name in EventName} == expected


def test_every_event_has_a_row_and_every_row_a_meaning_of_its_own() -> None:
    assert set(CATALOGUE) == set(EventName)
    meanings = [spec.meaning for spec in CATALOGUE.values()]
    assert all(meanings)
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (EventName.QUOTE, QUOTE_KEYS),
        (EventName.INLINE_SKIP_ATTEMPT, SKIP_KEYS),
        (EventName.SUMMARY, SUMMARY_KEYS),
    ],
)
def test_the_ordered_context_keys_are_there_and_no_others(name: EventName, keys: str) -> None:
    assert sorted(CATALOGUE[name].keys) == sorted(keys.split())
    assert list(event(name, NOON, "b", None).context) == list(CATALOGUE[name].keys)


def test_no_row_names_a_key_twice_and_every_event_of_a_booking_says_what_triggered_it() -> None:
    for name, spec in CATALOGUE.items():
        assert len(set(spec.keys)) == len(spec.keys), name
    silent = {name for name, spec in CATALOGUE.items() if "trigger" not in spec.keys}
    assert silent == {EventName.ATTEMPT_LOST, EventName.EMAIL_ERROR, EventName.TELEMETRY_DROPPED}


def test_severities_are_the_five_that_a_store_admits() -> None:
    assert [severity.value for severity in Severity] == ["info", "notice", "warning", "error", "critical"]
    assert {spec.severity for spec in CATALOGUE.values()} <= set(Severity)


def test_a_summary_ends_in_one_of_the_ordered_results() -> None:
    ordered = {"succeeded", "cutoff", "already_confirmed", "exhausted", "error", "parked"}
    # A job that finds a cancelled booking has finished too; the order has no word for it.
    assert {result.value for result in JobResult} == ordered | {"not_actionable"}


@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_has_one_of_the_three_categories(code: ReasonCode) -> None:
    category = category_of(Classification(code, CLASS_OF[code]))
    expected = {
        FailureClass.PERMANENT: ReasonCategory.HARD,
        FailureClass.REJECTED: ReasonCategory.HARD,
        FailureClass.CAPACITY: ReasonCategory.HARD,
        FailureClass.CONTENTION: ReasonCategory.TRANSIENT,
        FailureClass.INFRASTRUCTURE: ReasonCategory.TRANSIENT,
        FailureClass.AMBIGUOUS: ReasonCategory.UNKNOWN,
    }
    assert category is expected[CLASS_OF[code]]
    assert [category.value for category in ReasonCategory] == ["hard", "transient", "unknown"]


def test_a_success_has_no_category() -> None:
    assert category_of(None) is None


@pytest.mark.parametrize("name", EventName)
def test_an_event_carries_every_key_of_its_row_and_refuses_any_other(name: EventName) -> None:
    spec = CATALOGUE[name]
    context: dict[str, Any] = dict.fromkeys(spec.keys, 1)
    made = event(name, NOON, "b", "a", **context)
    assert (made.name, made.severity, made.at, made.booking_id, made.attempt_id) == (
        name,
        spec.severity,
        NOON,
        "b",
        "a",
    )
    assert dict(made.context) == dict.fromkeys(spec.keys, 1)
    assert dict(event(name, NOON, None, None).context) == dict.fromkeys(spec.keys)
    with pytest.raises(InvalidValue, match=r"no context key \['guest_name'\]"):
        event(name, NOON, "b", "a", guest_name="A. Turing")


@given(st.sampled_from(EventName), st.dictionaries(st.text(max_size=8), st.integers(), max_size=3))
def test_only_keys_of_the_row_get_into_an_event(name: EventName, context: dict[str, Any]) -> None:
    taken = {"name", "at", "booking_id", "attempt_id", "severity"}
    context = {key: value for key, value in context.items() if key not in taken}
    if context.keys() <= set(CATALOGUE[name].keys):
        assert event(name, NOON, "b", None, **context).context.keys() == set(CATALOGUE[name].keys)
    else:
        with pytest.raises(InvalidValue):
            event(name, NOON, "b", None, **context)


def test_a_severity_can_be_raised_for_one_event() -> None:
    assert event(EventName.QUOTE, NOON, "b", None, Severity.CRITICAL).severity is Severity.CRITICAL


def test_what_was_emitted_and_the_catalogue_cannot_be_changed() -> None:
    made: Any = event(EventName.SUCCEEDED, NOON, "b", None, attempt=1)
    with pytest.raises(TypeError):
        made.context["attempt"] = 2
    catalogue: Any = CATALOGUE
    with pytest.raises(TypeError):
        catalogue[EventName.SUCCEEDED] = None
    assert isinstance(made, Event)
