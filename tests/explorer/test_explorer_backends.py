"""Any store that can be made anew is explored as the one in memory is: here somebody else's, on SQLite.

Its mailer blocks, so its senders are threads that take turns with the schedule.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

SOURCES: Final = Path(__file__).parents[1] / "testing" / "third_party"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("sqlite_adapter.py", "sqlite_planner.py", "explored.py"):
        shutil.copy(SOURCES / name, tmp_path / name)
    return tmp_path


def explored_there(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "explored.py"], cwd=project, capture_output=True, text=True, check=False)


def test_somebody_elses_store_keeps_every_promise(project: Path) -> None:
    done = explored_there(project)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    schedules, with_two_faults = json.loads(done.stdout)
    assert schedules > 400
    assert with_two_faults > 300
    assert explored_there(project).stdout == done.stdout, "threads make no difference from one time to the next"


DEFECTS: Final = {
    "confirms whatever the status": ('row["status"] not in OPEN or not ours', "not ours", "commit"),
    "seats two bookings at one table": ("return ReasonCode.OVERLAP if clash else None", "return None", "P7 tables"),
    "assigns no tables": (" WHERE holds.id = ?", " WHERE holds.id = ? || '-'", "seats"),
    "forgets that an attempt died": (
        "Acquired(booking=booking, last=last, lost=left)",
        "Acquired(booking=booking, last=last)",
        "P1 record",
    ),
    "sends what is being sent": ("number(self._db.clock.now() + SENDING)", "None", "P4 mail"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_planted_in_it_is_found(project: Path, defect: str) -> None:
    adapter = project / "sqlite_adapter.py"
    right, wrong, promise = DEFECTS[defect]
    source = adapter.read_text(encoding="utf-8")
    assert source.count(right) == 1, "the defect is planted in one place"
    adapter.write_text(source.replace(right, wrong), encoding="utf-8")
    done = explored_there(project)
    assert (done.returncode, done.stdout) == (1, f"{promise}\n"), done.stderr
