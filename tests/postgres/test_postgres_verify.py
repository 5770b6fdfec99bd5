"""``verify`` tells by name what is there, missing or wrong; and its expectations are what the migrations make."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from assign_cli.__main__ import cli
from assign_core.errors import InvalidValue
from assign_postgres.catalogue import Expectation, dumps, observed
from assign_postgres.migrate import GROUPS, HOST, migrate
from assign_postgres.migration_files import migration_files
from assign_postgres.names import Names
from assign_postgres.present import Present, present
from assign_postgres.verify import Finding, State, verify

MakeEngine = Callable[[str], Engine]


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def found(engine: Engine, groups: Iterable[str] = GROUPS, names: Names | None = None) -> list[Finding]:
    with engine.connect() as connection:
        return verify(connection, groups, names)


def faults(engine: Engine, groups: Iterable[str] = GROUPS, names: Names | None = None) -> list[Finding]:
    return [finding for finding in found(engine, groups, names) if finding.state is not State.OK]


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["verify", *arguments], prog_name="assign-core")


def test_catalogue_is_what_the_migrations_make(empty_dsn: str, make_engine: MakeEngine) -> None:
    before: Present = {}
    noted: list[Expectation] = []
    with make_engine(empty_dsn).connect() as connection, connection.begin():
        before = present(connection, "public")
        for file in migration_files(GROUPS):
            connection.exec_driver_sql(file.text, None, {"no_parameters": True})
            after = present(connection, "public")
            noted, before = observed(before, after, file.name, noted), after
    made = dumps(noted)
    stored = resources.files("assign_postgres") / "catalogue.json"
    if os.environ.get("ASSIGN_CORE_WRITE_CATALOGUE"):
        Path(str(stored)).write_text(made, "utf-8")
    remedy = (
        "the migrations have changed: look at the difference, then run this test with ASSIGN_CORE_WRITE_CATALOGUE=1"
    )
    assert stored.read_text("utf-8") == made, remedy


@pytest.mark.parametrize("groups", [GROUPS, (HOST,)])
def test_migrated_database_is_as_it_should_be(engine: Engine, groups: tuple[str, ...]) -> None:
    assert len(found(engine, groups)) > 50
    assert faults(engine, groups) == []


NO_NOTICE = """
ALTER TABLE observability_events DROP CONSTRAINT observability_events_severity_check,
    ADD CONSTRAINT observability_events_severity_check CHECK (severity IN ('info', 'warning', 'error', 'critical'))"""
SMALL = """
ALTER TABLE bookings DROP CONSTRAINT bookings_auto_assign_last_result_size,
    ADD CONSTRAINT bookings_auto_assign_last_result_size CHECK (octet_length(auto_assign_last_result::text) <= 100)"""
FREES_NOTHING = """
CREATE OR REPLACE FUNCTION auto_assign_free(restaurant text, tables text[], free_during tstzrange)
RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"""
DAMAGE = {
    "a column is gone": (
        "ALTER TABLE bookings DROP COLUMN auto_assign_idempotency_key",
        ("column", "bookings.auto_assign_idempotency_key", State.MISSING, ""),
    ),
    "a column of another type": (
        "ALTER TABLE auto_assign_emails ALTER COLUMN revision TYPE text",
        ("column", "auto_assign_emails.revision", State.WRONG, "text, not integer"),
    ),
    "a column that may be null": (
        "ALTER TABLE auto_assign_emails ALTER COLUMN state DROP NOT NULL",
        ("column", "auto_assign_emails.state", State.WRONG, "may be NULL"),
    ),
    "a severity that is refused": (
        NO_NOTICE,
        ("constraint", "observability_events.observability_events_severity_check", State.WRONG, "refuses notice"),
    ),
    "another limit of the size": (
        SMALL,
        ("constraint", "bookings.bookings_auto_assign_last_result_size", State.WRONG, "<= 100"),
    ),
    "double booking is possible": (
        "ALTER TABLE table_assignments DROP CONSTRAINT no_overlapping_table_assignments",
        ("constraint", "table_assignments.no_overlapping_table_assignments", State.MISSING, ""),
    ),
    "another index": (
        "DROP INDEX auto_assign_attempts_due; CREATE INDEX auto_assign_attempts_due ON auto_assign_attempts (due_at)",
        ("index", "auto_assign_attempts.auto_assign_attempts_due", State.WRONG, "WHERE (due_at IS NOT NULL)"),
    ),
    "another function": (
        FREES_NOTHING,
        (
            "function",
            "auto_assign_free(restaurant text, tables text[], free_during tstzrange)",
            State.WRONG,
            "not the one",
        ),
    ),
    "an owner's rights for everybody": (
        "GRANT EXECUTE ON FUNCTION forget_booking() TO PUBLIC",
        ("function", "forget_booking()", State.WRONG, "not the one"),
    ),
    "an owner's rights on whatever is found": (
        "ALTER FUNCTION forget_booking() SET search_path = public",
        ("function", "forget_booking()", State.WRONG, "not the one"),
    ),
    "nobody's rights": (
        "ALTER FUNCTION forget_booking() SECURITY INVOKER",
        ("function", "forget_booking()", State.WRONG, "not the one"),
    ),
    "a trigger that does not fire": (
        "ALTER TABLE table_assignments DISABLE TRIGGER table_assignments_deleted",
        ("trigger", "table_assignments.table_assignments_deleted", State.WRONG, "disabled"),
    ),
    "no index": (
        "DROP INDEX observability_events_booking",
        ("index", "observability_events.observability_events_booking", State.MISSING, ""),
    ),
    "no trigger": (
        "DROP TRIGGER bookings_revised ON bookings",
        ("trigger", "bookings.bookings_revised", State.MISSING, ""),
    ),
}


@pytest.mark.once
def test_damage_is_told_by_name_and_with_a_remedy_and_nothing_else_is(engine: Engine) -> None:
    run(engine, *(damage for damage, _ in DAMAGE.values()))
    told = {(each.kind, each.name): each for each in faults(engine)}
    assert set(told) == {(kind, name) for _, (kind, name, _, _) in DAMAGE.values()}
    for _, (kind, name, state, detail) in DAMAGE.values():
        finding = told[kind, name]
        assert (finding.state, bool(finding.remedy)) == (state, True)
        assert detail in finding.detail


@pytest.mark.once
def test_missing_tables_and_extension_are_told(empty_dsn: str, make_engine: MakeEngine) -> None:
    missing = {(each.kind, each.name) for each in faults(make_engine(empty_dsn)) if each.state is State.MISSING}
    assert {("table", "bookings"), ("extension", "btree_gist"), ("table", "auto_assign_emails")} <= missing


@pytest.mark.once
def test_a_host_may_allow_more_than_we_ask(engine: Engine) -> None:
    run(
        engine,
        "ALTER TABLE observability_events DROP CONSTRAINT observability_events_severity_check, "
        "ADD CONSTRAINT of_its_own CHECK (severity IN ('debug', 'info', 'notice', 'warning', 'error', 'critical'))",
        "ALTER TABLE bookings ALTER COLUMN auto_assign_idempotency_key TYPE varchar(500), ADD COLUMN notes text",
        "ALTER TABLE bookings VALIDATE CONSTRAINT bookings_auto_assign_last_result_size",
        "CREATE INDEX of_the_host ON bookings (start_at)",
    )
    assert faults(engine) == []


@pytest.mark.once
def test_columns_of_the_host_are_told_with_the_option_that_names_them(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    run(engine, "CREATE TABLE bookings (id uuid PRIMARY KEY, state text, start_at timestamptz)")
    with engine.connect() as connection:
        migrate(connection, names=Names(status="state"))
    run(engine, "ALTER TABLE bookings ALTER COLUMN start_at TYPE timestamp")
    faulty = {each.name: each for each in faults(engine, [HOST])}
    assert {"bookings.status", "bookings.start_at"} <= set(faulty)
    assert [name for name in faulty if name.startswith("hold_tables(")], "it has the other name in it"
    assert "--status" in faulty["bookings.status"].remedy
    assert faulty["bookings.start_at"].state is State.WRONG
    names = Names(status="state")
    assert [each.name for each in faults(engine, [HOST], names)] == ["bookings.start_at"]


@pytest.mark.once
def test_reading_needs_no_right_to_write(dsn: str, engine: Engine, make_engine: MakeEngine) -> None:
    with engine.connect() as connection:
        name = connection.scalar(text("SELECT quote_ident(current_database())"))
    run(engine, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert faults(make_engine(dsn)) == []


@pytest.mark.once
def test_a_connection_in_use_is_refused(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        with pytest.raises(InvalidValue, match="open transaction"):
            verify(connection)
        assert connection.scalar(text("SELECT current_setting('transaction_read_only')")) == "off"


@pytest.mark.once
def test_command_says_that_all_is_well(dsn: str) -> None:
    said = ask("--dsn", dsn, "--group", "host", "--group", "reference")
    assert (said.exit_code, said.stderr) == (0, "")
    assert "as they should be" in said.stdout


@pytest.mark.once
def test_command_names_every_fault(dsn: str, engine: Engine) -> None:
    run(engine, NO_NOTICE, "DROP INDEX auto_assign_emails_waiting")
    said = ask("--dsn", dsn)
    assert said.exit_code == 1
    words = " ".join(said.stdout.split())
    assert "missing index auto_assign_emails.auto_assign_emails_waiting" in words
    assert "wrong constraint observability_events.observability_events_severity_check: it refuses notice" in words
    told = json.loads(ask("--dsn", dsn, "--json").stdout)
    assert told["ok"] is False
    assert sorted(each["state"] for each in told["findings"] if each["state"] != "ok") == ["missing", "wrong"]


@pytest.mark.once
def test_command_names_a_missing_table_and_not_what_it_would_have(empty_dsn: str) -> None:
    """A line for each, whole, so that it can be searched."""
    said = ask("--dsn", empty_dsn)
    assert said.exit_code == 1
    lines = said.stdout.splitlines()
    told = [line for line in lines if line.startswith("missing ") and ": it is not there; " in line]
    heading = 1 + len({each["kind"] for each in json.loads(ask("--dsn", empty_dsn, "--json").stdout)["findings"]})
    assert len(lines) == heading + len(told), "nothing is folded"
    assert any(line.startswith("missing table auto_assign_emails: ") for line in told)
    parts = [line.split()[1:3] for line in told if "." in line.partition(":")[0]]
    assert parts == [], "each would be in a table that is missing"


@pytest.mark.once
def test_command_names_what_a_table_lacks_beside_one_that_is_missing(dsn: str, engine: Engine) -> None:
    run(engine, "DROP TABLE auto_assign_freed CASCADE", "DROP INDEX auto_assign_emails_waiting")
    told = [line.partition(":")[0] for line in ask("--dsn", dsn).stdout.splitlines() if line.startswith("missing ")]
    assert "missing table auto_assign_freed" in told
    assert "missing index auto_assign_emails.auto_assign_emails_waiting" in told
    assert not [line for line in told if "auto_assign_freed." in line]
