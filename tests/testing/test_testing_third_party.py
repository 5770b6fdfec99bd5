"""Somebody else's adapter, in a directory of its own, takes the whole suite; with a defect in it, the suite fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

SOURCES: Final = Path(__file__).with_name("third_party")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The third party's project: its own files, and nothing of ours."""
    for source in SOURCES.glob("sqlite_*.py"):
        shutil.copy(source, tmp_path / source.name)
    shutil.copy(SOURCES / "suite.py", tmp_path / "test_sqlite.py")
    return tmp_path


def judge(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(project), *options],
        cwd=project,
        # Hypothesis draws the same examples on every run, and nobody's options change what is printed.
        env={**os.environ, "CI": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_adapter_imports_the_standard_library_the_core_and_the_wire_only() -> None:
    imported = {
        line.split()[1].partition(".")[0]
        for line in (SOURCES / "sqlite_adapter.py").read_text(encoding="utf-8").splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported - sys.stdlib_module_names == {"assign_core", "assign_wire"}


def test_an_adapter_that_is_right_passes(project: Path) -> None:
    done = judge(project)
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.split(" passed")[0].split()[-1])
    assert passed >= 130, done.stdout
    assert "failed" not in done.stdout


DEFECTS: Final = {
    "confirms whatever the status": ('row["status"] not in OPEN or not ours', "not ours"),
    "confirms after the lease has expired": (" and number(lease.expires_at) > now", ""),
    "seats two bookings at one table": ("return ReasonCode.OVERLAP if clash else None", "return None"),
    "overwrites instead of merging": ("self._recorded(row, entry.result, late=not ours)", "entry.result"),
    "forgets that an attempt died": (
        "Acquired(booking=booking, last=last, lost=left)",
        "Acquired(booking=booking, last=last)",
    ),
    "ends the retries of a modified booking": (
        'elif row["overtaken"] or (read is not None and read != row["revision"]):',
        'elif row["overtaken"]:',
    ),
    "forgets what came late": ('elif row["overtaken"] or (', "elif ("),
    "lets what comes late have the last word": ("now=now, late=late)", "now=now)"),
    "takes what comes late for nothing new": ("                self._overtake(row", "                id(row"),
    "sends an unknown e-mail again": ("now=self._db.clock.now(),\n", "now=datetime.max.replace(tzinfo=UTC),\n"),
    "confirms by mail what the guest has moved": ("called_for=still,", "called_for=True,"),
    "flags an e-mail that was refused": ("guests = state is EmailState.SENT and email", "guests = email"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_an_adapter_with_a_planted_defect_fails(project: Path, defect: str) -> None:
    adapter = project / "sqlite_adapter.py"
    right, wrong = DEFECTS[defect]
    source = adapter.read_text(encoding="utf-8")
    assert source.count(right) == 1, "the defect is planted in one place"
    adapter.write_text(source.replace(right, wrong), encoding="utf-8")
    # The contracts alone: the machine takes its time to find the shortest evening.
    done = judge(project, "-x", "-k", "not no_evening_tells")
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout
