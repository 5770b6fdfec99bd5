"""What the database is made to pay: for the migration of a large table, for a result, for an attempt.

``ASSIGN_CORE_BIG=1`` does the same on a million bookings instead of a hundred thousand. Times are the benchmark's;
here it is what they follow from that is asserted: nothing is rewritten, nothing is scanned, updates stay within their
page, and the network is crossed twice.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine, create_engine, text
from tests.postgres.conftest import Server
from tests.postgres.test_postgres_lessons import NOON, House, T

from assign_core import AutoAssign, Verdict
from assign_core.last_result import LastResult, Source
from assign_core.ports import Acquired, Lease, Record
from assign_memory import VirtualRuntime
from assign_postgres.errors import DatabaseFailure
from assign_postgres.mailer import PostgresMailer
from assign_postgres.migrate import HOST, MigrationError, migrate
from assign_postgres.migration_files import MigrationFile, migration_files
from assign_postgres.names import Names
from assign_postgres.outbox import PostgresOutbox
from assign_postgres.store import PostgresStore

BIG: Final = os.environ.get("ASSIGN_CORE_BIG") == "1"
ROWS: Final = 1_000_000 if BIG else 100_000

_HOST_TABLE: Final = """
CREATE TABLE bookings (
    id text PRIMARY KEY, status text NOT NULL, start_at timestamptz NOT NULL,
    name text, notes text, price numeric, tags text[]
)"""
_HOST_ROWS: Final = """
INSERT INTO bookings
SELECT 'b' || n, 'confirmed', timestamptz '2026-01-01 12:00Z' + make_interval(mins => n), 'Guest ' || n,
       repeat('a note ', 20), n / 100.0, ARRAY['window', 'quiet']
FROM generate_series(1, {rows}) AS n"""


@pytest.fixture(scope="module")
def large(server: Server) -> Iterator[str]:
    """A host's database with a large, wide bookings table, and nothing of ours."""
    name = server.create()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(_HOST_TABLE)
        connection.execute(_HOST_ROWS.format(rows=ROWS).encode())
        connection.execute("VACUUM (ANALYZE) bookings")
    yield server.dsn(name)
    server.drop(name)


def _state(connection: psycopg.Connection) -> dict[str, Any]:
    """What a rewrite or a scan would change."""
    found = connection.execute(
        "SELECT pg_stat_force_next_flush(), pg_relation_filenode('bookings'), pg_relation_size('bookings'), "
        "(SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'bookings')"
    ).fetchone()
    assert found is not None
    return {"filenode": found[1], "size": found[2], "read": found[3]}


def test_the_columns_are_added_without_a_rewrite_or_a_scan(large: str, make_engine: Callable[[str], Engine]) -> None:
    engine = make_engine(large)
    with psycopg.connect(large, autocommit=True) as connection:
        before = _state(connection)
        for _ in range(2):  # safe to run twice
            with engine.connect() as migrating:
                migrate(migrating, (HOST,), Names())
        with engine.begin() as again:
            # And its text once more, for hosts that copy it into a folder of their own.
            text_of = [file.text for file in _files() if "auto_assign_columns" in file.name]
            again.exec_driver_sql(text_of[0], None, {"no_parameters": True})
        after = _state(connection)
        assert after == before
        (valid,) = connection.execute(  # type: ignore[misc]  # one row, or the test fails
            "SELECT convalidated FROM pg_constraint WHERE conname = 'bookings_auto_assign_last_result_size'"
        ).fetchone()
        assert not valid, "validating would have read the whole table"


def _files() -> list[MigrationFile]:
    return migration_files((HOST,), Names())


def test_the_migration_does_not_queue_for_long_behind_a_reader(
    empty_dsn: str, make_engine: Callable[[str], Engine]
) -> None:
    """Whoever waits for an exclusive lock makes everybody behind it wait too."""
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(_HOST_TABLE)
        with connection.transaction():
            connection.execute("SELECT FROM bookings")  # a report that takes all day
            started = time.monotonic()
            with make_engine(empty_dsn).connect() as migrating, pytest.raises(MigrationError, match="lock"):
                migrate(migrating, (HOST,), Names())
            assert time.monotonic() - started < 15
        columns = connection.execute("SELECT FROM information_schema.columns WHERE table_name = 'bookings'").rowcount
        assert columns == 7, "nothing half-written"


