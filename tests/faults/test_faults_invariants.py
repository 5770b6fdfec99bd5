"""The invariants hold after an undisturbed evening, and each of them fails for damage that is planted by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy.pool import NullPool
from tests.faults.invariants import Broken
from tests.faults.journal import Journal
from tests.faults.restaurant import Restaurant, engine_for

from assign_postgres.embedded import EmbeddedServer

Damage = Callable[[Restaurant], None]


def sql(statement: str) -> Damage:
    return lambda house: house.run(statement)


def handed_over(key: str) -> Damage:
    return lambda house: Journal(house.folder / "post").note(key)


def asked(attempt_id: str) -> Damage:
    return lambda house: Journal(house.folder / "asked").note("b", 0, attempt_id, "job")


def blob(change: str, booking: str = "b") -> Damage:
    statement = "UPDATE bookings SET auto_assign_last_result = auto_assign_last_result || CAST(:change AS jsonb)"
    return lambda house: house.run(statement + " WHERE id = :id", change=change, id=booking)


def both(*damages: Damage) -> Damage:
    def plant(house: Restaurant) -> None:
        for damage in damages:
            damage(house)

    return plant


HOLD: Final = (
    "INSERT INTO table_holds SELECT 'h', table_id, '{}', 'gone', 'house', during, '2026-01-10' FROM table_assignments"
    " WHERE booking_id = 'b'"
)
PLANTED: Final[dict[str, tuple[str, Damage]]] = {
    "a table twice": (
        "P7 tables: small1 belongs to b and to c",
        both(
            sql("ALTER TABLE table_assignments DROP CONSTRAINT no_overlapping_table_assignments"),
            sql(
                "INSERT INTO table_assignments SELECT 'c', table_id, restaurant_id, during FROM table_assignments"
                " WHERE booking_id = 'b'"
            ),
        ),
    ),
    "a table held that is taken": ("P7 tables: small1 is held for c", sql(HOLD.format("c"))),
    "seated nowhere": ("P7 tables: b is confirmed for 2 and has 0", sql("DELETE FROM table_assignments")),
    "seated too small": (
        "P7 tables: b is confirmed for 5",
        sql("ALTER TABLE bookings DISABLE TRIGGER USER; UPDATE bookings SET party_size = 5 WHERE id = 'b'"),
    ),
    "tables of somebody gone": (
        "P7 tables: b is cancelled",
        sql("ALTER TABLE bookings DISABLE TRIGGER USER; UPDATE bookings SET status = 'cancelled' WHERE id = 'b'"),
    ),
    "a result lost": ("P1 result: b was confirmed by", sql("UPDATE bookings SET auto_assign_last_result = NULL")),
    "a result that lies": ("P1 result: b was confirmed by", blob('{"success": false}')),
    "a success that nobody committed": ("P2 truth: full is pending", blob('{"success": true}', "full")),
    "an attempt that left nothing": ("P1 result: attempt gone of b", asked("gone")),
    "attempts that are not counted": ("P1 result: 9 attempts", both(*(asked(f"a{n}") for n in range(8)))),
    "a confirm told twice": (
        "P8 events: the confirm of b",
        sql(
            "INSERT INTO observability_events (at, name, severity, booking_id, attempt_id, context)"
            " SELECT at, name, severity, booking_id, attempt_id, context FROM observability_events"
            " WHERE name = 'auto_assign.succeeded'"
        ),
    ),
    "handed over twice": ("P4 mail: b:confirmation:0 was handed over 2", handed_over("b:confirmation:0")),
    "handed over without a claim": ("P4 mail: z:confirmation:0 was", handed_over("z:confirmation:0")),
    "sent by the ledger alone": (
        "P4 mail: full:confirmation:0 is sent",
        sql("INSERT INTO auto_assign_emails VALUES ('full', 'confirmation', 0, 'sent')"),
    ),
    "sent, and called failed": (
        "P4 mail: b:confirmation:0 was handed over, and",
        sql("UPDATE auto_assign_emails SET state = 'failed' WHERE booking_id = 'b'"),
    ),
    "an e-mail that is never sent": (
        "P4 mail: b:confirmation:0 is lost",
        sql("UPDATE auto_assign_emails SET state = 'claimed' WHERE booking_id = 'b'"),
    ),
    "an e-mail that was never queued": (
        "P4 mail: b:confirmation:0 is lost: b was confirmed",
        both(
            sql("DELETE FROM auto_assign_emails WHERE booking_id = 'b'"), lambda house: (house.folder / "post").unlink()
        ),
    ),
    "an unknown without a word": (
        "P4 mail: b:confirmation:0 is unknown, and nobody",
        sql("UPDATE auto_assign_emails SET state = 'unknown' WHERE booking_id = 'b'"),
    ),
    "a flag set for nothing": (
        "P4 flag: the result of full",
        blob('{"emailSent": true, "emailVariant": "standard"}', "full"),
    ),
    "a flag not set": ("P4 flag: b:confirmation:0 is sent", blob('{"emailSent": false, "emailVariant": null}')),
    "a hold that is left": ("P3 holds: small1 is still held for b", sql(HOLD.format("b"))),
    "a lease that is left": (
        "rest: b is still leased",
        sql(
            "UPDATE auto_assign_attempts"
            " SET attempt_id = 'x', source = 'job', taken_at = now(), expires_at = '2026-01-10'"
        ),
    ),
    "a job that nobody runs": ("rest: a job of full", sql("UPDATE auto_assign_attempts SET due_at = now()")),
    "nobody told": ("answer: full is pending", sql("DELETE FROM auto_assign_emails WHERE booking_id = 'full'")),
}


@pytest.fixture(scope="module")
def evening(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restaurant]:
    """An undisturbed evening: two guests seated, and one for whom there is no table."""
    folder = tmp_path_factory.mktemp("evening")
    engine = engine_for(database, poolclass=NullPool)
    house = Restaurant(database, folder, engine)
    house.reopen()
    house.book("b")
    house.book("c", party=4)
    house.book("full", party=6)
    house.settle()
    assert [house.status(each) for each in ("b", "c", "full")] == ["confirmed", "confirmed", "pending"]
    house.check()
    yield house
    engine.dispose()


@pytest.fixture
def copy(server: EmbeddedServer, evening: Restaurant, tmp_path: Path) -> Iterator[Restaurant]:
    """A copy of that evening, to be damaged; some damage is to the schema."""
    folder = Path(shutil.copytree(evening.folder, tmp_path / "copy"))
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE copy TEMPLATE faults")
        dsn = make_conninfo(evening.dsn, dbname="copy")
        engine = engine_for(dsn, poolclass=NullPool)
        yield Restaurant(dsn, folder, engine, evening.clock)
        engine.dispose()
        admin.execute("DROP DATABASE copy WITH (FORCE)")


@pytest.mark.parametrize(("told", "damage"), PLANTED.values(), ids=PLANTED)
def test_planted_damage_is_told(copy: Restaurant, told: str, damage: Damage) -> None:
    copy.check()
    damage(copy)
    with pytest.raises(Broken) as caught:
        copy.check()
    assert any(line.startswith(told) for line in str(caught.value).splitlines()), caught.value
