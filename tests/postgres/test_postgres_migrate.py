"""``migrate`` applies what is missing, once, whole, in order; and refuses in one line what it cannot do."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from sqlalchemy import Engine, text

from assign_cli.__main__ import cli
from assign_core.errors import InvalidValue
from assign_postgres.migrate import GROUPS, HOST, Applied, MigrationError, migrate, pending
from assign_postgres.migration_files import migration_files
from assign_postgres.names import Names, quoted
from assign_postgres.present import present
from assign_postgres.verify import State, verify

MakeEngine = Callable[[str], Engine]
BOTH = ("--group", "host", "--group", "reference")
FOREIGN = """
CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status text, start_at timestamptz, note text)"""
WITHOUT_NOTICE = """
CREATE TABLE observability_events (
    id bigint PRIMARY KEY, at timestamptz NOT NULL, name text NOT NULL, booking_id text, attempt_id text,
    context jsonb NOT NULL, severity text NOT NULL CHECK (severity IN ('info', 'error'))
)"""


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, None, {"no_parameters": True})


def apply(engine: Engine, groups: tuple[str, ...] = (HOST,), names: Names | None = None) -> list[Applied]:
    with engine.connect() as connection:
        return migrate(connection, groups, names)


def ledger(engine: Engine, names: Names | None = None) -> list[tuple[str, str]]:
    statement = (names or Names()).sql("SELECT name, checksum FROM {schema}.assign_core_migrations ORDER BY applied_at")
    with engine.connect() as connection:
        return [(row[0], row[1]) for row in connection.exec_driver_sql(statement, None, {"no_parameters": True})]


def everything(engine: Engine, schema: str = "public") -> dict[Any, str]:
    with engine.connect() as connection, connection.begin():
        return {thing: shape for thing, shape in present(connection, schema).items() if thing.name != "plpgsql"}


def faults(engine: Engine, groups: tuple[str, ...] = (HOST,), names: Names | None = None) -> list[str]:
    with engine.connect() as connection:
        return [each.name for each in verify(connection, groups, names) if each.state is not State.OK]


def ask(*arguments: str, env: dict[str, str | None] | None = None) -> Result:
    found = CliRunner().invoke(
        cli, ["migrate", *arguments], prog_name="assign-core", env={"ASSIGN_CORE_DSN": None, **(env or {})}
    )
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def refusal(engine: Engine, groups: tuple[str, ...] = (HOST,), names: Names | None = None) -> str:
    with pytest.raises(MigrationError) as caught:
        apply(engine, groups, names)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# What it does.


def test_files_are_applied_once_in_the_order_of_their_time_stamps(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    applied = [(each.name, each.checksum) for each in apply(engine, GROUPS)]
    stamps = [name.partition("/")[2] for name, _ in applied]
    assert stamps == sorted(stamps)
    assert {name.partition("/")[0] for name, _ in applied} == set(GROUPS)
    assert ledger(engine) == applied
    assert apply(engine, GROUPS) == []


@pytest.mark.once
def test_reference_group_brings_the_host_group_that_it_stands_on(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    applied = [each.name for each in apply(engine, ("reference",))]
    assert applied == [file.name for file in migration_files(GROUPS)]
    assert faults(engine, ("reference",)) == []


def test_every_file_is_safe_to_run_twice(engine: Engine) -> None:
    before = everything(engine)
    run(engine, *(file.text for file in migration_files(GROUPS)))
    assert everything(engine) == before


def test_host_group_works_alone_on_a_foreign_table(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    run(engine, FOREIGN, "INSERT INTO bookings (note) SELECT 'old' FROM generate_series(1, 1000)")
    with engine.connect() as connection:
        before = connection.scalar(text("SELECT pg_relation_filenode('bookings')"))
    assert len(apply(engine)) == len(migration_files())
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pg_relation_filenode('bookings')")) == before, "the table was rewritten"
        assert connection.scalar(text("SELECT count(*) FROM bookings WHERE revision = 0")) == 1000
        assert (
            connection.scalar(text("SELECT convalidated FROM pg_constraint WHERE conname LIKE 'bookings_auto%'"))
            is False
        )
    assert faults(engine) == []


@pytest.mark.parametrize("ids", ["uuid", "char(36)"])
def test_what_was_closed_long_ago_is_due_no_more_and_nobody_is_waited_for(
    empty_dsn: str, make_engine: MakeEngine, ids: str
) -> None:
    """Since before the trigger said so. What is open stays, and so does a row that somebody has."""
    engine = make_engine(empty_dsn)
    run(engine, FOREIGN.replace("uuid", ids, 1))
    apply(engine)
    (file,) = [each for each in migration_files() if each.file.endswith("_open_again.sql")]
    run(
        engine,
        "INSERT INTO bookings (status) VALUES ('pending'), ('pending_allocation'), ('cancelled'), ('arrived'), (NULL)",
        "INSERT INTO bookings (status, note) VALUES ('cancelled', 'locked')",
        "INSERT INTO auto_assign_attempts (booking_id, due_at, parked_at_version) SELECT id, now(), 7 FROM bookings",
        "INSERT INTO auto_assign_attempts (booking_id, due_at) VALUES (gen_random_uuid(), now())",
    )
    with engine.connect() as other, other.begin():
        other.exec_driver_sql(
            "SELECT FROM auto_assign_attempts JOIN bookings ON id::text = booking_id WHERE note = 'locked' "
            "FOR UPDATE OF auto_assign_attempts"
        )
        run(engine, "SET lock_timeout = '10s'", file.text)
    with engine.connect() as connection:
        due = connection.exec_driver_sql(
            "SELECT coalesce(note, status), parked_at_version FROM auto_assign_attempts "
            "LEFT JOIN bookings ON id::text = booking_id WHERE due_at IS NOT NULL ORDER BY 1"
        )
        assert [tuple(row) for row in due] == [("locked", 7), ("pending", 7), ("pending_allocation", 7)]


def test_default_names_leave_the_files_as_they_are() -> None:
    folder = Path(__file__).parents[2] / "migrations"
    for file in migration_files(GROUPS):
        assert file.text == (folder / file.name).read_text("utf-8")


HOSTILE = {
    "quotes": 'we"ird "" \'name\'',
    "statement": "x; DROP TABLE bookings; --",
    "placeholders": "100% %s %(a)s :name {id} $1 $$ /* \\",
    "unicode": "Tischbüchung 予約 \u202e 🍽",
    "longest": "é" * 31 + "x",
    "system": "pg_class",
    "keyword": "select",
    "upper": "Bookings",
}


@pytest.mark.once
@pytest.mark.parametrize("name", HOSTILE.values(), ids=list(HOSTILE))
def test_names_of_the_host_are_put_in(empty_dsn: str, make_engine: MakeEngine, name: str) -> None:
    engine = make_engine(empty_dsn)
    schema = "select" if name == "pg_class" else name  # a schema's name may not begin with pg_
    short = name[:8]
    names = Names(
        schema=schema,
        bookings=name,
        id="i" + short,
        status="s" + short,
        last_result=name,
        revision="r" + short,
        holds="h" + short,
        assignments="a" + short,
    )
    columns = f"{quoted(names.id)} text, {quoted(names.status)} text, start_at timestamptz"
    run(engine, f"CREATE SCHEMA {quoted(schema)}", names.sql(f"CREATE TABLE {{bookings}} ({columns})"))
    assert len(apply(engine, names=names)) == len(migration_files())
    assert apply(engine, names=names) == []
    assert faults(engine, names=names) == []
    assert [table for table in everything(engine) if table.kind == "table"] == []
    with pytest.raises(Exception, match="bookings_auto_assign_last_result_size"):
        run(engine, names.sql("""INSERT INTO {bookings} ({last_result}) SELECT to_jsonb(repeat('x', 1024))"""))
    call = names.sql("SELECT {schema}.auto_assign_free('r', ARRAY['t'], NULL)")
    run(engine, call, names.sql("UPDATE {bookings} SET {revision} = 1"))
    # And it is told what is not so.
    run(engine, names.sql("ALTER TABLE {assignments} DROP CONSTRAINT no_overlapping_table_assignments"))
    run(engine, names.sql("ALTER TABLE {bookings} DISABLE TRIGGER bookings_unseated"))
    broken = "CREATE OR REPLACE FUNCTION {schema}.release_holds(booking text, attempt text) RETURNS integer"
    run(engine, names.sql(broken) + " LANGUAGE sql AS 'SELECT 0'")
    assert faults(engine, names=names) == [
        f"{names.assignments}.no_overlapping_table_assignments",
        "release_holds(booking text, attempt text)",
        f"{names.bookings}.bookings_unseated",
    ]


def test_only_declared_words_are_replaced_and_none_inside_text() -> None:
    plain = {file.name: file.text for file in migration_files()}
    for file in migration_files(names=Names(revision="version", bookings="b")):
        if "_columns" in file.file:
            code = [line for line in file.text.splitlines() if not line.startswith("--")]
            assert 'ADD COLUMN IF NOT EXISTS "version" integer' in file.text
            assert not any("revision" in line or "TABLE bookings" in line for line in code)
        elif not file.touches_bookings:
            assert file.text == plain[file.name]


def test_what_is_replaced_in_a_functions_body_does_not_end_it() -> None:
    hostile = "a $$ b $x$ c"
    (file,) = [each for each in migration_files(names=Names(holds=hostile)) if "holds" in each.file]
    assert file.text.count(quoted(hostile)) >= 10
    tags = re.findall(r"^AS (\$\w*\$)$", file.text, re.MULTILINE)
    assert set(tags) == {"$$", "$xx$"}
    for tag in set(tags):
        assert file.text.count(f"{tag};") == tags.count(tag)


def test_reference_schema_has_names_of_its_own() -> None:
    with pytest.raises(InvalidValue, match="the reference schema calls it 'bookings', not 'orders'"):
        migration_files(GROUPS, Names(bookings="orders"))


def test_reference_schema_works_in_a_schema_of_any_name(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine, names = make_engine(empty_dsn), Names(schema='my "own"')
    run(engine, f"CREATE SCHEMA {quoted(names.schema)}")
    apply(engine, GROUPS, names)
    assert faults(engine, GROUPS, names) == []
    # Its functions and triggers find their tables, whatever the caller's search_path is.
    qualified = [
        "INSERT INTO {schema}.restaurants VALUES ('r', 'R')",
        "INSERT INTO {schema}.seating_durations VALUES ('r', NULL, '2 hours')",
        "INSERT INTO {schema}.restaurant_tables VALUES ('t', 'r', 'main', 4)",
        "INSERT INTO {schema}.bookings (id, restaurant_id, party_size, start_at) VALUES ('b', 'r', 2, now())",
    ]
    run(engine, *(names.sql(statement) for statement in qualified))
    with engine.connect() as connection:
        version = names.sql("SELECT {schema}.booking_capacity_version('b', now())")
        assert connection.exec_driver_sql(version).scalar() == 1


# What it refuses, with nothing written.


@pytest.mark.once
def test_without_a_bookings_table_nothing_is_written(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    said = refusal(engine)
    assert "there is no table 'bookings' in schema 'public'" in said
    assert "--bookings" in said
    assert everything(engine) == {}
    run(engine, "CREATE VIEW bookings AS SELECT 1 AS id")
    assert "is no table" in refusal(engine)
    assert "there is no schema 'elsewhere'" in refusal(engine, names=Names(schema="elsewhere"))


@pytest.mark.once
@pytest.mark.parametrize(
    ("obstacle", "groups", "words"),
    [
        ("ALTER TABLE bookings ADD COLUMN revision text", (HOST,), ["bookings.revision", "text", "--revision"]),
        (
            "ALTER TABLE bookings ADD auto_assign_last_result json",
            (HOST,),
            ["auto_assign_last_result", "json", "jsonb"],
        ),
        (
            WITHOUT_NOTICE,
            (HOST,),
            ["observability_events_severity_check", "refuses notice, warning, critical"],
        ),
        ("CREATE TABLE auto_assign_emails (id text)", (HOST,), ["auto_assign_emails.kind", "not there"]),
        ("CREATE VIEW auto_assign_freed AS SELECT 1", (HOST,), ["table auto_assign_freed", "view"]),
        ("SELECT 1", GROUPS, ["bookings.id", "uuid"]),
        (
            "CREATE TABLE table_holds (id text)",
            (HOST,),
            ["table_holds.attempt_id", "rename that table", "name ours otherwise with --holds"],
        ),
        ("ALTER TABLE bookings DROP COLUMN status", (HOST,), ["bookings.status: it is not there", "--status"]),
        (
            "ALTER TABLE bookings ALTER COLUMN start_at TYPE date",
            (HOST,),
            ["bookings.start_at: its type is date", "name another column with --start-at"],
        ),
    ],
    ids=["revision", "blob", "severity", "shape", "view", "reference", "holds", "no status", "start"],
)
def test_what_is_in_the_way_is_told_beforehand(
    empty_dsn: str, make_engine: MakeEngine, obstacle: str, groups: tuple[str, ...], words: list[str]
) -> None:
    engine = make_engine(empty_dsn)
    run(engine, FOREIGN, obstacle)
    before = everything(engine)
    said = refusal(engine, groups)
    assert [word for word in words if word not in said] == []
    assert everything(engine) == before


def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    run(
        engine,
        FOREIGN,
        "CREATE FUNCTION auto_assign_free(text, text[], tstzrange) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    )
    with pytest.raises(
        MigrationError, match=r"^host/\d+_auto_assign_capacity.sql was not applied: .* nothing of it"
    ) as caught:
        apply(engine)
    assert [(each.name, each.checksum) for each in caught.value.applied] == ledger(engine)
    assert len(caught.value.applied) == 4
    assert not [thing for thing in everything(engine) if thing.name == "auto_assign_capacity"]
    run(engine, "DROP FUNCTION auto_assign_free(text, text[], tstzrange)")
    assert len(apply(engine)) == len(migration_files()) - 4
    assert faults(engine) == []


@pytest.mark.once
def test_a_file_that_was_changed_is_named(engine: Engine) -> None:
    name = "host/20260101000300_auto_assign_emails.sql"
    run(engine, "UPDATE assign_core_migrations SET checksum = repeat('0', 64) WHERE name LIKE '%emails.sql'")
    said = refusal(engine)
    assert said.startswith(f"{name} was changed after it was applied")
    assert "restore" in said


@pytest.mark.once
def test_other_names_than_those_that_were_applied_are_no_silent_success(engine: Engine) -> None:
    run(engine, "CREATE TABLE orders (id text, status text, start_at timestamptz)")
    assert "or was applied with other names" in refusal(engine, names=Names(bookings="orders"))


@pytest.mark.once
def test_a_connection_in_use_is_refused(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin(), pytest.raises(InvalidValue, match="open transaction"):
        migrate(connection)
    automatic = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with automatic as connection, pytest.raises(InvalidValue, match="autocommit"):
        pending(connection)


@pytest.mark.once
def test_a_role_without_rights_is_told_so(server: Any, empty_dsn: str, make_engine: MakeEngine) -> None:
    role = f"reader_{abs(hash(empty_dsn))}"
    engine = make_engine(empty_dsn)
    run(engine, FOREIGN, f"CREATE ROLE {role}")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET ROLE {role}")
            connection.commit()
            with pytest.raises(MigrationError, match="owner"):
                migrate(connection)
    finally:
        server.run("DROP ROLE {}", sql.Identifier(role))


def test_the_owner_of_a_schema_alone_is_told_what_an_administrator_has_to_do(
    server: Any, empty_dsn: str, make_engine: MakeEngine
) -> None:
    """The extension needs a right on the database; once it is there, the owner can do the rest."""
    role = f"{psycopg.conninfo.conninfo_to_dict(empty_dsn)['dbname']}_owner"
    names = Names(schema="house")
    engine = make_engine(empty_dsn)
    run(engine, f"CREATE ROLE {role}", f"CREATE SCHEMA house AUTHORIZATION {role}")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET ROLE {role}")
            connection.exec_driver_sql(FOREIGN.replace("bookings", "house.bookings"))
            connection.commit()
            with pytest.raises(MigrationError, match="administrator run `CREATE EXTENSION btree_gist`") as caught:
                migrate(connection, (HOST,), names)
            assert "holds_and_assignments" in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1
            connection.exec_driver_sql("RESET ROLE")
            connection.exec_driver_sql("CREATE EXTENSION btree_gist")
            connection.exec_driver_sql(f"SET ROLE {role}")
            connection.commit()
            assert migrate(connection, (HOST,), names)
        assert faults(engine, names=names) == []
    finally:
        server.drop(psycopg.conninfo.conninfo_to_dict(empty_dsn)["dbname"])
        server.run("DROP ROLE {}", sql.Identifier(role))


# In company.


def waiting(server: Any, dsn: str, how_many: int) -> list[int]:
    """The processes of this database that wait for a lock, once there are so many."""
    database = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    found: list[int] = []
    for _ in range(200_000):
        rows = server.admin.execute(
            "SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND "
            "pid IN (SELECT pid FROM pg_stat_activity WHERE datname = %s)",
            [database],
        )
        found = [row[0] for row in rows]
        if len(found) >= how_many:
            return found
    raise AssertionError(f"only {found} wait for a lock")


@pytest.mark.once
def test_two_at_once_apply_each_file_once(server: Any, empty_dsn: str, make_engine: MakeEngine) -> None:
    script = [sys.executable, "-m", "assign_cli", "migrate", "--dsn", empty_dsn, *BOTH]
    with psycopg.connect(empty_dsn) as holder:
        # Both are past their look at what is missing, and wait for the lock: the worst moment.
        holder.execute("SELECT pg_advisory_xact_lock(%s)", [0x617373_69676E])
        started = [
            subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        waiting(server, empty_dsn, 2)
    answers = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], answers
    said = [line for out, _ in answers for line in out.splitlines() if line.startswith("applied ")]
    assert sorted(said) == sorted(f"applied {file.name}" for file in migration_files(GROUPS))
    assert faults(make_engine(empty_dsn), GROUPS) == []


def test_a_server_that_goes_away_in_the_middle(server: Any, empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    run(engine, FOREIGN)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            apply(engine)
        except MigrationError as error:
            caught.append(error)

    with psycopg.connect(empty_dsn) as reader:
        reader.execute("SELECT FROM bookings")
        thread = threading.Thread(target=work)
        thread.start()
        (backend,) = waiting(server, empty_dsn, 1)
        server.admin.execute("SELECT pg_terminate_backend(%s)", [backend])
        thread.join(60)
    (error,) = caught
    assert "auto_assign_columns.sql was not applied: the connection was lost" in str(error)
    assert "run it again" in str(error)
    assert [thing for thing in everything(engine) if thing.name == "assign_core_migrations"] == []
    assert len(apply(engine)) == len(migration_files())
    assert faults(engine) == []


@pytest.mark.once
def test_whoever_reads_the_table_for_long_makes_it_give_up_soon(empty_dsn: str, make_engine: MakeEngine) -> None:
    engine = make_engine(empty_dsn)
    run(engine, FOREIGN)
    with psycopg.connect(empty_dsn) as reader:
        reader.execute("SELECT FROM bookings")
        assert "at a quieter moment" in refusal(engine)
    assert {thing.table for thing in everything(engine)} <= {"", "bookings"}


# The command.


@pytest.mark.once
def test_dry_run_says_what_would_be_and_changes_nothing(empty_dsn: str, make_engine: MakeEngine) -> None:
    said = ask("--dsn", empty_dsn, *BOTH, "--dry-run")
    assert said.stdout.splitlines() == [f"would apply {file.name}" for file in migration_files(GROUPS)]
    assert everything(make_engine(empty_dsn)) == {}
    assert ask("--dsn", empty_dsn, *BOTH).stdout.count("applied ") == len(migration_files(GROUPS))
    assert ask("--dsn", empty_dsn, *BOTH, "--dry-run").stdout.startswith("nothing to apply: all ")


def test_printed_sql_can_be_run_as_it_is(empty_dsn: str, make_engine: MakeEngine) -> None:
    printed = ask(*BOTH, "--print").stdout
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        for _ in range(2):
            connection.execute(printed.encode())
    engine = make_engine(empty_dsn)
    assert faults(engine, GROUPS) == []
    assert apply(engine, GROUPS) != []  # nothing was noted, so it looks again, and nothing is in the way
    assert faults(engine, GROUPS) == []


def test_printed_sql_has_the_names_of_the_host() -> None:
    said = ask("--print", "--schema", "my schema", "--bookings", 'the "bookings"', "--revision", "version")
    assert 'SET LOCAL search_path = "my schema";' in said.stdout
    assert 'ALTER TABLE "my schema"."the ""bookings"""' in said.stdout
    assert 'ADD COLUMN IF NOT EXISTS "version" integer' in said.stdout