# A result, on the host's own table.


@dataclass
class Figures:
    """What PostgreSQL has counted of the host's table."""

    updated: int
    hot: int
    read_in_scans: int


def _figures(dsn: str) -> Figures:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT n_tup_upd, n_tup_hot_upd, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'bookings'"
        ).fetchone()
    assert row is not None
    return Figures(*row)


class Recorder:
    """Attempts on a host's table, counted from when it is made. Use it as a context manager."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._before = _figures(dsn)
        self._engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), pool_size=1)
        self._runtime = VirtualRuntime(NOON)
        self._store = PostgresStore(self._engine, self._runtime)
        self._recorded = 0

    def book(self, booking_id: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                text("INSERT INTO bookings VALUES (:id, 'pending', now(), 'Guest', :notes)"),
                {"id": booking_id, "notes": "a note " * 20},
            )

    def record(self, booking_id: str) -> None:
        now, attempt = self._runtime.now(), self._runtime.new_id()
        lease = Lease(attempt_id=attempt, source=Source.JOB, taken_at=now, expires_at=now + timedelta(minutes=1))
        assert isinstance(self._store.acquire(booking_id, lease, timeout=T), Acquired)
        result = LastResult(
            source=Source.JOB,
            recorded_at=now,
            success=False,
            reason="No tables available for requested window",
            attempt_id=attempt,
        )
        entry = Record(booking_id=booking_id, attempt_id=attempt, result=result)
        assert self._store.record(entry, timeout=T).last is not None
        self._recorded += 1

    def counted(self) -> Figures:
        """Since it was made. A session that ends tells its figures."""
        self._engine.dispose()
        end = time.monotonic() + 10
        while (now := _figures(self._dsn)).updated < self._before.updated + self._recorded:
            assert time.monotonic() < end, now
        return Figures(
            now.updated - self._before.updated,
            now.hot - self._before.hot,
            now.read_in_scans - self._before.read_in_scans,
        )


@pytest.fixture
def migrated(large: str, make_engine: Callable[[str], Engine]) -> str:
    """The large table with our columns."""
    with make_engine(large).connect() as connection:
        migrate(connection, (HOST,), Names())
    return large


def test_old_bookings_on_full_pages_are_found_by_index_and_move(migrated: str) -> None:
    """The first result makes the row longer, and a page that was filled to the brim years ago has no room."""
    recorder = Recorder(migrated)
    for number in range(1, ROWS, ROWS // 200):
        recorder.record(f"b{number}")
    counted = recorder.counted()
    assert (counted.updated, counted.hot, counted.read_in_scans) == (200, 0, 0)


@pytest.mark.parametrize("fillfactor", [100, 90])
def test_results_of_new_bookings_are_hot_where_a_tenth_of_each_page_is_kept_free(
    migrated: str, fillfactor: int
) -> None:
    """As they come: a result a little after the booking, and another when others have come in between."""
    with psycopg.connect(migrated, autocommit=True) as connection:
        before = _state(connection)
        connection.execute(f"ALTER TABLE bookings SET (fillfactor = {fillfactor})".encode())
        assert _state(connection) == before, "nothing is rewritten"
    recorder = Recorder(migrated)
    for number in range(600):
        recorder.book(f"new{fillfactor}-{number}")
        recorder.record(f"new{fillfactor}-{number}")
        if number >= 3:
            recorder.record(f"new{fillfactor}-{number - 3}")
    counted = recorder.counted()
    assert (counted.updated, counted.read_in_scans) == (600 + 597, 0)
    assert counted.hot == counted.updated if fillfactor == 90 else 0 < counted.hot < counted.updated


@pytest.fixture
def house(engine: Engine) -> House:
    return House(engine).furnish()


def _fill(house: House, rows: int) -> None:
    house.run(
        "INSERT INTO bookings (id, restaurant_id, party_size, start_at, customer_email) "
        "SELECT 'b' || n, 'r', 2, timestamptz '2026-01-09 19:00Z', repeat('x', 60) || n "
        "FROM generate_series(1, CAST(:rows AS int)) AS n",
        rows=rows,
    )


def _updates(house: House) -> tuple[int, int]:
    """Updates of the table in all, and those that stayed within their page."""
    with house.engine.begin() as connection:
        row = connection.execute(
            text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'bookings'")
        ).one()
    return row.n_tup_upd, row.n_tup_hot_upd


def test_recording_a_result_is_a_hot_update_in_the_reference_schema(
    dsn: str, make_engine: Callable[[str], Engine]
) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), pool_size=1, max_overflow=0)
    house = House(engine).furnish()
    _fill(house, 2000)
    recorded = 200
    for number in range(1, recorded + 1):
        booking_id = f"b{number * 10}"
        house.acquire(f"a{number}", booking_id)
        house.record(f"a{number}", booking_id)
        if number % 2:  # and once more, on the same page
            house.acquire(f"c{number}", booking_id)
            house.record(f"c{number}", booking_id)
    engine.dispose()  # a session that ends tells its figures
    other = House(make_engine(dsn))
    end = time.monotonic() + 10
    while _updates(other)[0] < recorded * 3 // 2:
        assert time.monotonic() < end, _updates(other)
    updated, hot = _updates(other)
    assert updated >= recorded * 3 // 2
    assert hot == updated


def test_a_confirm_is_a_hot_update_too(house: House) -> None:
    """Neither status nor key is indexed by us."""
    house.book()
    with house.engine.connect() as connection, connection.begin():
        before = connection.execute(text("SELECT ctid::text FROM bookings WHERE id = 'b'")).scalar_one()
    house.confirmed()
    indexed = house.rows(
        "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey) "
        "WHERE indrelid = 'bookings'::regclass"
    )
    assert {row.attname for row in indexed} == {"id"}
    after = house.value("SELECT ctid::text FROM bookings WHERE id = 'b'")
    assert after != before
    assert after.split(",")[0] == before.split(",")[0], "the new version is on the same page"


def test_the_column_refuses_more_than_a_kibibyte(house: House) -> None:
    house.book()
    room = 1024 - len(json.dumps({"reason": ""}))
    house.run("UPDATE bookings SET auto_assign_last_result = :blob", blob=json.dumps({"reason": "x" * room}))
    with pytest.raises(Exception, match="bookings_auto_assign_last_result_size"):
        house.run("UPDATE bookings SET auto_assign_last_result = :blob", blob=json.dumps({"reason": "x" * (room + 1)}))


@pytest.mark.parametrize("reason", ["x" * 10_000, "\x01" * 10_000, "🍣" * 10_000, '"' * 10_000, "a, b: " * 5000])
def test_no_reason_is_too_long_to_be_recorded(house: House, reason: str) -> None:
    house.book()
    house.acquire()
    entry = Record(booking_id="b", attempt_id="a1", result=house.result(reason=reason))
    assert house.store.record(entry, timeout=T).status == "pending"
    assert house.value("SELECT octet_length(auto_assign_last_result::text) FROM bookings") <= 1024
    assert house.value("SELECT pg_column_size(auto_assign_last_result) FROM bookings") < 2000, "nothing goes to TOAST"


def test_a_typical_result_is_small(house: House) -> None:
    house.book()
    assert house.app.inline("b").verdict is Verdict.CONFIRMED
    assert house.value("SELECT octet_length(auto_assign_last_result::text) FROM bookings") < 400


# The network.


@dataclass
class Wire:
    """A relay between client and server that counts how often the client waits for an answer."""

    port: int
    turns: int = 0
    bytes_sent: int = 0
    commands: list[bytes] = field(default_factory=list)


@contextmanager
def wire(dsn: str) -> Iterator[Wire]:
    """On loopback, in front of the server."""
    parts = conninfo_to_dict(dsn)
    host, port = str(parts.get("host") or "localhost"), int(str(parts.get("port") or 5432))
    stop, stopped = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        counted = Wire(listener.getsockname()[1])

        def upstream() -> socket.socket:
            if not host.startswith("/"):
                return socket.create_connection((host, port))
            made = socket.socket(socket.AF_UNIX)
            made.connect(f"{host}/.s.PGSQL.{port}")
            return made

        def run() -> None:
            pairs: dict[socket.socket, socket.socket] = {}
            clients: set[socket.socket] = set()
            asking: set[socket.socket] = set()
            while True:
                ready, _, _ = select.select([stopped, listener, *pairs], [], [])
                if stopped in ready:
                    break
                for each in ready:
                    if each is listener:
                        client, server = listener.accept()[0], upstream()
                        pairs[client], pairs[server] = server, client
                        clients.add(client)
                        continue
                    data = each.recv(65536) if each in pairs else b""
                    if each not in pairs:
                        continue
                    if not data:
                        other = pairs.pop(each)
                        pairs.pop(other)
                        each.close()
                        other.close()
                        continue
                    if each in clients:
                        if each not in asking:
                            counted.turns += 1
                            asking.add(each)
                        counted.bytes_sent += len(data)
                        counted.commands.append(data)
                    else:
                        asking.discard(pairs[each])
                    pairs[each].sendall(data)
            for each in pairs:
                each.close()

        thread = threading.Thread(target=run, name="wire")
        thread.start()
        try:
            yield counted
        finally:
            stop.send(b"x")
            thread.join()
            stop.close()
            stopped.close()


@pytest.mark.parametrize(("party", "verdict"), [(2, Verdict.CONFIRMED), (9, Verdict.GAVE_UP)], ids=["found", "nothing"])
def test_an_inline_attempt_crosses_the_network_twice_beside_the_planner(
    engine: Engine, dsn: str, party: int, verdict: Verdict
) -> None:
    house = House(engine, relay=True).furnish()
    house.run(
        "INSERT INTO restaurant_tables (id, restaurant_id, seats) "
        "SELECT 't' || n, 'r', 2 FROM generate_series(1, 30) AS n"
    )
    for number in range(20):
        house.book(f"warm{number}", party=2 if number % 2 else 9)
        house.book(f"b{number}", party=party)
    with wire(dsn) as counted:
        through = make_conninfo(
            dsn, host="127.0.0.1", port=counted.port, sslmode="disable", gssencmode="disable", connect_timeout=10
        )
        stores = create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(through), pool_size=1, max_overflow=0
        )
        app = AutoAssign(
            store=PostgresStore(stores, house.runtime),
            planner=house.planner,
            mailer=PostgresMailer(PostgresOutbox(stores, house.runtime)),
            telemetry=house.telemetry,
            runtime=house.runtime,
            planner_keeps_time=True,
        )
        # The first calls of a connection also ask who the server is, and prepare what is asked often.
        for number in range(20):
            app.inline(f"warm{number}")
        for number in range(5):
            before = counted.turns
            counted.commands.clear()
            outcome = app.inline(f"b{number}")
            assert (outcome.verdict, outcome.attempted) == (verdict, True)
            assert counted.turns - before <= 2
            for word in (b"BEGIN", b"COMMIT", b"ROLLBACK"):
                assert not [each for each in counted.commands if word in each]
        stores.dispose()
    house.telemetry.close()


def test_a_result_that_the_column_refuses_is_an_error_and_writes_nothing(house: House) -> None:
    """The last line of defence; the code that writes keeps well below it."""
    house.book()
    house.acquire()
    house.run(
        "ALTER TABLE bookings ADD CONSTRAINT smaller CHECK (octet_length(auto_assign_last_result::text) < 20) NOT VALID"
    )
    with pytest.raises(DatabaseFailure, match="23514"):
        house.record()
    assert house.blob() is None
    assert house.value("SELECT attempt_id FROM auto_assign_attempts") == "a1"
