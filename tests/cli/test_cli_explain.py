"""``assign-core explain``: any stored result has a decision; a booking or a moment that cannot be meant is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from assign_cli.__main__ import cli

Ask = Callable[..., Result]
AskJson = Callable[..., Any]
Refusal = Callable[..., str]
Write = Callable[..., Path]

NOON = "2026-03-14T12:00:00Z"
KEYS = [
    "action",
    "max_attempts",
    "attempts_used",
    "not_before",
    "strategy",
    "suppress_email",
    "evidence",
    "failure_class",
    "reason_code",
    "rules",
]


def blob(**changes: object) -> dict[str, object]:
    """An inline failure for want of tables, a minute before noon, in the key names of the stored format."""
    return {
        "source": "inline",
        "lastAttemptAt": "2026-03-14T11:59:00Z",
        "success": False,
        "reason": "No suitable tables available",
        "strategy": {"requireAdjacency": True, "maxTables": 3},
        "durationMs": 5400,
        "attemptId": "attempt-1",
        **changes,
    }


@pytest.fixture
def decided(ask_json: AskJson, write: Write) -> Callable[..., dict[str, Any]]:
    """The decision at noon about a booking (given by its keys) with a stored result."""

    def call(stored: object, *options: object, **booking: object) -> dict[str, Any]:
        last, row = write("last.json", stored), write("booking.json", booking)
        found: dict[str, Any] = ask_json("explain", "--last-result", last, "--booking", row, "--now", NOON, *options)
        return found

    return call


def test_the_keys_are_exactly_these(decided: Callable[..., Any]) -> None:
    assert list(decided(blob())) == KEYS


def test_a_fresh_capacity_failure_waits_until_it_is_stale(decided: Callable[..., Any]) -> None:
    assert decided(blob()) == {
        "action": "wait",
        "max_attempts": 2,
        "attempts_used": 0,
        "not_before": "2026-03-14T12:04:00Z",
        "strategy": {"requireAdjacency": True, "maxTables": 3},
        "suppress_email": False,
        "evidence": "fresh",
        "failure_class": "capacity",
        "reason_code": "no_tables_available",
        "rules": ["capacity_fresh"],
    }


def test_a_booking_is_pending_and_unmodified_unless_its_file_says_more(ask_json: AskJson, decided: Any) -> None:
    assert decided(None) == {
        "action": "attempt",
        "max_attempts": 4,
        "attempts_used": 0,
        "not_before": None,
        "strategy": {"requireAdjacency": None, "maxTables": None},
        "suppress_email": False,
        "evidence": "absent",
        "failure_class": None,
        "reason_code": None,
        "rules": ["no_usable_evidence"],
    }
    assert ask_json("explain", "--last-result", "-", "--now", NOON, stdin="null") == decided(None)


def test_the_booking_file_says_what_the_row_says(decided: Callable[..., Any]) -> None:
    assert decided(blob(), status="confirmed")["action"] == "ensure_email"
    assert decided(blob(), status="cancelled")["rules"] == ["status_closed"]
    assert decided(blob(), status="waitlisted")["rules"] == ["status_not_ours"]
    assert decided(blob(), revision=1)["evidence"] == "older_revision"
    assert decided(blob(), start_at="2026-03-14T12:05:00Z")["rules"] == ["cutoff"]
    assert decided(blob(), start_at="2026-03-14T12:59:00+01:00")["rules"] == ["start_passed"]
    assert decided(blob(capacityVersion=6), capacity_version=6)["rules"] == ["capacity_unchanged"]
    assert decided(blob(capacityVersion=6), capacity_version=7)["rules"] == ["capacity_changed"]
    assert decided(blob(), id="b-9", start_at=None, capacity_version=None, email=None) == decided(blob())


@pytest.mark.parametrize(
    ("email", "suppressed"), [(None, False), ("claimed", True), ("sent", True), ("unknown", True), ("failed", False)]
)
def test_the_ledger_says_whether_the_guest_has_been_written_to(
    decided: Callable[..., Any], email: str | None, suppressed: bool
) -> None:
    assert decided(blob(), status="confirmed", email=email)["suppress_email"] is suppressed


def test_the_moment_may_have_any_offset(ask_json: AskJson, write: Write) -> None:
    last = write("last.json", blob())
    at_noon = ask_json("explain", "--last-result", last, "--now", NOON)
    assert ask_json("explain", "--last-result", last, "--now", "2026-03-14T21:00:00+09:00") == at_noon
    assert ask_json("explain", "--last-result", last, "--now", "2026-03-14T12:05:00Z")["evidence"] == "stale"


def test_without_a_moment_it_is_the_clocks(ask_json: AskJson, write: Write) -> None:
    last = write("last.json", blob(lastAttemptAt="2001-01-01T00:00:00Z"))
    assert ask_json("explain", "--last-result", last)["evidence"] == "stale"


def test_in_words_it_names_booking_result_decision_and_rule(ask: Ask, write: Write) -> None:
    last, row = write("last.json", blob()), write("booking.json", {"id": "b-7", "start_at": "2026-03-14T19:30:00Z"})
    result = ask("explain", "--last-result", last, "--booking", row, "--now", NOON)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in ("b-7", "7 h 30 min", "No suitable tables available", "1 min ago", "12:04:00", "capacity_fresh"):
        assert words in result.stdout


def test_the_policy_file_changes_the_decision(decided: Callable[..., Any], write: Write) -> None:
    policy = write("policy.json", {"freshness": 30})
    assert decided(blob(), "--policy", policy)["evidence"] == "stale"


HOSTILE = {
    "half a document": '{"source": "inline",',
    "no JSON": "<html>",
    "not UTF-8": b"\xff\xfe\x00",
    "a list": "[]",
    "a number": "7",
    "a text": '"null"',
    "an empty object": "{}",
    "a naive time": blob(lastAttemptAt="2026-03-14T11:59:00"),
    "a number for a text": blob(source=1),
    "a negative duration": blob(durationMs=-1),
    "a huge number": '{"source": "job", "attempt": ' + "9" * 5000 + "}",
    "nested deeply": "[" * 10_000,
    "a megabyte": '"' + "x" * (1 << 20) + '"',
    "NaN": '{"source": "job", "durationMs": NaN}',
}


@pytest.mark.parametrize("stored", HOSTILE.values(), ids=HOSTILE.keys())
def test_p9_a_damaged_result_is_evidence_of_nothing_not_an_error(decided: Callable[..., Any], stored: object) -> None:
    found = decided(stored)
    assert (found["action"], found["evidence"], found["rules"]) == ("attempt", "unreadable", ["no_usable_evidence"])


@pytest.mark.parametrize("stored", [b"", b" \n", b"null", b"\xef\xbb\xbfnull\n"])
def test_nothing_stored_is_absent(decided: Callable[..., Any], stored: bytes) -> None:
    assert decided(stored)["evidence"] == "absent"


def test_a_byte_order_mark_damages_nothing(ask_json: AskJson, write: Write) -> None:
    last = write(
        "last.json", b'\xef\xbb\xbf{"source": "job", "lastAttemptAt": "2026-03-14T11:59:00Z", "success": false}'
    )
    row = write("booking.json", b'\xef\xbb\xbf{"revision": 0}')
    found = ask_json("explain", "--last-result", last, "--booking", row, "--now", NOON)
    assert found["rules"] == ["outcome_unknown"]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_p9_whatever_is_stored_has_a_decision(content: bytes) -> None:
    for option in ([], ["--json"]):
        result = CliRunner().invoke(cli, ["explain", "--last-result", "-", "--now", NOON, *option], input=content)
        assert (result.exit_code, result.stderr) == (0, "")


def test_a_stored_text_cannot_paint_the_terminal_or_stop_the_output(ask: Ask, write: Write) -> None:
    last = write("last.json", blob(reason="\x1b[2J\ud800 [bold]x[/bold]\r\nforged line"))
    result = ask("explain", "--last-result", last, "--now", NOON)
    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert r"\x1b[2J\ud800 [bold]x[/bold]\r\nforged line" in result.stdout


BOOKINGS = {
    "no JSON": ("{status: pending}", "is not JSON"),
    "half a document": ('{"id": "a"', "is not JSON"),
    "empty": ("", "is not JSON"),
    "not UTF-8": (b'{"id": "\xff"}', "is not UTF-8: byte 0xff at 8"),
    "a list": ("[1]", "is not a JSON object: [1]"),
    "null": ("null", "is not a JSON object: null"),
    "NaN": ('{"revision": NaN}', "it says NaN"),
    "nested deeply": ("[" * 100_000, "nested too deeply"),
    "a huge number": ('{"revision": ' + "9" * 5000 + "}", "is not JSON"),
    "too long": (b" " * (1 << 20) + b"{}", "longer than"),
    "an unknown key": ({"starts_at": NOON}, "unknown key 'starts_at'; the keys are id, status, start_at"),
    "an empty id": ({"id": ""}, "id is ''"),
    "a number for an id": ({"id": 7}, "id is 7"),
    "a null status": ({"status": None}, "status is null"),
    "a naive start": ({"start_at": "2026-03-14T19:30:00"}, "start_at is '2026-03-14T19:30:00', without a time zone"),
    "no time": ({"start_at": "tonight"}, "start_at is 'tonight', which is no time"),
    "a number for a time": ({"start_at": 1773500000}, "start_at is 1773500000"),
    "a time outside the calendar": ({"start_at": "0001-01-01T00:00:00+14:00"}, "start_at"),
    "a negative revision": ({"revision": -1}, "revision is -1; pass a whole number from 0"),
    "a truth for a revision": ({"revision": True}, "revision is true"),
    "a fraction for a version": ({"capacity_version": 1.5}, "capacity_version is 1.5"),
    "more than 64 bits": ({"capacity_version": 2**63}, "capacity_version is 9223372036854775808"),
    "an unknown e-mail state": ({"email": "lost"}, "email is 'lost'; pass null or one of claimed, sent"),
    "a list for an e-mail state": ({"email": []}, "email is []"),
}


@pytest.mark.parametrize(("content", "named"), BOOKINGS.values(), ids=BOOKINGS.keys())
def test_a_booking_that_cannot_be_meant_is_refused_in_one_line(
    refusal: Refusal, write: Write, content: object, named: str
) -> None:
    last, row = write("last.json", blob()), write("booking.json", content)
    line = refusal("explain", "--last-result", last, "--booking", row, "--now", NOON)
    assert named in line
    assert "booking.json" in line
    assert "--booking" in line


@pytest.mark.parametrize(
    ("moment", "named"),
    [
        ("2026-03-14T12:00:00", "without a time zone; add Z"),
        ("2026-03-14", "without a time zone"),
        ("noon", "no time"),
        ("", "no time"),
        ("2026-02-30T12:00:00Z", "no time"),
        ("0001-01-01T00:00:00+14:00", "outside the calendar"),
    ],
)
def test_a_moment_that_cannot_be_meant_is_refused(refusal: Refusal, write: Write, moment: str, named: str) -> None:
    line = refusal("explain", "--last-result", write("last.json", blob()), "--now", moment)
    assert f"--now is '{moment}'" in line
    assert named in line


def test_a_file_that_cannot_be_read_is_refused(refusal: Refusal, write: Write, tmp_path: Path) -> None:
    last = write("last.json", blob())
    assert "No such file" in refusal("explain", "--last-result", tmp_path / "gone.json", "--now", NOON)
    assert "gone.json" in refusal("explain", "--last-result", last, "--booking", tmp_path / "gone.json")
    assert "--last-result" in refusal("explain", "--last-result", tmp_path)
    assert "null byte" in refusal("explain", "--last-result", "a\0b")


@pytest.mark.parametrize("other", ["--booking", "--policy"])
def test_standard_input_is_read_once(refusal: Refusal, other: str) -> None:
    line = refusal("explain", "--last-result", "-", other, "-", stdin="{}")
    assert other in line
    assert "--last-result" in line
    assert "both read standard input" in line