SECRET = "hunter2"  # noqa: S105 - what must not be shown


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        (f"mysql://u:{SECRET}@h/d", "is no PostgreSQL connection string"),
        (f"u:{SECRET}@h/d", "is no PostgreSQL connection string"),
        (f"postgresql://u:{SECRET}@[h/d", "is no PostgreSQL connection string"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/d", "cannot be reached"),
        (f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/d", "cannot be reached"),
        (f"host=127.0.0.1 port=1 password={SECRET}", "cannot be reached"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/d?no_such_option=1", "is no PostgreSQL connection string"),
        ("", "no database was named"),
    ],
)
def test_a_bad_dsn_is_one_line_without_the_password(dsn: str, words: str) -> None:
    for said in (ask("--dsn", dsn), ask(env={"ASSIGN_CORE_DSN": dsn})):
        assert said.exit_code == 2, said.output
        assert said.stdout == ""
        assert words in said.stderr
        assert SECRET not in said.stderr
        assert len(said.stderr.splitlines()) == 1


@pytest.mark.once
def test_a_failed_migration_ends_with_one_and_one_line(empty_dsn: str) -> None:
    said = ask("--dsn", empty_dsn)
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr.startswith("assign-core: there is no table 'bookings'")
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--print", "--dry-run"], "pass one of them"),
        (["--print", "--schema", ""], "Names.schema"),
        (["--print", "--bookings", "x" * 64], "63 bytes"),
        (["--print", "--group", "others"], "others"),
        (["--print", *BOTH, "--bookings", "orders"], "the reference schema calls it"),
        ([], "no database was named"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], words: str) -> None:
    said = ask(*arguments)
    assert said.exit_code == 2, said.output
    assert words in said.stderr
    assert len(said.stderr.splitlines()) == 1
