"""An id that cannot be one of the host's is no booking, in every call; other values that cannot be read stay errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.postgres.test_postgres_host import Host
from tests.postgres.test_postgres_lessons import T

from assign_core import Verdict
from assign_core.booking import EmailState
from assign_core.errors import BookingNotFound
from assign_core.last_result import LastResult, Source, Strategy
from assign_core.ports import Confirmation, Email, EmailKind, Hold, Lease, NotConfirmed, Plan, Record
from assign_core.reasons import ReasonCode
from assign_postgres import AsyncPostgresStore, DatabaseFailure, Names, PostgresMailer, PostgresStore

IDS: Final = {"uuid": "nope", "bigint": "9" * 40, "nul": "before\x00after"}


@pytest.fixture
def host(empty_dsn: str, make_engine: Callable[[str], Engine]) -> Iterator[Host]:
    made = Host(make_engine(empty_dsn), Names())
    yield made
    made.telemetry.close()


@pytest.fixture(params=list(IDS))
def impossible(request: pytest.FixtureRequest, host: Host) -> str:
    """An id, and a host whose ids it cannot be one of."""
    if request.param == "bigint":
        host.run("DROP TABLE bookings CASCADE")
        host.run("CREATE TABLE bookings (id bigint PRIMARY KEY, status mood NOT NULL, start_at timestamptz NOT NULL)")
        host.run(
            "ALTER TABLE bookings ADD revision integer NOT NULL DEFAULT 0, ADD auto_assign_last_result jsonb, "
            "ADD auto_assign_idempotency_key text"
        )
    return IDS[request.param]


def test_the_flows_find_no_such_booking(host: Host, impossible: str) -> None:
    assert host.app.inline(impossible).verdict is Verdict.NOT_ACTIONABLE
    assert host.app.job(impossible).verdict is Verdict.NOT_ACTIONABLE
    with pytest.raises(BookingNotFound):
        host.app.explain(impossible)


def test_each_call_of_the_store_finds_no_such_booking(host: Host, impossible: str) -> None:
    now = host.runtime.now()
    until = now + timedelta(seconds=9)
    result = LastResult(source=Source.JOB, recorded_at=now, success=True, attempt_id="a", revision=0)
    hold = Hold(hold_id="h", plan=Plan(("window",)), expires_at=until, strategy=Strategy())
    confirmation = Confirmation(booking_id=impossible, attempt_id="a", revision=0, hold=hold, result=result, email=None)
    lease = Lease(attempt_id="a", source=Source.JOB, taken_at=now, expires_at=until)
    with host.engine.connect() as connection, connection.begin():
        for store in (host.store, PostgresStore(connection, host.runtime)):
            assert store.acquire(impossible, lease, timeout=T) is None
            assert store.read(impossible, timeout=T) is None
            assert store.capacity_version(impossible, timeout=T) is None
            recorded = store.record(Record(booking_id=impossible, attempt_id="a", result=result), timeout=T)
            assert (recorded.status, recorded.last) == ("", None)
            answer = store.confirm(confirmation, timeout=T)
            assert isinstance(answer, NotConfirmed)
            assert answer.reason_code is ReasonCode.BOOKING_NOT_FOUND
        assert connection.scalar(text("SELECT 1")) == 1, "the host's transaction goes on"


def test_the_asynchronous_store_too(host: Host, empty_dsn: str, impossible: str) -> None:
    async def read() -> object:
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=lambda: psycopg.AsyncConnection.connect(empty_dsn)
        )
        try:
            return await AsyncPostgresStore(engine, host.runtime).read(impossible, timeout=T)
        finally:
            await engine.dispose()

    assert asyncio.run(read()) is None


def test_no_email_is_queued_for_it(host: Host, impossible: str) -> None:
    email = Email(booking_id=impossible, kind=EmailKind.CONFIRMATION, revision=0)
    with pytest.raises(LookupError, match="not queued"):
        PostgresMailer(host.outbox, host.post).deliver(email, timeout=T)
    assert host.outbox.settle(email, EmailState.SENT) is EmailState.SENT, "as of any that is not in the ledger"
    assert not host.outbox.decide(email, EmailState.SENT)
    assert host.post.accepted == []


def test_another_value_that_cannot_be_read_is_not_hidden(host: Host) -> None:
    """It has the same SQLSTATE; the id is one of the host's."""
    booking = host.book()
    broken = PostgresStore(host.engine, host.runtime, version="CAST('none' || left(wanted.id, 0) AS bigint)")
    with pytest.raises(DatabaseFailure) as caught:
        broken.read(booking, timeout=T)
    assert caught.value.sqlstate == "22P02"
