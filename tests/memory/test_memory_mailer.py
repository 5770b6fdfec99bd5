"""What only the outbox in memory promises; the rest is in the mailer's contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from assign_core.booking import EmailState
from assign_core.outbox import MailSystemAway
from assign_core.ports import Email
from assign_memory import AsyncMemoryMailer, MemoryDatabase, MemoryMailer, Outbox
from assign_testing import memory_house
from assign_testing.steps import confirmed, email


def test_a_sending_lease_can_be_set() -> None:
    house = memory_house()
    house.book()
    confirmed(house)
    outbox = Outbox(house.db, sending_lease=timedelta(seconds=5))
    assert outbox.begin(email(), deduplicates=False) is None
    house.advance(4)
    assert outbox.begin(email(), deduplicates=False) is EmailState.CLAIMED
    house.advance(1)
    assert outbox.begin(email(), deduplicates=False) is EmailState.UNKNOWN


class EndsWith:
    """A mail system that closes the connection whenever it gets this e-mail."""

    deduplicates = False

    def __init__(self, poison: str) -> None:
        self._poison = poison
        self.accepted: list[str] = []

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        del idempotency_key, timeout
        if email.booking_id == self._poison:
            raise MailSystemAway("421 closing")
        self.accepted.append(email.booking_id)


class AsyncEndsWith(EndsWith):
    # An async transport is another port; what it does is the same.
    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:  # type: ignore[override]
        super().send(email, idempotency_key=idempotency_key, timeout=timeout)


def by_a_relay(database: MemoryDatabase) -> list[str]:
    transport = EndsWith("b")
    mailer = MemoryMailer(Outbox(database), transport)
    for _ in range(2):
        mailer.relay()
    return transport.accepted


def by_a_relay_on_a_loop(database: MemoryDatabase) -> list[str]:
    transport = AsyncEndsWith("b")
    mailer = AsyncMemoryMailer(Outbox(database), transport)

    async def relay() -> None:
        for _ in range(2):
            await mailer.relay()

    asyncio.run(relay())
    return transport.accepted


@pytest.mark.parametrize("relayed", [by_a_relay, by_a_relay_on_a_loop])
def test_an_email_that_ends_every_round_does_not_keep_the_others_waiting(
    relayed: Callable[[MemoryDatabase], list[str]],
) -> None:
    house = memory_house()
    for booking_id in ("b", "c"):
        house.book(booking_id)
        confirmed(house, booking_id, f"a-{booking_id}")
    assert relayed(house.db) == ["c"]
