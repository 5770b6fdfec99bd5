"""``assign-core classify``: one answer for each text, in the order given."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from assign_cli.__main__ import cli

Ask = Callable[..., Result]


def _objects(result: Result) -> list[dict[str, str]]:
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_aligned_line_for_each_text(ask: Ask) -> None:
    result = ask("classify", "No capacity", "Hold conflicts prevented all candidates")
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first.split() == ["no_capacity", "capacity", "No", "capacity"]
    assert second.split()[:2] == ["hold_conflict", "contention"]
    assert first.index("No capacity") == second.index("Hold conflicts")


def test_one_object_for_each_text(ask: Ask) -> None:
    assert _objects(ask("classify", "--json", "INLINE_TIMEOUT", "Insufficient global capacity")) == [
        {"text": "INLINE_TIMEOUT", "reason_code": "timeout", "failure_class": "ambiguous"},
        {"text": "Insufficient global capacity", "reason_code": "party_too_large", "failure_class": "permanent"},
    ]


def test_standard_input_is_read_line_by_line_and_an_empty_line_is_an_empty_reason(ask: Ask) -> None:
    assert _objects(ask("classify", "--json", stdin=b"deadlock detected\r\n\nfetch failed")) == [
        {"text": "deadlock detected", "reason_code": "deadlock", "failure_class": "infrastructure"},
        {"text": "", "reason_code": "unknown", "failure_class": "ambiguous"},
        {"text": "fetch failed", "reason_code": "network_failure", "failure_class": "infrastructure"},
    ]


def test_nothing_in_gives_nothing_out(ask: Ask) -> None:
    result = ask("classify", stdin=b"")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_an_answer_comes_before_the_next_line_is_asked_for(script: object) -> None:
    with subprocess.Popen([str(script), "classify"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"fetch failed\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"network_failure")  # hangs if it waits for the end
        process.stdin.close()


@pytest.mark.parametrize("text", ["a\nb", "red \x1b[31m", "half \ud800", "\u2028", "turned \u202e around"])
def test_a_text_cannot_forge_lines_or_paint_the_terminal(ask: Ask, text: str) -> None:
    result = ask("classify", text)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert result.stdout.rstrip("\n").isprintable()


def test_letters_of_any_script_stay_as_they_are(ask: Ask) -> None:
    assert ask("classify", "Kein Tisch für José 予約").stdout.endswith("  Kein Tisch für José 予約\n")


@given(st.lists(st.binary().filter(lambda line: b"\n" not in line), max_size=5))
def test_whatever_the_lines_hold_each_has_its_answer(lines: list[bytes]) -> None:
    content = b"".join(line + b"\n" for line in lines)
    for option in ([], ["--json"]):
        result = CliRunner().invoke(cli, ["classify", *option], input=content)
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) == len(lines)
