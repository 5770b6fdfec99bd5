"""The laws of the two directions: what is written is read back, fits, and stays what it was."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assign_core.last_result import EmailVariant, LastResult, Source, Strategy
from assign_core.reasons import FailureClass, ReasonCode
from assign_testing import last_results
from assign_wire import JSON, KEYS, MAX_BYTES, VERSION, dumps, loads

AT = datetime(2025, 11, 15, 0, 40, 13, 242000, tzinfo=UTC)
LARGEST = 2**63 - 1

SURROGATES = "".join(map(chr, (0xD800, 0xDBFF, 0xDC00, 0xDFFF)))
# Pieces that the table of reasons knows, so that a cut can hit the cause.
words = st.sampled_from(
    ["AbortError", "deadlock detected", "no_overlapping_x", "No capacity", "timeout", " ", "x" * 90]
)
wild_texts = st.none() | st.one_of(
    st.text(st.characters(exclude_categories=[])),
    st.text(st.sampled_from(["\x00", "\x01", '"', "\\", "é", "💺", *SURROGATES])),
    st.lists(words, max_size=30).map("".join),
).flatmap(lambda text: st.integers(0, 200).map(lambda times: text * times))

storable_results = last_results(storable=True)
any_results = last_results(reason=wild_texts, trigger=wild_texts, attempt_id=wild_texts)
cut_results = last_results(storable=True, reason=wild_texts, trigger=wild_texts, attempt_id=wild_texts)


def compact(blob: object) -> int:
    return len(json.dumps(blob, ensure_ascii=False, separators=(",", ":")).encode())


def as_jsonb(blob: object) -> int:
    """``jsonb``'s text form has a space after every comma and colon."""
    return len(json.dumps(blob, ensure_ascii=False).encode())


def read(value: object) -> LastResult:
    result = loads(value)
    assert isinstance(result, LastResult), result
    return result


@settings(deadline=None)
@given(storable_results)
def test_what_is_written_is_read_back(result: LastResult) -> None:
    assert loads(dumps(result)) == result


@settings(deadline=None)
@given(storable_results)
def test_a_blob_survives_json_text_and_bytes(result: LastResult) -> None:
    text = json.dumps(dumps(result))
    assert loads(text) == result
    assert loads(text.encode()) == result


@settings(deadline=None)
@given(any_results)
def test_what_is_stored_is_stable(result: LastResult) -> None:
    blob = dumps(result)
    assert dumps(read(blob)) == blob


