"""The recorded histories of a real booking system, where they are at hand. Nothing of them is kept here.

What is asserted is reckoned here a second time, in another way, straight from the CSV.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from assign_core import FailureClass, classify_reason

FRESHNESS = timedelta(minutes=5)
FULL_BUDGET = 4


def _folder() -> Path:
    given = os.environ.get("ASSIGN_CORE_TRACES")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "traces"


def _trace(name: str) -> Path:
    path = _folder() / name
    if not path.is_file():
        pytest.skip(f"no recorded history {path}; set ASSIGN_CORE_TRACES to the folder that holds it")
    return path


@pytest.fixture
def attempts() -> Path:
    return _trace("attempts.csv")


@pytest.fixture
def inline_flows() -> Path:
    return _trace("inline_flows.csv")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _seconds(rows: list[dict[str, str]], column: str) -> float:
    return sum(int(row[column]) for row in rows) / 1000


def test_the_planner_history(ask_json: Callable[..., Any], attempts: Path) -> None:
    rows = _rows(attempts)
    by_booking: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: datetime.fromisoformat(row["executed_at"])):
        by_booking[row["booking_id"]].append(row)
    # All evidence is stale here, so only the budget speaks: after four failures in a row a search is spared.
    pauses, spared, resets = [], [], 0
    for history in by_booking.values():
        failures, reported = 0, None
        for row in history:
            at = datetime.fromisoformat(row["executed_at"])
            if reported is not None:
                pauses.append(at - timedelta(milliseconds=int(row["duration_ms"])) - reported)
            if failures == FULL_BUDGET:
                spared.append(row)
            failures = 0 if row["success"] == "True" else min(failures + 1, FULL_BUDGET)
            reported = None if row["success"] == "True" else at
            resets += row["success"] == "True" and row is not history[-1]
    assert min(pauses) > FRESHNESS
    assert spared

    summary = ask_json("replay", attempts, "--runs-continue")["summary"]
    assert summary["planner_calls_recorded"] == len(rows)
    assert summary["planner_calls_saved"] == len(spared)
    assert summary["planner_seconds_recorded"] == pytest.approx(_seconds(rows, "duration_ms"))
    assert summary["planner_seconds_saved"] == pytest.approx(_seconds(spared, "duration_ms"))
    assert summary["successes_recorded"] == sum(row["success"] == "True" for row in rows)
    assert summary["successes_lost"] == sum(row["success"] == "True" for row in spared) == 0
    assert summary["successes_delayed"] == 0
    assert summary["bookings"] == len(by_booking)
    assert summary["resets"] == resets
    assert summary["shortest_pause_seconds"] == pytest.approx(min(pauses).total_seconds())
    assert "fresh" not in summary["evidence"]


def test_its_projection(ask_json: Callable[..., Any], attempts: Path) -> None:
    failed = [row for row in _rows(attempts) if row["success"] == "False"]
    by_class: defaultdict[FailureClass, list[dict[str, str]]] = defaultdict(list)
    for row in failed:
        by_class[classify_reason(row["reason"]).failure_class].append(row)
    # Searches after the recorded one, if it is a job's first and no search finds anything.
    repeats = {
        FailureClass.PERMANENT: 0,
        FailureClass.REJECTED: 1,
        FailureClass.CAPACITY: 1,
        FailureClass.AMBIGUOUS: 2,
        FailureClass.CONTENTION: 3,
        FailureClass.INFRASTRUCTURE: 3,
    }
    found = ask_json("replay", attempts)["summary"]["projection"]
    assert found["total"]["failures"] == len(failed)
    assert found["total"]["unshared_calls"] == 3 * len(failed)
    assert found["total"]["unshared_seconds"] == pytest.approx(3 * _seconds(failed, "duration_ms"))
    assert found["by_failure_class"].keys() == {name.value for name in by_class}
    for name, rows in by_class.items():
        assert found["by_failure_class"][name.value]["in_all_calls"] == repeats[name] * len(rows)


def test_every_run_a_reset_leaves_nothing_to_go_by(ask_json: Callable[..., Any], attempts: Path) -> None:
    summary = ask_json("replay", attempts)["summary"]
    assert summary["planner_calls_saved"] == summary["successes_lost"] == 0
    assert summary["evidence"] == {"absent": summary["planner_calls_recorded"]}
    # What carrying a budget over would change is told beside it.
    continued = ask_json("replay", attempts, "--runs-continue")["summary"]
    assert summary["runs"]["otherwise"]["planner_calls_saved"] == continued["planner_calls_saved"] > 0


def test_the_inline_recording(ask_json: Callable[..., Any], inline_flows: Path) -> None:
    rows = _rows(inline_flows)
    failed = [row for row in rows if row["blob_success"] == "False"]
    confirmed = [row for row in rows if row["final_status"].startswith("confirmed")]
    lied = [row for row in failed if row in confirmed]
    assert lied
    summary = ask_json("replay", inline_flows)["summary"]
    after = summary["after_inline"]
    assert summary["planner_calls_recorded"] == summary["planner_calls_made"] == after["rows"] == len(rows)
    assert after["blob_says_failure"] == after["searches_by_blob_alone"] == len(failed)
    assert after["blob_says_failure_row_confirmed"] == len(lied)
    assert after["searches_avoided"] >= len(lied)
    assert after["seconds_by_blob_alone"] == pytest.approx(_seconds(failed, "blob_duration_ms"))
    assert after["emails_suppressed"] == sum(row["blob_email_sent"] == "True" for row in confirmed)
    assert after["emails_to_ensure"] == sum(row["blob_email_sent"] == "False" for row in confirmed)


def test_both_at_once_in_tables(ask: Callable[..., Result], attempts: Path, inline_flows: Path) -> None:
    result = ask("replay", attempts, inline_flows, "--attempts", "--runs-continue")
    assert (result.exit_code, result.stderr) == (0, "")
    words = " ".join(result.stdout.split())
    assert "it was always stale here" in words
    assert "Projection" in words
    assert "The job after an inline attempt" in words
