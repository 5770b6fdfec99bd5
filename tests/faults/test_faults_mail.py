"""A mail system that loses answers: it has the e-mail, and its sender does not know.

The sender is told nothing, whichever way the hand-over went; so some e-mails are lost before the mail system has them,
and some after, and the two look alike. Without idempotency keys such an e-mail is shown to people and never sent again.
With keys it is sent again until there is an answer, and the mail system sends it once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

import pytest
from tests.faults.journal import JournalPost
from tests.faults.restaurant import Restaurant

from assign_core.outbox import EmailNotSent
from assign_core.ports import Email
from assign_postgres import PostgresMailer, PostgresOutbox

EVENINGS: Final = 4
EVENINGS_IN_SOAK: Final = 50
PARTIES: Final = (2, 2, 4, 6, 6, 4)
"""Not all of them find a table, so the staff is written to as well."""
Fate = Literal["arrives", "answer lost", "lost", "not sent"]
FATES: Final[tuple[Fate, ...]] = ("arrives", "answer lost", "answer lost", "lost", "not sent")


class LossyPost(JournalPost):
    """A mail system with a fate for each hand-over; when there are no more, it is well again."""

    def __init__(self, house: Restaurant, fates: Sequence[Fate]) -> None:
        super().__init__(house.folder / "post", deduplicates=house.deduplicates)
        self._fates = iter(fates)
        self.unanswered: set[str] = set()
        self.met: Counter[Fate] = Counter()

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        fate: Fate = next(self._fates, "arrives")
        self.met[fate] += 1
        if fate == "not sent":
            raise EmailNotSent("nobody answered")
        if fate != "lost":
            super().send(email, idempotency_key=idempotency_key, timeout=timeout)
        if fate != "arrives":
            self.unanswered.add(email.key)
            raise TimeoutError("the mail system has not answered")


@pytest.mark.parametrize("deduplicates", [False, True], ids=["without keys", "with keys"])
@pytest.mark.parametrize("sends", [True, False], ids=["flow", "relay"])
def test_what_became_of_an_e_mail_is_known_or_shown(
    house: Restaurant, sends: bool, deduplicates: bool, soak: bool, counted: Counter[str]
) -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    for _ in range(EVENINGS_IN_SOAK if soak else EVENINGS):
        house.reopen(pairs=2)
        house.deduplicates = deduplicates
        post = LossyPost(house, chance.choices(FATES, k=8))
        with house.app(source="inline", transport=post, sends=sends) as engine:
            for guest, party in enumerate(PARTIES):
                house.book(f"b{guest}", party=party)
                engine.inline(f"b{guest}")
        house.check(at_rest=False)
        house.settle(transport=post)
        house.check()
        unknown = {key for key, state in house.ledger().items() if state == "unknown"}
        assert unknown == (set() if deduplicates else post.unanswered)
        outbox = PostgresOutbox(house.database, house.clock)
        assert {each.email.key for each in outbox.unknown(limit=99)} == unknown
        assert set(house.ledger()) - set(house.post.handed_over()) <= unknown
        for fate, times in post.met.items():
            counted[f"e-mails: {fate}{', keys known' if deduplicates else ''}"] += times


@pytest.mark.parametrize("deduplicates", [False, True], ids=["without keys", "with keys"])
def test_an_answer_that_is_lost_is_asked_for_again_with_a_key_only(house: Restaurant, deduplicates: bool) -> None:
    house.deduplicates = deduplicates
    house.book("b")
    post = LossyPost(house, ["answer lost"] * 3)
    with house.app(transport=post) as engine:
        engine.job("b")
    assert (house.status(), house.ledger()) == ("confirmed", {"b:confirmation:0": "unknown"})
    relay = PostgresMailer(PostgresOutbox(house.database, house.clock), post)
    for _ in range(5):
        relay.relay()
        house.clock.advance(3600.0)
    assert house.post.handed_over() == ["b:confirmation:0"] * (4 if deduplicates else 1)
    assert house.ledger() == {"b:confirmation:0": "sent" if deduplicates else "unknown"}
    assert house.last().email_sent == deduplicates
    house.check()
