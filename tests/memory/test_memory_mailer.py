"""What only the outbox in memory promises; the rest is in the mailer's contract."""

from __future__ import annotations

from datetime import timedelta

from assign_core.booking import EmailState
from assign_memory import Outbox
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
