"""``assign-core replay --dsn``: the history that a server's ``observability_events`` holds is that of its exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine

from assign_cli.__main__ import cli
from assign_cli.postgres_house import PostgresHouse, postgres_houses
from assign_core import Policy
from assign_core.last_result import Source
from assign_floor import Floor, Table
from assign_floor import Service as Hours
from assign_sim import Ended, Service, evening

SMALL = Floor(
    tables=[Table(id="a", seats=2), Table(id="b", seats=4, min_party=2), Table(id="c", seats=6, min_party=3)],
    services=[Hours(name="dinner", opens=time(18), closes=time(23))],
    turnover=timedelta(minutes=15),
)
INSERT = "INSERT INTO observability_events (at, name, severity, booking_id, context) VALUES (%s, %s, 'info', %s, %s)"


def ask(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(each) for each in arguments], prog_name="assign-core")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(*arguments: object) -> Any:
    """What is said of each attempt and of all, without where it was read."""
    result = ask("replay", *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    del found["files"]
    for each in found["attempts"]:
        del each["file"], each["line"]
    return found


@pytest.fixture
def spent(engine: Engine) -> Iterator[tuple[str, Ended]]:
    """The schema of an evening that was spent on a server without sharing, and how it ended."""
    houses: list[PostgresHouse] = []
    with postgres_houses(engine) as opens:

        def remembered(*arguments: Any) -> PostgresHouse:
            house = opens(*arguments)
            assert isinstance(house, PostgresHouse)
            houses.append(house)
            return house

        ended = Service(evening(5, 20), SMALL, False, Policy(), opens=remembered).run()
        yield houses[0].names.schema, ended


def exported(dsn: str, schema: str) -> tuple[str, str, str]:
    """As one would: the table as a JSON array, as JSON lines, and as CSV by the server's own COPY."""
    table = sql.Identifier(schema, "observability_events")
    with psycopg.connect(dsn) as connection:
        of_table = sql.SQL("SELECT coalesce(json_agg(to_json(each)), '[]')::text FROM {} AS each").format(table)
        array = connection.execute(of_table).fetchone()
        lines = connection.execute(sql.SQL("SELECT to_json(each)::text FROM {} AS each").format(table)).fetchall()
        with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT (FORMAT csv, HEADER)").format(table)) as copy:
            text = b"".join(bytes(part) for part in copy).decode()
    assert array is not None
    return array[0], "\n".join(line for (line,) in lines), text


def test_an_evening_reads_the_same_from_its_table_and_from_every_export_of_it(
    spent: tuple[str, Ended], dsn: str, tmp_path: Path
) -> None:
    schema, ended = spent
    from_table = answer("--dsn", dsn, "--schema", schema)
    summary = from_table["summary"]
    # Reckoned by the house itself, call by call.
    by_source = {Source(name): each["recorded"] for name, each in summary["by_source"].items()}
    assert by_source == ended.planner_calls
    assert summary["planner_seconds_recorded"] == pytest.approx(
        ended.planner_seconds, abs=0.1 * sum(by_source.values())
    )
    assert summary["successes_recorded"] >= len(ended.seated) > 0
    # A job that knew of it would have spared most of this small house's searches.
    assert summary["by_source"]["job"]["saved"] > by_source[Source.JOB] / 2
    for number, content in enumerate(exported(dsn, schema)):
        path = tmp_path / f"export{number}"
        path.write_text(content)
        assert answer(path) == from_table
    # The table says so too in words, and names itself.
    told = ask("replay", "--dsn", dsn, "--schema", schema)
    assert f"{by_source[Source.JOB]} recorded attempts of jobs" in " ".join(told.stdout.split())


