"""A recording that is too large to hold is said to be, before the memory says it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from assign_cli import replay
from assign_cli.__main__ import cli


def test_a_recording_that_is_too_large_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LONGEST_RECORDING", 100)
    recording = tmp_path / "history.csv"
    recording.write_text("x" * 101)
    result = CliRunner().invoke(cli, ["replay", str(recording)])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "larger than" in result.stderr
