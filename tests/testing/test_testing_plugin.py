"""The pytest plug-in as its user sees it: in a project of their own, without a line of set-up."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest

USED: Final = """
import asyncio
from datetime import timedelta

import pytest

from assign_core import Policy, Verdict
from assign_floor import Floor, Table


def dinner(clock):
    return clock.now().replace(hour=19)


def test_a_guest_gets_a_table(assign_engine, assign_database, assign_clock, assign_post, assign_telemetry):
    assign_database.add_booking("b1", party=2, start_at=dinner(assign_clock))
    assert assign_engine.inline("b1").verdict is Verdict.CONFIRMED
    assert assign_post.accepted == ["b1:confirmation:0"]
    assert assign_telemetry.events


def test_the_same_awaited(assign_async_engine, assign_database, assign_clock, assign_post, assign_telemetry):
    assign_database.add_booking("b1", party=2, start_at=dinner(assign_clock))
    assert asyncio.run(assign_async_engine.inline("b1")).verdict is Verdict.CONFIRMED
    assert assign_post.accepted == ["b1:confirmation:0"]
    assert assign_telemetry.events


def test_time_stands_still_until_it_is_moved(assign_clock):
    before = assign_clock.now()
    assert assign_clock.now() == before
    assign_clock.advance(90)
    assert assign_clock.now() == before + timedelta(seconds=90)


class TestASmallHouse:
    @pytest.fixture
    def assign_tables(self):
        return Floor(tables=[Table(id="only", seats=2)])

    @pytest.fixture
    def assign_policy(self):
        return Policy(retries=0)

    def test_both_engines_are_in_one_world(
        self, assign_engine, assign_async_engine, assign_database, assign_clock
    ):
        for name in ("b1", "b2"):
            assign_database.add_booking(name, party=2, start_at=dinner(assign_clock))
        assert assign_engine.policy.retries == assign_async_engine.policy.retries == 0
        assert assign_engine.inline("b1").verdict is Verdict.CONFIRMED
        assert asyncio.run(assign_async_engine.inline("b2")).verdict is not Verdict.CONFIRMED
        assign_database.cancel("b1")
        assign_clock.advance(1)
        assert asyncio.run(assign_async_engine.job("b2")).verdict is Verdict.CONFIRMED
"""

UNUSED: Final = """
import sys


def test_nothing_of_ours_is_imported():
    ours = {name for name in sys.modules if name.startswith("assign_")}
    assert ours <= {"assign_pytest"}
    assert not {"hypothesis", "attrs", "cattrs"} & sys.modules.keys() - BEFORE
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_it_is_registered_under_its_name() -> None:
    (found,) = entry_points(group="pytest11", name="assign_core")
    assert found.value == "assign_pytest"


def test_the_fixtures_serve_a_project_without_set_up(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(USED, encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_who_does_not_use_it_imports_nothing(tmp_path: Path) -> None:
    # Hypothesis has a plug-in of its own, which is none of ours.
    (tmp_path / "test_mine.py").write_text("BEFORE = {'hypothesis'}\n" + UNUSED, encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout


def test_every_fixture_says_what_it_is(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest_inprocess("--fixtures", "-q").stdout.str()
    for name in ("clock", "policy", "tables", "database", "post", "telemetry", "engine", "async_engine"):
        line = next(line for line in listed.splitlines() if line.startswith(f"assign_{name}"))
        assert "no docstring" not in line


pytest_plugins = ["pytester"]