def test_a_span_of_the_history_is_the_span_of_its_export(spent: tuple[str, Ended], dsn: str, tmp_path: Path) -> None:
    schema, ended = spent
    times = sorted(event.at for event in ended.told)
    since, until = times[len(times) // 4], times[3 * len(times) // 4]
    rows = json.loads(exported(dsn, schema)[0])
    kept = [row for row in rows if since <= datetime.fromisoformat(row["at"]) < until]
    assert 0 < len(kept) < len(rows)
    path = tmp_path / "export.json"
    path.write_text(json.dumps(kept))
    span = ("--since", since.isoformat(), "--until", until.isoformat())
    assert answer("--dsn", dsn, "--schema", schema, *span) == answer(path)


@contextmanager
def reader(dsn: str, *, may_read: bool) -> Iterator[str]:
    """The connection string of a role that may do nothing else."""
    role = sql.Identifier(name := f"assign_test_{uuid4().hex[:8]}")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        try:
            if may_read:
                connection.execute(sql.SQL("GRANT SELECT ON observability_events TO {}").format(role))
            yield make_conninfo(dsn, user=name)
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_the_right_to_read_the_table_is_enough_and_needed(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            INSERT, ["2026-03-14T12:00:00Z", "auto_assign.quote", "a", '{"planner_reason": "No capacity"}']
        )
    with reader(dsn, may_read=True) as allowed:
        assert answer("--dsn", allowed)["summary"]["planner_calls_recorded"] == 1
    with reader(dsn, may_read=False) as stranger:
        result = ask("replay", "--dsn", stranger)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert "permission denied" in line
    assert line.endswith("nothing was computed")


def test_a_malformed_row_is_named_by_its_number_and_nothing_is_computed(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for minute, booking, context in (
            (0, "a", '{"planner_reason": null}'),
            (2, None, '{"planner_reason": "No capacity"}'),
            (1, "a", '{"planner_duration_ms": "fast"}'),
            (3, "a", '["planner_reason"]'),
        ):
            connection.execute(INSERT, [f"2026-03-14T12:0{minute}:00Z", "auto_assign.quote", booking, context])
        connection.execute(INSERT, ["infinity", "auto_assign.quote", "a", '{"planner_reason": null}'])
        connection.execute(INSERT, ["2026-03-14T12:00:00Z", "web.request", None, "[]"])
    result = ask("replay", "--dsn", dsn)
    assert (result.exit_code, result.stdout) == (1, "")
    *rows, last = result.stderr.splitlines()
    assert [row.split(" is ")[0] for row in rows] == [
        "observability_events: row 2: context key 'planner_duration_ms'",
        "observability_events: row 3: booking_id",
        "observability_events: row 4: context",
        "observability_events: row 5: at",
    ]
    assert last.startswith("assign-core: 4 malformed rows, so nothing was computed")


def test_a_table_of_another_host(empty_dsn: str) -> None:
    """Other names, numbered bookings, no attempt ids, and only a reason and a duration in the context."""
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE observability_events "
            "(event_type varchar(80), created_at timestamptz, booking_id int, context text)"
        )
        connection.execute(
            "INSERT INTO observability_events SELECT 'auto_assign.quote', timestamptz '2026-03-14 12:00Z' + n * "
            'interval \'20 seconds\', 7, \'{"planner_reason": "No capacity", "planner_duration_ms": 5000}\' '
            "FROM generate_series(1, 4) AS n"
        )
    summary = answer("--dsn", empty_dsn)["summary"]
    assert (summary["bookings"], summary["planner_calls_recorded"], summary["planner_calls_saved"]) == (1, 4, 2)


@pytest.mark.once
def test_a_long_history_comes_in_batches(dsn: str) -> None:
    """More rows than one batch of the cursor on the server."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO observability_events (at, name, severity, booking_id, context) "
            "SELECT timestamptz '2026-03-14 12:00Z' + n * interval '1 second', 'auto_assign.quote', 'info', 'b' || n, "
            '\'{"planner_reason": null, "planner_duration_ms": 1000}\' FROM generate_series(1, 5000) AS n'
        )
    found = answer("--dsn", dsn, "--no-attempts")
    assert (found["summary"]["bookings"], found["summary"]["planner_seconds_recorded"]) == (5000, 5000.0)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("", 'has no table "observability_events"; name its schema with --schema'),
        ("CREATE TABLE observability_events (name text, at timestamptz)", "there is no column 'context'"),
        ("CREATE TABLE observability_events (name text, at timestamp, context json)", "so its times have no zone"),
    ],
)
def test_a_database_that_holds_no_history_is_bad_input(empty_dsn: str, made: str, named: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        if made:
            connection.execute(made.encode())
    result = ask("replay", "--dsn", empty_dsn)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.once
def test_a_hostile_schema_name_is_a_name(dsn: str) -> None:
    result = ask("replay", "--dsn", dsn, "--schema", 'x"; DROP TABLE observability_events; --')
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert answer("--dsn", dsn)["summary"]["planner_calls_recorded"] == 0


@pytest.mark.once
@pytest.mark.parametrize("given", ["not a dsn", "postgresql://user:hush@127.0.0.1:1/x?connect_timeout=2"])
def test_a_database_that_cannot_be_reached_is_bad_input_and_its_password_is_not_shown(given: str, dsn: str) -> None:
    del dsn  # so that it runs where a server's driver is known to be there
    result = ask("replay", "--dsn", given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert "hush" not in result.stderr
