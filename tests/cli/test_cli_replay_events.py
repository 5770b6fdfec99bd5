"""``assign-core replay`` of an exported ``observability_events``: small histories, reckoned by hand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from assign_cli.errors import BadInput
from assign_cli.recordings import Recordings
from assign_core import ReasonCode, Source

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
CAPACITY = "No suitable tables available"
Row = dict[str, Any]
Write = Callable[..., Path]


def said(name: str, after: float, *, booking: str | None = "a", attempt: str | None = None, **context: object) -> Row:
    """A row of the table; ``after`` is in seconds past noon."""
    return {
        "id": 1,
        "name": name,
        "at": (NOON + timedelta(seconds=after)).isoformat(),
        "severity": "info",
        "booking_id": booking,
        "attempt_id": attempt,
        "context": context,
    }


def quote(after: float, seconds: float, reason: str | None = None, **rest: Any) -> Row:
    return said(
        "auto_assign.quote",
        after,
        planner_duration_ms=seconds * 1000,
        planner_success=reason is None,
        planner_reason=reason,
        **rest,
    )


INLINE_FAILED = [
    quote(2, 2, CAPACITY, attempt="i1", attempt_index=0, trigger="creation"),
    said("inline_auto_assign.quote_result", 2, attempt="i1", success=False, durationMs=2000, reason=CAPACITY),
    said("inline_auto_assign.no_hold", 2, attempt="i1", reason=CAPACITY),
]
STORY = [
    *INLINE_FAILED,
    # A job that knows nothing of it: searches at 12:00:10 and 12:00:30, in vain, and at 12:01:00 with success.
    quote(20, 10, CAPACITY, attempt="j1", attempt_index=1, trigger="queue"),
    quote(50, 20, CAPACITY, attempt="j2", attempt_index=2, trigger="queue"),
    quote(66, 6, attempt="j3", attempt_index=3, trigger="queue"),
    said("auto_assign.succeeded", 66, attempt="j3", tables="t1"),
    # What else a host's table holds is not looked at.
    said("web.request", 1, booking=None, path="/"),
    said("auto_assign.summary", 67, result="succeeded"),
]


def as_array(rows: Sequence[Row]) -> str:
    return json.dumps(rows, indent=1)


def as_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({**row, "context": json.dumps(row["context"])} for row in rows)
    return text.getvalue()


FORMS = {"array": as_array, "lines": as_lines, "csv": as_csv}


def read(*rows: Row) -> Recordings:
    recordings = Recordings()
    recordings.add_file("e.json", as_array(rows).encode())
    return recordings


def attempts(*rows: Row) -> list[tuple[object, ...]]:
    """Source, success, reason, milliseconds and calls of each attempt."""
    history = read(*rows).finished()
    assert not history.malformed
    return [(row.source, row.success, row.reason, row.duration_ms, row.calls) for row in history.attempts]


@pytest.mark.parametrize("form", FORMS)
def test_a_story_is_told_attempt_by_attempt(ask_json: Callable[..., Any], write: Write, form: str) -> None:
    path, policy = write("e", FORMS[form](STORY)), write("p.json", {"jitter": 0})
    found = ask_json("replay", path, "--policy", policy)
    # The inline finding is fresh until 12:05:02. The second search that it puts off is the third, and that the fourth:
    # of the job's three calls one is still to be made, and it is the success, from 12:01:00 to 12:05:02.
    assert [
        (each["source"], each["action"], each["effect"], each["delay_seconds"], each["rules"])
        for each in found["attempts"]
    ] == [
        ("inline", "attempt", "made", None, ["no_usable_evidence"]),
        ("job", "wait", "saved", None, ["capacity_fresh"]),
        ("job", "wait", "saved", None, ["capacity_fresh"]),
        ("job", "wait", "delayed", 242.0, ["capacity_fresh"]),
    ]
    summary = found["summary"]
    assert (summary["planner_calls_recorded"], summary["planner_calls_saved"]) == (4, 2)
    assert (summary["planner_seconds_recorded"], summary["planner_seconds_saved"]) == (38.0, 30.0)
    assert summary["by_source"]["job"]["recorded"] == 3
    assert summary["by_source"]["inline"]["saved"] == 0
    assert (summary["successes_lost"], summary["successes_delayed"], summary["longest_delay_seconds"]) == (0, 1, 242.0)


def test_tables_say_it_too(ask: Callable[..., Result], write: Write) -> None:
    result = ask("replay", write("e.json", as_array(STORY)))
    assert (result.exit_code, result.stderr) == (0, "")
    words = " ".join(result.stdout.split())
    assert "3 recorded attempts of jobs, 1 inline attempts, 1 booking." in words
    assert "of inline attempts 1 1 0 0" in words
    assert "of jobs 3 1 1 2" in words
    assert "row 6" in words


@given(st.permutations(STORY))
def test_rows_may_come_in_any_order(rows: list[Row]) -> None:
    assert attempts(*rows) == attempts(*STORY)


@given(st.integers(0, len(STORY)))
def test_an_export_may_be_cut_anywhere(place: int) -> None:
    recordings = Recordings()
    recordings.add_file("1.json", as_array(STORY[:place]).encode())
    recordings.add_file("2.jsonl", as_lines(STORY[place:]).encode() or b"[]")
    assert [(row.source, row.success, row.reason) for row in recordings.finished().attempts] == [
        each[:3] for each in attempts(*STORY)
    ]


class TestAttempts:
    """What the events of one attempt say together."""

    def test_a_hold_whose_confirm_is_refused_is_a_failure(self) -> None:
        held = quote(2, 2, attempt="x")
        overlap = said("inline_auto_assign.confirm_overlap", 2.1, attempt="x", reason="taken", reasonCode="overlap")
        (row,) = read(held, overlap).finished().attempts
        assert (row.success, row.reason, row.reason_code) == (False, "taken", ReasonCode.OVERLAP)
        job = said("auto_assign.attempt_error", 2.1, attempt="x", stage="confirm", reason="zone is locked")
        assert attempts(held, job) == [(Source.JOB, False, "zone is locked", 2000, 1)]

    def test_a_second_search_after_a_refused_plan_is_a_second_call_of_the_same_attempt(self) -> None:
        rows = [
            quote(2, 2, attempt="x"),
            said("auto_assign.attempt_error", 2.1, attempt="x", stage="confirm", reason="zone is locked"),
            quote(3, 0.5, attempt="x"),
        ]
        assert attempts(*rows) == [(Source.JOB, True, None, 2500, 2)]
        assert attempts(*rows[:2], quote(3, 0.5, CAPACITY, attempt="x")) == [(Source.JOB, False, CAPACITY, 2500, 2)]

    def test_a_deadline_that_ended_the_search_is_a_call_of_unknown_outcome(self) -> None:
        timeout = said("inline_auto_assign.timeout", 2, attempt="x", deadlineMs=1800.0, handedOver=False)
        assert attempts(timeout) == [(Source.INLINE, False, "INLINE_TIMEOUT", 1800, 1)]
        late = said("inline_auto_assign.late_confirm", 3, attempt="x", stage="confirm")
        assert attempts(quote(1, 1, attempt="x"), timeout) == [(Source.INLINE, False, "INLINE_TIMEOUT", 1000, 1)]
        assert attempts(quote(1, 1, attempt="x"), timeout, late) == [(Source.INLINE, True, None, 1000, 1)]

    def test_a_search_that_was_handed_over_ends_with_its_own_answer(self) -> None:
        timeout = said("inline_auto_assign.timeout", 2, attempt="x", deadlineMs=1800.0, handedOver=True)
        assert attempts(timeout, quote(30, 29.8, attempt="x")) == [(Source.INLINE, True, None, 29800, 1)]
        assert attempts(timeout) == []

    def test_a_cancelled_search_counts_and_a_failed_read_does_not(self) -> None:
        aborted = said("inline_auto_assign.operation_aborted", 2, attempt="x", error="CancelledError")
        assert attempts(aborted) == [(Source.INLINE, False, "AbortError: CancelledError", 0, 1)]
        assert attempts(said("auto_assign.attempt_error", 2, attempt="x", stage="acquire", reason="gone")) == []
        began = said("auto_assign.attempt", 1, attempt="x", attempt_index=1)
        ended = said("auto_assign.attempt_error", 9, attempt="x", stage="quote", reason="JOB_TIMEOUT")
        assert attempts(began, ended) == [(Source.JOB, False, "JOB_TIMEOUT", 8000, 1)]

    def test_a_modification_is_another_booking(self, ask_json: Callable[..., Any], write: Write) -> None:
        rows = [*INLINE_FAILED, quote(20, 2, attempt="i2", attempt_index=0, trigger="modification")]
        (_, second) = ask_json("replay", write("e.json", as_array(rows)))["attempts"]
        assert (second["effect"], second["evidence"]) == ("made", "absent")


class TestOtherHosts:
    """A table of a system that has less to say."""

    def bare(self, after: float, **context: object) -> Row:
        at = (NOON + timedelta(seconds=after)).isoformat()
        return {"event_type": "auto_assign.quote", "created_at": at, "booking_id": 7, "context": context}

    def test_a_reason_and_a_duration_are_enough(self, ask_json: Callable[..., Any], write: Write) -> None:
        rows = [
            self.bare(2, planner_reason=CAPACITY, planner_duration_ms=2000),
            self.bare(20, planner_reason=CAPACITY, planner_duration_ms=9000),
            self.bare(60, planner_reason=None, planner_duration_ms=6000),
        ]
        assert attempts(*rows) == [
            (Source.JOB, False, CAPACITY, 2000, 1),
            (Source.JOB, False, CAPACITY, 9000, 1),
            (Source.JOB, True, None, 6000, 1),
        ]
        summary = ask_json("replay", write("e.json", as_lines(rows)))["summary"]
        assert (summary["bookings"], summary["planner_calls_saved"], summary["successes_delayed"]) == (1, 1, 1)

    def test_without_ids_an_event_belongs_to_its_bookings_last_call(self) -> None:
        rows = [
            quote(2, 2),
            said("inline_auto_assign.quote_result", 2, success=True, durationMs=2000),
            said("inline_auto_assign.confirm_overlap", 2.1, reason="taken"),
            quote(20, 6),
            said("auto_assign.succeeded", 21),
            quote(3, 1, CAPACITY, booking="b"),
        ]
        assert sorted(attempts(*rows), key=str) == [
            (Source.INLINE, False, "taken", 2000, 1),
            (Source.JOB, False, CAPACITY, 1000, 1),
            (Source.JOB, True, None, 6000, 1),
        ]

    def test_inline_answers_alone_are_calls_too(self) -> None:
        rows = [said("inline_auto_assign.quote_result", 2, attempt="x", success=False, durationMs=900, reason=CAPACITY)]
        assert attempts(*rows) == [(Source.INLINE, False, CAPACITY, 900, 1)]

    def test_a_code_of_the_hosts_own_is_read_as_its_words(self) -> None:
        (row,) = read(said("auto_assign.quote", 2, planner_reason_code="NO_TABLES")).finished().attempts
        assert (row.success, row.reason, row.reason_code) == (False, "NO_TABLES", None)

    def test_a_call_of_unknown_length_is_said_to_be_one(
        self, ask: Callable[..., Result], ask_json: Callable[..., Any], write: Write
    ) -> None:
        path = write("e.json", as_array([self.bare(2, planner_reason=CAPACITY)]))
        assert ask_json("replay", path)["summary"]["attempts_unmeasured"] == 1
        assert "1 attempts do not say how long" in " ".join(ask("replay", path).stdout.split())


GOOD = quote(2, 2, CAPACITY)
DAMAGED = {
    "no zone": ({**GOOD, "at": "2026-03-14T12:00:00"}, "at is '2026-03-14T12:00:00', without a time zone"),
    "no time": ({**GOOD, "at": None}, "at is null"),
    "no booking": ({**GOOD, "booking_id": None}, "booking_id is empty"),
    "a booking that is no name": ({**GOOD, "booking_id": [1]}, "booking_id is [1]"),
    "no context": ({**GOOD, "context": None}, "context is null; expected a JSON object"),
    "a context that is no object": ({**GOOD, "context": [1]}, "context is [1]; expected a JSON object"),
    "a context that is no JSON": ({**GOOD, "context": "{oops"}, "context is '{oops', which is not JSON"),
    "NaN": ({**GOOD, "context": '{"planner_duration_ms": NaN}'}, "which is not JSON: it says NaN"),
    "an empty context": ({**GOOD, "context": {}}, "neither whether the planner found tables nor why not"),
    "a duration in words": (said("auto_assign.quote", 1, planner_duration_ms="9"), "'planner_duration_ms' is '9'"),
    "a negative duration": (said("auto_assign.quote", 1, planner_duration_ms=-1), "'planner_duration_ms' is -1"),
    "an endless duration": (said("auto_assign.quote", 1, planner_duration_ms=1e300), "'planner_duration_ms' is 1e+300"),
    "success in words": (said("auto_assign.quote", 1, planner_success="yes"), "'planner_success' is 'yes'"),
    "a reason that is no text": (said("auto_assign.quote", 1, planner_reason={}), "'planner_reason' is {}"),
    "an attempt that is no number": (said("auto_assign.quote", 1, attempt_index=0.5), "'attempt_index' is 0.5"),
    "no object": (7, "the row is 7; expected a JSON object"),
    "no name": ({"at": "x", "context": {}}, "there is no column 'name' or 'event' or 'event_type'"),
}


@pytest.mark.parametrize(("row", "problem"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_row_is_named_and_nothing_is_computed(
    ask: Callable[..., Result], write: Write, row: Any, problem: str
) -> None:
    array = write("e.json", as_array([GOOD, row]))
    lines = write("e.jsonl", as_lines([GOOD, row]))
    for path, place in ((array, f"{array}: row 2: "), (lines, f"{lines}:2: ")):
        for option in ([], ["--json"]):
            result = ask("replay", path, *option)
            assert (result.exit_code, result.stdout) == (1, "")
            first, last = result.stderr.splitlines()
            assert first.startswith(place)
            assert problem in first
            assert last.startswith("assign-core: 1 malformed row, so nothing was computed")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{oops", "the line is not JSON: Expecting property name"),
        (b"{\xff", "the line is not UTF-8: byte 0xff at 1"),
        ("{" * 100_000, "the line is not JSON"),
    ],
)
def test_a_line_that_is_no_json_is_named(
    ask: Callable[..., Result], write: Write, line: str | bytes, problem: str
) -> None:
    damaged = line if isinstance(line, bytes) else line.encode()
    path = write("e.jsonl", as_lines([GOOD]).encode() + b"\n" + damaged + b"\n" + as_lines([GOOD]).encode())
    result = ask("replay", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0].startswith(f"{path}:3: {problem}")


def test_a_row_of_an_export_in_csv_is_named_by_its_line(ask: Callable[..., Result], write: Write) -> None:
    head = "event,created_at,booking_id,context\n"
    good = 'auto_assign.quote,2026-03-14 12:00:00.25+00,a,"{""planner_reason"": null}"\n'
    result = ask("replay", write("e.csv", head + good))
    assert result.exit_code == 0, result.output
    path = write("f.csv", head + good + 'auto_assign.quote,yesterday,,"{"\n' + good + "x\n")
    result = ask("replay", path)
    assert (result.exit_code, result.stdout) == (1, "")
    first, second, _ = result.stderr.splitlines()
    assert first.startswith(f"{path}:3: context is '{{', which is not JSON")
    assert "at is 'yesterday'" in first
    assert second == f"{path}:5: the row has 1 fields, the header 4"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[1,", "is not JSON: Expecting value at line 1 column 4"),
        (b'["\xff"]', "is not UTF-8: byte 0xff at 2"),
        ("[" * 100_000, "is not JSON: nested too deeply"),
        ("name,context\n", "there is no column 'at' or 'created_at'"),
        ("at,context\n", "there is no column 'name' or 'event'"),
        ("name,at,context,at\n", "column 'at' stands there twice"),
    ],
)
def test_a_file_that_is_no_export_is_bad_input(
    refusal: Callable[..., str], write: Write, content: str | bytes, named: str
) -> None:
    assert named in refusal("replay", write("e", content))


def test_an_export_without_rows_holds_nothing(ask: Callable[..., Result], write: Write) -> None:
    result = ask("replay", write("e.json", "[]"), write("e.csv", "name,at,context\n"))
    assert (result.exit_code, result.stdout.split(":")[0]) == (0, "Nothing to replay")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "no history was named; pass a FILE or --dsn"),
        (("e.json", "--since", "2026-03-14T12:00:00Z"), "--since belongs to --dsn"),
        (("e.json", "--schema", "x"), "--schema belongs to --dsn"),
        (("--since", "yesterday", "--dsn", "postgresql://x"), "--since is 'yesterday'"),
        (("e.json", "--dsn", "postgresql://x"), "--dsn and 'e.json' cannot be meant together"),
        (("--runs-are-resets", "--dsn", "postgresql://x"), "--dsn and --runs-are-resets cannot be meant together"),
    ],
)
def test_options_that_cannot_be_meant_are_bad_input(
    refusal: Callable[..., str], arguments: Sequence[str], named: str
) -> None:
    assert named in refusal("replay", *arguments)


@given(st.binary(max_size=200).map(lambda tail: b"[" + tail) | st.binary(max_size=200).map(lambda tail: b"{" + tail))
def test_whatever_a_file_holds_is_read_or_refused(content: bytes) -> None:
    recordings = Recordings()
    try:
        recordings.add_file("e", content)
    except BadInput:
        return
    recordings.finished()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("planner_success", "planner_reason", "planner_duration_ms", "attempt_index", "planner_reason_code", "trigger")
NAMES = ("auto_assign.quote", "auto_assign.attempt_error", "inline_auto_assign.timeout", "auto_assign.succeeded")


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(NAMES),
                "at": st.just("2026-03-14T12:00:00Z") | JSON,
                "context": st.dictionaries(st.sampled_from(KEYS), JSON) | JSON,
            },
            optional={"booking_id": st.just("a") | JSON, "attempt_id": JSON},
        ),
        max_size=4,
    )
)
def test_whatever_rows_hold_they_are_read_or_named(rows: list[Row]) -> None:
    recordings = read(*rows)
    assert len(recordings.events) + len(recordings.malformed) == len(rows)
    recordings.finished()
