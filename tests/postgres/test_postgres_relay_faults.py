"""What goes wrong in a relay's round: the database goes away, is slow, or has one booking locked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from tests.postgres.test_postgres_lessons import House

from assign_cli.relay import _rounds
from assign_core.booking import EmailState
from assign_memory import AsyncCollectingTransport, CollectingTransport
from assign_postgres import (
    AsyncPostgresMailer,
    AsyncPostgresOutbox,
    DatabaseTimeout,
    PostgresMailer,
    PostgresOutbox,
)
from assign_runtime import ThreadRuntime

CLOCK: Final = ThreadRuntime()
KEYS: Final = tuple(f"b{number}:confirmation:0" for number in range(3))


class Gone(Exception):
    """What a host's own way of connecting raises."""


@pytest.fixture
def house(engine: Engine) -> House:
    """Three confirmed bookings whose e-mails wait."""
    made = House(engine).furnish()
    for number in range(3):
        made.book(f"b{number}")
    made.run("UPDATE bookings SET status = 'confirmed'")
    made.run("INSERT INTO auto_assign_emails (booking_id, kind, revision) SELECT id, 'confirmation', 0 FROM bookings")
    return made


class Connecting:
    """Connects so many times."""

    def __init__(self, dsn: str, times: int) -> None:
        self._dsn = dsn
        self._times = times
        self.asked = 0

    def __call__(self) -> psycopg.Connection:
        self._count()
        return psycopg.connect(self._dsn)

    async def on_a_loop(self) -> psycopg.AsyncConnection:
        self._count()
        return await psycopg.AsyncConnection.connect(self._dsn)

    def _count(self) -> None:
        self.asked += 1
        if self.asked > self._times:
            raise Gone


def by_a_relay(connecting: Connecting) -> None:
    engine = create_engine("postgresql+psycopg://", creator=connecting, poolclass=NullPool)
    PostgresMailer(PostgresOutbox(engine, CLOCK), CollectingTransport()).relay()


def by_a_relay_on_a_loop(connecting: Connecting) -> None:
    engine = create_async_engine("postgresql+psycopg://", async_creator=connecting.on_a_loop, poolclass=NullPool)
    asyncio.run(AsyncPostgresMailer(AsyncPostgresOutbox(engine, CLOCK), AsyncCollectingTransport()).relay())


@pytest.mark.parametrize("relay", [by_a_relay, by_a_relay_on_a_loop])
def test_a_database_that_cannot_be_asked_for_the_next_email_ends_the_round(
    house: House, dsn: str, relay: Callable[[Connecting], None]
) -> None:
    """Nothing is unknown: the first is sent, and the second was never in hand. The third is not tried."""
    connecting = Connecting(dsn, times=3)  # what waits, and the two steps of the first
    with pytest.raises(Gone):
        relay(connecting)
    assert connecting.asked == 4
    assert house.ledger() == dict(zip(KEYS, ("sent", "claimed", "claimed"), strict=True))


GoOn = Callable[[], bool]


def always() -> bool:
    return True


def relayed(engine: Engine, dsn: str, go_on: GoOn = always) -> dict[str, EmailState]:
    del dsn
    return PostgresMailer(PostgresOutbox(engine, CLOCK), CollectingTransport()).relay(timeout=2, go_on=go_on)


def relayed_on_a_loop(engine: Engine, dsn: str, go_on: GoOn = always) -> dict[str, EmailState]:
    del engine

    async def relay() -> dict[str, EmailState]:
        made = create_async_engine(
            "postgresql+psycopg://", async_creator=lambda: psycopg.AsyncConnection.connect(dsn), poolclass=NullPool
        )
        outbox = AsyncPostgresOutbox(made, CLOCK)
        return await AsyncPostgresMailer(outbox, AsyncCollectingTransport()).relay(timeout=2, go_on=go_on)

    return asyncio.run(relay())


@pytest.mark.once
@pytest.mark.parametrize("relay", [relayed, relayed_on_a_loop])
def test_a_relay_that_is_to_end_does_so_between_two_emails(
    house: House, engine: Engine, dsn: str, relay: Callable[[Engine, str, GoOn], dict[str, EmailState]]
) -> None:
    answers = iter((True, False))
    assert relay(engine, dsn, lambda: next(answers)) == {KEYS[0]: EmailState.SENT}
    assert house.ledger() == dict(zip(KEYS, ("sent", "claimed", "claimed"), strict=True))


@pytest.mark.once
@pytest.mark.parametrize("relay", [relayed, relayed_on_a_loop])
def test_a_locked_booking_keeps_its_email_waiting_and_no_other(
    house: House, engine: Engine, dsn: str, relay: Callable[[Engine, str], dict[str, EmailState]]
) -> None:
    with engine.connect() as blocker, blocker.begin():
        blocker.execute(text("SELECT FROM bookings WHERE id = 'b0' FOR UPDATE"))
        states = relay(engine, dsn)
    assert states == dict(zip(KEYS, (EmailState.CLAIMED, EmailState.SENT, EmailState.SENT), strict=True))
    assert house.ledger() == dict(zip(KEYS, ("claimed", "sent", "sent"), strict=True))


def test_no_connection_in_time_ends_the_round(house: House, dsn: str) -> None:
    """It would end that of each e-mail after it, one patience after the other."""
    connecting = Connecting(dsn, times=9)
    engine = create_engine("postgresql+psycopg://", creator=connecting, poolclass=NullPool)
    mailer = PostgresMailer(PostgresOutbox(engine, CLOCK), CollectingTransport())
    with pytest.raises(DatabaseTimeout):
        mailer.relay(timeout=1e-9)
    assert connecting.asked == 2
    assert set(house.ledger().values()) == {"claimed"}


@pytest.mark.usefixtures("house")
def test_a_machine_that_slept_through_a_calls_time_does_not_end_a_relay_that_runs_on(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = threading.Event()

    class Asleep(ThreadRuntime):
        """Until the first round is over, each look at the clock is an hour later."""

        looks = 0

        def monotonic(self) -> float:
            self.looks += 1
            if self.looks > 2:
                ending.set()
                return super().monotonic()
            return self.looks * 3600.0

    outbox = PostgresOutbox(engine, Asleep())
    left = _rounds(outbox, CollectingTransport(), ending, 100, 30.0, 0.05)
    assert not left
    assert "no time is left" in capsys.readouterr().err
