"""The published schema says what the code does, and cannot drift away from it."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from assign_core.last_result import EmailVariant, LastResult, Source, Strategy
from assign_core.reasons import ReasonCode
from assign_wire import JSON, KEYS, MAX_BYTES, VERSION, dumps, schema

AT: Final = datetime(2025, 11, 15, 0, 40, 13, 242000, tzinfo=UTC)
VALIDATOR: Final = Draft202012Validator(schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def properties() -> dict[str, dict[str, JSON]]:
    found = schema()["properties"]
    assert isinstance(found, dict)
    return {key: said for key, said in found.items() if isinstance(said, dict)}


def errors(blob: object) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(blob)]


def test_it_is_a_schema_of_the_draft_that_it_names() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_it_is_shipped_in_the_package() -> None:
    assert json.loads(files("assign_wire").joinpath("last_result.schema.json").read_bytes()) == schema()


def test_nobody_can_change_it_for_another() -> None:
    schema().clear()
    assert schema() != {}


def test_its_properties_are_the_keys() -> None:
    assert set(properties()) == {"v", *KEYS.values()}
    strategy = properties()["strategy"]["properties"]
    assert isinstance(strategy, dict)
    written = dumps(LastResult(source=Source.JOB, recorded_at=AT, success=True, strategy=Strategy(True, 1)))
    assert isinstance(written["strategy"], dict)
    assert set(strategy) == set(written["strategy"])


def test_its_words_are_the_vocabularies() -> None:
    assert properties()["v"]["const"] == VERSION
    assert properties()["source"]["enum"] == [word.value for word in Source]
    assert properties()["reasonCode"]["enum"] == [word.value for word in ReasonCode]
    assert properties()["emailVariant"]["enum"] == [word.value for word in EmailVariant]


def test_it_requires_what_is_always_written_and_nothing_else() -> None:
    least = dumps(LastResult(source=Source.INLINE, recorded_at=AT, success=True))
    assert set(least) == set(_strings(schema()["required"]))
    for key in least:
        assert errors({other: value for other, value in least.items() if other != key}) != []


def test_its_defaults_are_those_of_the_attributes() -> None:
    said = {key: of["default"] for key, of in properties().items() if "default" in of}
    meant = {
        KEYS[field.name]: field.default
        for field in fields(LastResult)
        if field.default is not MISSING and field.default is not None
    }
    assert said == {key: value for key, value in meant.items() if key not in _strings(schema()["required"])}


def test_every_key_is_explained() -> None:
    for key, said in properties().items():
        assert said["title"], key
        assert said["description"], key
    assert "millisecond" in str(properties()["durationMs"]["description"])
    assert str(MAX_BYTES) in str(schema()["description"])


def _strings(value: JSON) -> list[str]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, str)]


texts = st.text(st.characters(exclude_categories=[])) | st.sampled_from(["x" * 5000, "\x01" * 5000])
moments = st.datetimes(timezones=st.just(UTC))


@settings(deadline=None)
@given(
    st.builds(
        LastResult,
        source=st.sampled_from(Source),
        recorded_at=moments,
        success=st.booleans(),
        reason=st.none() | texts,
        reason_code=st.none() | st.sampled_from(ReasonCode),
        strategy=st.none() | st.builds(Strategy, st.none() | st.booleans(), st.none() | st.integers()),
        trigger=st.none() | texts,
        alternates=st.none() | st.integers(0),
        duration_ms=st.none() | st.integers(0),
        attempt_id=st.none() | texts,
        attempt=st.integers(0) | st.integers(2**62, 2**70),
        revision=st.integers(0),
        email_sent=st.booleans(),
        email_variant=st.none() | st.sampled_from(EmailVariant),
        held=st.booleans(),
        capacity_version=st.none() | st.integers(),
        retry_after=st.none() | moments,
    )
)
def test_lesson_26_what_the_code_can_write_the_schema_admits(result: LastResult) -> None:
    assert errors(dumps(result)) == []


GOOD: Final[dict[str, JSON]] = {
    "v": 1,
    "source": "job",
    "lastAttemptAt": "2025-11-15T00:40:13.242000Z",
    "success": False,
    "attempt": 1,
    "emailSent": False,
}


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"source": "web"},
        {"lastAttemptAt": "2025-11-15T00:40:13.242000"},
        {"lastAttemptAt": "2025-11-15T01:40:13.242000+01:00"},
        {"success": "true"},
        {"attempt": -1},
        {"attempt": 2**63},
        {"emailSent": 1},
        {"emailSent": None},
        {"reason": None},
        {"reasonCode": "quantum_deadlock"},
        {"strategy": {"maxTables": -1}},
        {"strategy": {"requireAdjacency": None}},
        {"durationMs": 5541.7},
        {"emailVariant": "cancelled"},
        {"held": "no"},
        {"capacityVersion": "12"},
        {"retryAfter": "soon"},
        {"trigger": 5},
        {"attemptId": 5},
        {"alternates": 0.5},
        {"revision": True},
    ],
)
def test_it_refuses_what_is_never_written(change: dict[str, JSON]) -> None:
    assert errors(GOOD) == []
    assert errors({**GOOD, **change}) != []


def test_keys_of_newer_writers_are_admitted() -> None:
    assert errors({**GOOD, "confidence": 0.5}) == []
