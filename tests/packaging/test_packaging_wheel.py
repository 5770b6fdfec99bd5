"""What a user gets: the wheel, installed where nothing else is."""

from __future__ import annotations

import email
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DECISION = """
import sys
from datetime import datetime, timedelta, timezone
before = set(sys.modules)
from assign_core import Booking, LastResult, Policy, Source, decide

now = datetime(2026, 1, 9, 18, 0, tzinfo=timezone.utc)
booking = Booking(id="b1", start_at=now + timedelta(hours=2), capacity_version=7)
last = LastResult(
    source=Source.INLINE, recorded_at=now, success=False, reason="No capacity", capacity_version=7, attempt_id="a1"
)
decision = decide(booking, last, policy=Policy(), now=now + timedelta(minutes=1))
assert decision.parked, decision
new = {name: getattr(sys.modules[name], "__file__", None) or "" for name in set(sys.modules) - before}
foreign = sorted(name for name, file in new.items() if "site-packages" in file and not name.startswith("assign_core"))
assert not foreign, foreign
print(decision.action)
"""


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_requires_nothing_without_an_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(archive.read(metadata))
    required = message.get_all("Requires-Dist") or []
    assert required, "the extras are missing from the metadata"
    assert [line for line in required if "extra ==" not in line] == []


def test_wheel_ships_every_package_typed_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    packages = {name.partition("/")[0] for name in names}
    sources = {"assign_core"} | {path.name for path in (ROOT / "src" / "adapters").iterdir() if path.is_dir()}
    assert packages == {name for name in sources if not name.startswith((".", "__"))}
    assert {name.partition("/")[0] for name in names if name.endswith("/py.typed")} == packages


def test_core_decides_in_an_environment_without_extras(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "clean"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", wheel)
    assert run(python, "-c", DECISION).strip() == "wait"
    done = subprocess.run([str(home / "bin" / "assign-core")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "assign-core[cli]" in done.stderr
