"""What other writers left on the bookings: older versions of this one, a TypeScript inline flow, versions to come."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

import pytest

from assign_core.last_result import EmailVariant, LastResult, Source, Strategy, Unreadable
from assign_core.reasons import FailureClass, ReasonCode
from assign_wire import KEYS, dumps, loads

AT: Final = datetime(2025, 11, 15, 0, 40, 13, 242000, tzinfo=UTC)
OLDEST: Final[dict[str, object]] = {"source": "inline", "lastAttemptAt": "2025-11-15T00:40:13.242Z", "success": False}


def read(value: object) -> LastResult:
    result = loads(value)
    assert isinstance(result, LastResult), result
    return result


def test_a_blob_of_the_older_shape() -> None:
    blob = {
        "source": "inline",
        "lastAttemptAt": "2025-11-15T00:40:13.242Z",
        "success": False,
        "reason": "INLINE_TIMEOUT",
        "strategy": {"requireAdjacency": True, "maxTables": None},
        "trigger": "creation",
        "durationMs": 12005,
        "attemptId": "00ada6f5-b46b-4f67-9e6d-48b589b24d59",
        "emailSent": False,
        "emailVariant": "standard",
    }
    expected = LastResult(
        source=Source.INLINE,
        recorded_at=AT,
        success=False,
        reason="INLINE_TIMEOUT",
        strategy=Strategy(require_adjacency=True),
        trigger="creation",
        duration_ms=12005,
        attempt_id="00ada6f5-b46b-4f67-9e6d-48b589b24d59",
        email_variant=EmailVariant.STANDARD,
    )
    assert loads(blob) == expected
    assert loads(json.dumps(blob)) == expected
    assert loads(json.dumps(blob, indent=2).encode()) == expected


def test_the_least_that_can_be_read() -> None:
    assert loads(OLDEST) == LastResult(source=Source.INLINE, recorded_at=AT, success=False)


def test_the_blob_that_was_read_is_left_as_it_was() -> None:
    blob = {**OLDEST, "reason": None, "strategy": {"maxTables": None}}
    before = json.dumps(blob)
    read(blob)
    assert json.dumps(blob) == before


@pytest.mark.parametrize("key", sorted(set(KEYS.values()) - set(OLDEST) | {"v"}))
def test_null_counts_as_missing(key: str) -> None:
    assert loads({**OLDEST, key: None}) == loads(OLDEST)
    assert loads({**OLDEST, "v": 1, "attempt": 0, key: None}) == loads(OLDEST)


def test_null_knobs_count_as_missing() -> None:
    nulls = {"requireAdjacency": None, "maxTables": None}
    for blob in (OLDEST, {**OLDEST, "v": 1, "attempt": 0}):
        assert read({**blob, "strategy": nulls}).strategy == Strategy()
        assert read({**blob, "strategy": {**nulls, "maxTables": 3}}).strategy == Strategy(max_tables=3)


@pytest.mark.parametrize(("source", "attempt"), [("inline", 0), ("job", 1)])
@pytest.mark.parametrize("rest", [{}, {"v": 1}, {"attempt": None}, {"v": 1, "attempt": None}, {"v": 2}])
def test_a_missing_attempt_is_the_first_of_its_kind(source: str, attempt: int, rest: dict[str, object]) -> None:
    assert read({**OLDEST, "source": source, **rest}).attempt == attempt


def test_an_attempt_that_is_there_is_believed() -> None:
    assert read({**OLDEST, "source": "job", "attempt": 0}).attempt == 0
    assert read({**OLDEST, "attempt": 3}).attempt == 3


def test_unknown_keys_are_ignored() -> None:
    assert loads({**OLDEST, "planner": {"nested": [1, {}]}, "": 0, "strategyName": "x"}) == loads(OLDEST)
    assert read({**OLDEST, "strategy": {"maxTables": 2, "shape": "line"}}).strategy == Strategy(max_tables=2)


@pytest.mark.parametrize("version", [2, 17, 2**63 - 1])
def test_a_newer_version_is_read_as_far_as_it_is_known(version: int) -> None:
    newer = {**OLDEST, "v": version, "attempt": 2, "reason": "No capacity", "confidence": 0.5}
    result = read(newer)
    assert (result.attempt, result.reason) == (2, "No capacity")
    assert dumps(result)["v"] == 1


@pytest.mark.parametrize("version", ["1", 1.0, 1.5, True, 0, -1, 2**63, [1], {}])
def test_a_version_that_is_no_version_is_refused(version: object) -> None:
    refused = loads({**OLDEST, "v": version, "attempt": 0})
    assert isinstance(refused, Unreadable)
    assert refused.problem.startswith("v is not a version")


def test_a_code_of_a_newer_writer_leaves_the_text_to_be_classified() -> None:
    result = read({**OLDEST, "reason": "deadlock detected", "reasonCode": "quantum_deadlock"})
    assert result.reason_code is None
    assert result.failure_class is FailureClass.INFRASTRUCTURE


@pytest.mark.parametrize("code", list(ReasonCode))
def test_a_known_code_beats_the_text(code: ReasonCode) -> None:
    result = read({**OLDEST, "reason": "deadlock detected", "reasonCode": code.value})
    assert result.classification is not None
    assert result.classification.code is code


def test_an_email_variant_of_a_newer_writer_does_not_unsend_the_email() -> None:
    result = read({**OLDEST, "emailSent": True, "emailVariant": "cancelled"})
    assert (result.email_sent, result.email_variant) == (True, None)


def test_lesson_06_an_email_is_sent_only_where_it_says_so() -> None:
    assert read(OLDEST).email_sent is False
    assert read({**OLDEST, "emailSent": None}).email_sent is False
    assert read({**OLDEST, "success": True}).email_sent is False
    for almost in ("true", 1, "yes", [True]):
        assert isinstance(loads({**OLDEST, "emailSent": almost}), Unreadable)


@pytest.mark.parametrize(
    ("duration", "milliseconds"),
    [(5541.7, 5542), (5541.2, 5541), (0.0, 0), (-0.0, 0), (0.4, 0), (12005.0, 12005), (5541, 5541), (2.0**62, 2**62)],
)
def test_fractions_of_milliseconds_are_rounded(duration: float, milliseconds: int) -> None:
    found = read({**OLDEST, "durationMs": duration}).duration_ms
    assert found == milliseconds
    assert type(found) is int


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2025-11-15T00:40:13Z", datetime(2025, 11, 15, 0, 40, 13, tzinfo=UTC)),
        ("2025-11-15T00:40:13.2Z", datetime(2025, 11, 15, 0, 40, 13, 200000, tzinfo=UTC)),
        ("2025-11-15T00:40:13.24Z", datetime(2025, 11, 15, 0, 40, 13, 240000, tzinfo=UTC)),
        ("2025-11-15T00:40:13.242Z", AT),
        ("2025-11-15T00:40:13.2425Z", datetime(2025, 11, 15, 0, 40, 13, 242500, tzinfo=UTC)),
        ("2025-11-15T00:40:13.24251Z", datetime(2025, 11, 15, 0, 40, 13, 242510, tzinfo=UTC)),
        ("2025-11-15T00:40:13.242516Z", datetime(2025, 11, 15, 0, 40, 13, 242516, tzinfo=UTC)),
        ("2025-11-15T00:40:13.2425169Z", datetime(2025, 11, 15, 0, 40, 13, 242516, tzinfo=UTC)),
        ("2025-11-15T00:40:13.24251699Z", datetime(2025, 11, 15, 0, 40, 13, 242516, tzinfo=UTC)),
        ("2025-11-15T00:40:13.999999999Z", datetime(2025, 11, 15, 0, 40, 13, 999999, tzinfo=UTC)),
        ("2025-11-15T01:40:13.242+01:00", AT),
        ("2025-11-14T21:10:13.242-03:30", AT),
        ("2025-11-15T01:40:13.242+0100", AT),
        ("2025-11-15T01:40:13.242+01", AT),
        ("2025-11-15T00:40:13.242-00:00", AT),
        ("2025-11-15 00:40:13.242+00", AT),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("9999-12-31T23:59:59+01:00", datetime(9999, 12, 31, 22, 59, 59, tzinfo=UTC)),
    ],
)
def test_lesson_15_a_time_is_read_with_its_offset(written: str, moment: datetime) -> None:
    """An offset that is dropped makes evidence an hour older or younger than it is."""
    result = read({**OLDEST, "lastAttemptAt": written, "retryAfter": written})
    assert result.recorded_at == result.retry_after == moment
    assert result.recorded_at.tzinfo is UTC


@pytest.mark.parametrize(
    "written",
    [
        "2025-11-15T00:40:13.242",  # no zone: an age computed from it may be hours off
        "2025-11-15",
        "2025-11-15T00:40Z",
        "20251115T004013Z",
        "2025-W46-6T00:40:13Z",
        "2025-11-15T00:40:13,242Z",
        "2025-11-15T00:40:13.Z",
        "2025-11-15T00:40:13.1234567890Z",
        "2025-11-15T24:00:00Z",
        "2025-11-15T00:40:60Z",
        "2025-11-15T00:60:00Z",
        "2025-02-29T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2025-11-15T00:40:13+24:00",
        "2025-11-15T00:40:13+01:60",
        "2025-11-15T00:40:13 Z",
        " 2025-11-15T00:40:13Z",
        "2025-11-15T00:40:13Z\n",
        "\uff12\uff10\uff12\uff15-11-15T00:40:13Z",
        "2025-11-15t00:40:13z",
        "Sat Nov 15 2025 00:40:13 GMT+0000",
        "1763167213242",
        "now",
        "",
        "\x00",
        "\ud800",
        1763167213242,
        1763167213.242,
        True,
        [],
        {},
        AT,
    ],
)
@pytest.mark.parametrize("key", ["lastAttemptAt", "retryAfter"])
def test_lesson_15_a_time_that_is_none_is_not_guessed(key: str, written: object) -> None:
    refused = loads({**OLDEST, key: written})
    assert isinstance(refused, Unreadable)
    assert refused.problem.startswith(f"{key} is not a time")


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_utc_cannot_hold_is_refused(written: str) -> None:
    refused = loads({**OLDEST, "lastAttemptAt": written})
    assert refused == Unreadable(f"lastAttemptAt is outside the calendar in UTC: {written!r}")
