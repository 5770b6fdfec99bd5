"""A host's own role changes bookings, and knows nothing of our tables: the triggers act with their owner's rights.
Nobody else gets those rights by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine
from tests.postgres.conftest import Server
from tests.postgres.test_postgres_host import Host

from assign_core import Verdict
from assign_postgres import Names
from assign_postgres.names import quoted

EVENING: Final = "[2026-01-09 19:00Z,2026-01-09 21:00Z)"
NAMES: Final = {
    "default": Names(),
    "quotes": Names(
        schema="""a "b" 'c', pg_temp""", bookings="$$ table", holds="h$_$", assignments="former", id="latter"
    ),
}


@pytest.fixture(params=list(NAMES))
def host(request: pytest.FixtureRequest, empty_dsn: str, make_engine: Callable[[str], Engine]) -> Iterator[Host]:
    """Two bookings, each with a hold, a table, a lease and an e-mail."""
    made = Host(make_engine(empty_dsn), NAMES[request.param])
    for number in range(2):
        booking = made.book()
        values = {"booking": booking, "seat": f"t{number}"}
        made.run(
            "INSERT INTO {assignments} VALUES (:booking, :seat, 'house', CAST(:during AS tstzrange))",
            **values,
            during=EVENING,
        )
        made.run(
            "INSERT INTO {holds} VALUES ('h' || :seat, :seat, :booking, 'a', 'house', "
            "CAST(:during AS tstzrange), '2026-01-09 12:05Z')",
            **values,
            during=EVENING,
        )
        made.run("INSERT INTO {schema}.auto_assign_attempts (booking_id) VALUES (:booking)", booking=booking)
        made.run(
            "INSERT INTO {schema}.auto_assign_emails (booking_id, kind, revision) VALUES (:booking, 'confirmation', 0)",
            booking=booking,
        )
    made.run("UPDATE {bookings} SET {status} = 'confirmed'")
    yield made
    made.telemetry.close()


@pytest.fixture
def role(server: Server, host: Host, empty_dsn: str) -> Iterator[psycopg.Connection]:
    """A role with rights on the bookings alone."""
    name = sql.Identifier(f"{conninfo_to_dict(empty_dsn)['dbname']}_role")
    server.run("CREATE ROLE {}", name)
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        called = sql.SQL(host.names.sql("{bookings}"))
        schema = sql.Identifier(host.names.schema)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, name))
        connection.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(called, name))
        connection.execute(sql.SQL("SET ROLE {}").format(name))
        yield connection
        connection.execute("RESET ROLE")
        connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
    server.run("DROP ROLE {}", name)


def execute(connection: psycopg.Connection, names: Names, statement: str) -> None:
    connection.execute(names.sql(statement).encode())


def left(host: Host) -> list[int]:
    tables = ("{assignments}", "{holds}", "{schema}.auto_assign_attempts", "{schema}.auto_assign_emails")
    return [host.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables]  # noqa: S608 - our names


def test_who_may_change_bookings_needs_no_rights_on_our_tables(host: Host, role: psycopg.Connection) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        execute(role, host.names, "SELECT FROM {assignments}")
    execute(role, host.names, "UPDATE {bookings} SET {status} = 'cancelled'")
    assert left(host) == [0, 2, 2, 2]
    execute(role, host.names, "DELETE FROM {bookings}")
    assert left(host) == [0, 0, 0, 0]


def test_a_temporary_table_of_our_name_is_not_taken_for_ours(host: Host, role: psycopg.Connection) -> None:
    """Its triggers would run with the owner's rights."""
    role.execute("CREATE FUNCTION pg_temp.caught() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END'")
    # Kept short enough to read at a glance.
    for name in (
        host.names.assignments, host.names.holds, "auto_assign_attempts", "auto_assign_emails", "auto_assign_capacity",
        "auto_assign_freed",
    ):  # fmt: skip
        role.execute(f"CREATE TEMPORARY TABLE {quoted(name)} (booking_id text, restaurant_id text)".encode())
        role.execute(
            f"CREATE TRIGGER caught BEFORE INSERT OR UPDATE OR DELETE ON pg_temp.{quoted(name)} "
            "FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.caught()".encode()
        )
    execute(role, host.names, "UPDATE {bookings} SET {status} = 'cancelled'")
    execute(role, host.names, "DELETE FROM {bookings}")
    assert left(host) == [0, 0, 0, 0]


def test_nobody_puts_our_functions_on_a_table_of_his_own(host: Host, role: psycopg.Connection) -> None:
    """Its rows would name the bookings to be forgotten."""
    found = host.rows(
        "SELECT proname FROM pg_proc WHERE pronamespace = CAST(:name AS regnamespace) AND prosecdef ORDER BY 1",
        name=quoted(host.names.schema),
    )
    assert {"forget_booking", "unassign_booking"} <= {row[0] for row in found}
    role.execute("CREATE TEMPORARY TABLE mine (id text)")
    for (name,) in found:
        with pytest.raises(errors.InsufficientPrivilege):
            # Kept short enough to read at a glance.
            execute(
                role, host.names,
                "CREATE TRIGGER mine AFTER DELETE ON mine REFERENCING OLD TABLE AS former "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {{schema}}.{name}()",
            )  # fmt: skip


@pytest.mark.once
def test_columns_of_the_host_are_not_taken_for_our_variables(
    empty_dsn: str, make_engine: Callable[[str], Engine]
) -> None:
    host = Host(make_engine(empty_dsn), Names())
    words = (
        "wanted hold booking attempt restaurant tables held_during moment held_until leased_to taken asked name lock"
    )
    words += " unseated gone former latter booking_id attempt_id restaurant_id table_id during expires_at"
    for word in words.split():
        host.run(f"ALTER TABLE bookings ADD COLUMN {word} text")
    booking = host.book()
    assert host.app.inline(booking).verdict is Verdict.CONFIRMED
    host.run("UPDATE bookings SET status = 'cancelled'")
    host.run("DELETE FROM bookings")
    assert left(host) == [0, 0, 0, 0]
    host.telemetry.close()