@settings(deadline=None)
@given(any_results)
def test_every_blob_fits_and_is_storable(result: LastResult) -> None:
    blob = dumps(result)
    assert compact(blob) <= as_jsonb(blob) <= MAX_BYTES == 1024
    text = json.dumps(blob, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in text
    assert not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


@settings(deadline=None)
@given(any_results)
def test_lesson_12_storing_never_changes_why_an_attempt_failed(result: LastResult) -> None:
    assert read(dumps(result)).classification == result.classification


@settings(deadline=None)
@given(cut_results)
def test_cleaning_and_cutting_touch_nothing_but_texts(result: LastResult) -> None:
    stored = read(dumps(result))
    texts = {
        "reason": result.reason,
        "reason_code": result.reason_code,
        "trigger": result.trigger,
        "attempt_id": result.attempt_id,
    }
    assert replace(stored, **texts) == result  # type: ignore[arg-type]  # the values are the result's own


def test_lesson_12_the_cause_behind_a_long_wrapper_is_kept_as_a_code() -> None:
    """The reason is cut before the cause, and the wrapper alone would say something else."""
    reason = "AbortError: " + "at frame " * 200 + 'violates exclusion constraint "no_overlapping_table_assignments"'
    result = LastResult(source=Source.JOB, recorded_at=AT, success=False, reason=reason, attempt=1)
    assert result.failure_class is FailureClass.CONTENTION
    stored = read(dumps(result))
    assert stored.reason is not None
    assert "overlap" not in stored.reason
    assert stored.reason_code is ReasonCode.OVERLAP
    assert stored.failure_class is FailureClass.CONTENTION


def test_a_typical_blob_to_the_letter() -> None:
    result = LastResult(
        source=Source.INLINE,
        recorded_at=AT,
        success=False,
        reason="Hold conflicts prevented all candidates",
        reason_code=ReasonCode.HOLD_CONFLICT,
        strategy=Strategy(require_adjacency=True, max_tables=3),
        trigger="creation",
        alternates=2,
        duration_ms=12005,
        attempt_id="00ada6f5-b46b-4f67-9e6d-48b589b24d59",
        capacity_version=4711,
        retry_after=AT + timedelta(seconds=90),
    )
    blob = dumps(result)
    assert blob == {
        "v": 1,
        "source": "inline",
        "lastAttemptAt": "2025-11-15T00:40:13.242000Z",
        "success": False,
        "reason": "Hold conflicts prevented all candidates",
        "reasonCode": "hold_conflict",
        "strategy": {"requireAdjacency": True, "maxTables": 3},
        "trigger": "creation",
        "alternates": 2,
        "durationMs": 12005,
        "attemptId": "00ada6f5-b46b-4f67-9e6d-48b589b24d59",
        "attempt": 0,
        "emailSent": False,
        "capacityVersion": 4711,
        "retryAfter": "2025-11-15T00:41:43.242000Z",
    }
    del blob["retryAfter"]  # which few failures have
    assert compact(blob) < 400


@pytest.mark.parametrize("source", list(Source))
def test_the_smallest_blob_has_the_keys_that_readers_rely_on(source: Source) -> None:
    blob = dumps(LastResult(source=source, recorded_at=AT.replace(microsecond=0), success=True))
    assert blob == {
        "v": VERSION,
        "source": source.value,
        "lastAttemptAt": "2025-11-15T00:40:13Z",
        "success": True,
        "attempt": 0,
        "emailSent": False,
    }


def test_a_blob_is_made_of_what_json_has_and_nothing_of_ours() -> None:
    blob = dumps(
        LastResult(
            source=Source.JOB,
            recorded_at=AT,
            success=True,
            reason_code=ReasonCode.TIMEOUT,
            strategy=Strategy(),
            email_sent=True,
            email_variant=EmailVariant.MODIFIED,
            held=True,
            revision=2,
        )
    )
    assert {key: type(value) for key, value in blob.items()} == {
        "v": int,
        "source": str,
        "lastAttemptAt": str,
        "success": bool,
        "reasonCode": str,
        "strategy": dict,
        "attempt": int,
        "emailSent": bool,
        "emailVariant": str,
        "held": bool,
        "revision": int,
    }


def test_every_dump_is_a_new_dict() -> None:
    result = LastResult(source=Source.JOB, recorded_at=AT, success=True, strategy=Strategy(max_tables=2))
    first, second = dumps(result), dumps(result)
    first.clear()
    assert second["source"] == "job"


def test_no_strategy_and_a_strategy_without_knobs_are_told_apart() -> None:
    bare = LastResult(source=Source.JOB, recorded_at=AT, success=True)
    assert "strategy" not in dumps(bare)
    with_default = replace(bare, strategy=Strategy())
    assert dumps(with_default)["strategy"] == {}
    assert loads(dumps(with_default)) == with_default != bare


def test_empty_texts_are_kept() -> None:
    result = LastResult(source=Source.JOB, recorded_at=AT, success=False, reason="", trigger="", attempt_id="")
    assert loads(dumps(result)) == result


def test_every_attribute_has_a_key() -> None:
    assert list(KEYS) == [field.name for field in fields(LastResult)]
    assert len(set(KEYS.values()) | {"v"}) == len(KEYS) + 1


def test_lesson_05_an_email_that_was_accepted_is_still_accepted_after_the_wire() -> None:
    result = LastResult(
        source=Source.INLINE, recorded_at=AT, success=True, email_sent=True, email_variant=EmailVariant.STANDARD
    )
    blob = dumps(result)
    assert (blob["emailSent"], blob["emailVariant"]) == (True, "standard")
    stored = read(json.dumps(blob))
    assert stored.email_sent is True
    assert stored.email_variant is EmailVariant.STANDARD


@pytest.mark.parametrize("version", [-(2**63), -1, 0, 2**53 + 1, LARGEST])
def test_lesson_18_a_capacity_version_is_kept_to_the_last_digit(version: int) -> None:
    """What counts as unchanged is decided by equality, so no digit may be lost."""
    result = LastResult(source=Source.JOB, recorded_at=AT, success=False, capacity_version=version)
    assert read(json.dumps(dumps(result))).capacity_version == version


# Cutting and cleaning, by example.


def failure(**texts: str) -> LastResult:
    # A code, so that none has to be added to the blob.
    return replace(
        LastResult(source=Source.JOB, recorded_at=AT, success=False, reason_code=ReasonCode.TIMEOUT, attempt=1),
        **texts,  # type: ignore[arg-type]  # names of text attributes
    )


@pytest.mark.parametrize(
    ("character", "width"), [("x", 1), ('"', 2), ("\\", 2), ("\n", 2), ("\x01", 6), ("é", 2), ("…", 3), ("💺", 4)]
)
def test_a_long_reason_is_cut_to_the_last_character_that_fits(character: str, width: int) -> None:
    blob = dumps(failure(reason=character * 5000))
    reason = blob["reason"]
    assert isinstance(reason, str)
    kept = reason.removesuffix("…") if character != "…" else reason[:-1]
    assert reason.endswith("…")
    assert kept == character * len(kept)
    # Not one character more would have fitted.
    assert MAX_BYTES - width < as_jsonb(blob) <= MAX_BYTES


@pytest.mark.parametrize("length", range(840, 900))
def test_a_reason_is_cut_only_when_it_does_not_fit(length: int) -> None:
    result = failure(reason="x" * length)
    uncut = as_jsonb(dumps(failure(reason=""))) + length
    reason = dumps(result)["reason"]
    assert (reason == "x" * length) == (uncut <= MAX_BYTES)


def test_the_reason_is_cut_before_the_trigger_and_the_trigger_before_the_attempt_id() -> None:
    def cut(**texts: str) -> set[str]:
        blob = dumps(failure(**texts))
        pairs = {"reason": "reason", "trigger": "trigger", "attempt_id": "attemptId"}
        return {name for name, text in texts.items() if blob[pairs[name]] != text}

    assert cut(reason="r" * 600, trigger="t" * 150, attempt_id="a" * 150) == {"reason"}
    assert cut(reason="r" * 600, trigger="t" * 2000, attempt_id="a" * 150) == {"reason", "trigger"}
    assert cut(trigger="t" * 600, attempt_id="a" * 500) == {"trigger"}
    assert cut(reason="r" * 600, trigger="t" * 600, attempt_id="a" * 2000) == {"reason", "trigger", "attempt_id"}
    assert cut(reason="r", trigger="t", attempt_id="a" * 2000) == {"attempt_id"}
    blob = dumps(failure(reason="r" * 600, trigger="t" * 2000, attempt_id="a" * 150))
    assert blob["reason"] == "…"


LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
SMALLEST_RESULT = LastResult(source=Source.JOB, recorded_at=AT, success=True)
LARGEST_RESULT = LastResult(
    source=Source.INLINE,
    recorded_at=LATEST,
    success=False,
    reason_code=max(ReasonCode, key=len),
    strategy=Strategy(require_adjacency=False, max_tables=LARGEST),
    alternates=LARGEST,
    duration_ms=LARGEST,
    attempt=LARGEST,
    revision=LARGEST,
    email_variant=EmailVariant.STANDARD,
    held=True,
    capacity_version=-(2**63),
    retry_after=LATEST,
)


@pytest.mark.parametrize("code", [None, *ReasonCode])
def test_everything_at_its_largest_still_fits(code: ReasonCode | None) -> None:
    texts = {"reason": "\x01" * 9000, "trigger": "\x02" * 9000, "attempt_id": "\x03" * 9000}
    blob = dumps(replace(LARGEST_RESULT, reason_code=code, **texts))  # type: ignore[arg-type]  # names of texts
    assert set(blob) == {"v", *KEYS.values()}
    assert as_jsonb(blob) <= MAX_BYTES


@pytest.mark.parametrize("rest", [SMALLEST_RESULT, LARGEST_RESULT], ids=["smallest", "largest"])
@pytest.mark.parametrize("character", ["x", '"', "é", "💺", "\x01"])
@pytest.mark.parametrize("name", ["reason", "trigger", "attempt_id"])
def test_a_text_of_any_length_fits_and_is_cut_only_where_it_must(name: str, character: str, rest: LastResult) -> None:
    empty = as_jsonb(dumps(replace(rest, **{name: ""})))  # type: ignore[arg-type]  # the name of a text
    each = as_jsonb(character) - as_jsonb("")
    for length in range(1000):
        text = character * length
        blob = dumps(replace(rest, **{name: text}))  # type: ignore[arg-type]  # the name of a text
        assert as_jsonb(blob) <= MAX_BYTES
        assert (blob[KEYS[name]] == text) == (empty + each * length <= MAX_BYTES)


def test_a_reason_that_is_not_cut_needs_no_code() -> None:
    result = LastResult(source=Source.JOB, recorded_at=AT, success=False, reason="abc", attempt_id="a" * 2000)
    blob = dumps(result)
    assert blob["reason"] == "abc"
    assert "reasonCode" not in blob


def test_what_postgresql_refuses_is_replaced() -> None:
    blob = dumps(failure(reason="a\x00b\ud83dc\udc00", trigger="\x00", attempt_id="\ud800\udc00"))
    assert blob["reason"] == "a\ufffdb\ufffdc\ufffd"
    assert blob["trigger"] == "\ufffd"
    assert blob["attemptId"] == "\ufffd\ufffd"


def test_other_control_characters_are_kept() -> None:
    result = failure(reason="\x01\x1b[31m\x7f\t")
    assert loads(json.dumps(dumps(result))) == result


@pytest.mark.parametrize(
    ("change", "key", "written"),
    [
        ({"attempt": 2**63}, "attempt", LARGEST),
        ({"attempt": 10**5000}, "attempt", LARGEST),
        ({"revision": 2**64}, "revision", LARGEST),
        ({"duration_ms": 2**63}, "durationMs", LARGEST),
        ({"capacity_version": 2**63}, "capacityVersion", LARGEST),
        ({"capacity_version": -(2**63) - 1}, "capacityVersion", -(2**63)),
        ({"strategy": Strategy(max_tables=-4)}, "strategy", {"maxTables": 0}),
    ],
)
def test_numbers_that_no_database_holds_become_the_nearest_that_it_does(
    change: dict[str, int], key: str, written: JSON
) -> None:
    blob = dumps(replace(failure(), **change))  # type: ignore[arg-type]  # names of number attributes
    assert blob[key] == written
    assert dumps(read(blob)) == blob
