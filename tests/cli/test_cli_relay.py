"""What ``assign-core relay`` is told, and cannot be meant. What it does is in tests/postgres/test_postgres_relay.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Refusal = Callable[..., str]
NOWHERE = "postgresql://nobody:s3cret@127.0.0.1:1/none"

BAD_MAIL = """
def fails():
    raise RuntimeError("no key;\\nask the provider")

def broken():
    return 1 / 0
"""


@pytest.fixture(autouse=True)
def nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSIGN_CORE_DSN", raising=False)
    monkeypatch.delenv("ASSIGN_CORE_SMTP", raising=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--dsn"),
        (["--dsn", NOWHERE], "pass --smtp"),
        (["--dsn", NOWHERE, "--smtp", "smtp://h"], "--templates"),
        (["--dsn", NOWHERE, "--smtp", "http://u:s3cret@h", "--templates", "."], "smtp://user"),
        (["--dsn", NOWHERE, "--smtp", "smtp://h", "--templates", "."], "confirmation.txt"),
        (["--dsn", NOWHERE, "--once", "--every", "2", "--smtp", "smtp://h"], "pass one of them"),
        (["--dsn", NOWHERE, "--smtp", "smtp://h", "--transport", "a:b"], "pass one of them"),
        (["--dsn", NOWHERE, "--transport", "a"], "module:name"),
        (["--dsn", NOWHERE, "--transport", "no_such_module:f"], "no_such_module"),
        (["--dsn", NOWHERE, "--transport", "builtins:dict"], "`deduplicates` and `send`"),
        (["--dsn", NOWHERE, "--transport", "builtins:dict", "--sent", "b1"], "'b1:confirmation:0'"),
        (["--dsn", NOWHERE, "--transport", "bad_mail:fails"], "RuntimeError: no key; ask the provider"),
        (["--dsn", NOWHERE, "--transport", "bad_mail:broken"], "ZeroDivisionError"),
        (["--dsn", NOWHERE, "--timezone", "Europe/Nowhere"], "Europe/Zurich"),
        (["--dsn", NOWHERE, "--timezone", "../etc"], "Europe/Zurich"),
        (["--dsn", NOWHERE, "--limit", "0"], "--limit"),
        (["--dsn", NOWHERE, "--limit", str(2**63)], "--limit"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    refusal: Refusal, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad_mail.py").write_text(BAD_MAIL)
    line = refusal("relay", *arguments)
    assert said in line
    assert "s3cret" not in line


@pytest.mark.parametrize("option", ["--timeout", "--every"])
@pytest.mark.parametrize("seconds", ["nan", "-nan", "inf", "-inf", "1e300", "86401", "0", "-1", "soon"])
def test_seconds_are_a_number_up_to_a_day(refusal: Refusal, option: str, seconds: str) -> None:
    """Neither a clock nor a database can add more, and a pause of ``nan`` is none."""
    line = refusal("relay", "--dsn", NOWHERE, "--transport", "bad_mail:fails", f"{option}={seconds}")
    assert f"'{option}'" in line
    assert "bad_mail" not in line


@pytest.mark.parametrize("option", ["--timeout", "--every"])
@pytest.mark.parametrize("seconds", ["1", "86400"])
def test_a_day_is_not_too_long(refusal: Refusal, option: str, seconds: str) -> None:
    assert "no_such_module" in refusal(
        "relay", "--dsn", NOWHERE, "--transport", "no_such_module:f", f"{option}={seconds}"
    )


def test_a_database_that_cannot_be_reached_is_one_line(refusal: Refusal, tmp_path: Path) -> None:
    for kind in ("confirmation", "modification", "staff_notice"):
        (tmp_path / f"{kind}.txt").write_text("From: a@example.org\nTo: $email\nSubject: x\n\ny\n")
    line = refusal("relay", "--dsn", NOWHERE, "--smtp", "smtp://127.0.0.1:1", "--templates", tmp_path)
    assert "cannot be reached" in line
    assert "s3cret" not in line
