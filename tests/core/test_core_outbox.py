"""What a sender may do with a queued e-mail: the whole table, and the laws it keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final

import pytest

from assign_core.booking import OPEN, SEATED, BookingStatus, EmailState
from assign_core.outbox import EmailNotSent, EmailRefused, MailSystemAway, Step, end_of, next_step, still_true
from assign_core.ports import Email, EmailKind

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)

NOBODY: Final = None
GONE: Final = NOON - TICK
GOES_NOW: Final = NOON
"""A lease ends at its last moment, and is over in it."""
AT_IT: Final = NOON + TICK
SENDERS: Final = (NOBODY, GONE, GOES_NOW, AT_IT)


def step(
    state: EmailState, sending_until: datetime | None = None, *, deduplicates: bool = False, called_for: bool = True
) -> Step:
    return next_step(state, sending_until, now=NOON, deduplicates=deduplicates, called_for=called_for)


@pytest.mark.parametrize("deduplicates", [False, True])
def test_a_waiting_email_is_sent_or_withdrawn_if_nothing_calls_for_it_any_more(deduplicates: bool) -> None:
    assert step(EmailState.CLAIMED, deduplicates=deduplicates) is Step.SEND
    assert step(EmailState.CLAIMED, deduplicates=deduplicates, called_for=False) is Step.WITHDRAW


@pytest.mark.parametrize("called_for", [False, True])
@pytest.mark.parametrize("sender", [GONE, GOES_NOW])
def test_an_email_whose_sender_died_is_unknown_unless_the_transport_knows_its_key(
    sender: datetime, called_for: bool
) -> None:
    """It may be out, so it is no longer withdrawn either."""
    assert step(EmailState.CLAIMED, sender, called_for=called_for) is Step.GIVE_UP
    expected = Step.SEND if called_for else Step.GIVE_UP
    assert step(EmailState.CLAIMED, sender, called_for=called_for, deduplicates=True) is expected


@pytest.mark.parametrize("state", [EmailState.CLAIMED, EmailState.UNKNOWN])
def test_nobody_sends_what_somebody_is_sending(state: EmailState) -> None:
    for deduplicates, called_for in product((False, True), repeat=2):
        assert step(state, AT_IT, deduplicates=deduplicates, called_for=called_for) is Step.LEAVE


@pytest.mark.parametrize("sender", [NOBODY, GONE, GOES_NOW])
def test_an_unknown_email_is_sent_again_only_by_a_transport_that_knows_its_key(sender: datetime | None) -> None:
    for called_for in (False, True):
        assert step(EmailState.UNKNOWN, sender, called_for=called_for) is Step.LEAVE
    assert step(EmailState.UNKNOWN, sender, deduplicates=True) is Step.SEND


@pytest.mark.parametrize("sender", [NOBODY, GONE, GOES_NOW])
def test_an_unknown_email_that_is_no_longer_true_is_not_sent_again(sender: datetime | None) -> None:
    """If the first one did not arrive, the second would be the only one, and false."""
    assert step(EmailState.UNKNOWN, sender, deduplicates=True, called_for=False) is Step.LEAVE


@pytest.mark.parametrize("state", [EmailState.SENT, EmailState.FAILED])
def test_what_is_settled_stays_settled(state: EmailState) -> None:
    for sender, deduplicates, called_for in product(SENDERS, (False, True), (False, True)):
        assert step(state, sender, deduplicates=deduplicates, called_for=called_for) is Step.LEAVE


@pytest.mark.parametrize("kind", EmailKind)
@pytest.mark.parametrize("status", [*(status.value for status in BookingStatus), "a host's own", None])
def test_an_email_is_true_of_its_revision_while_its_status_lasts(kind: EmailKind, status: str | None) -> None:
    email = Email(booking_id="b", kind=kind, revision=3)
    lasts = OPEN if kind is EmailKind.STAFF_NOTICE else SEATED
    assert still_true(email, status=status, revision=3) is (status in lasts)
    for other in (2, 4, None):
        assert not still_true(email, status=status, revision=other)


class Crash(BaseException):
    """The process is told to end."""


def test_only_a_transport_that_says_so_has_refused_an_email_or_not_sent_it() -> None:
    assert end_of(EmailRefused("no address")) == (EmailState.FAILED, "no address", False)
    assert end_of(EmailNotSent("451 later")) == (EmailState.CLAIMED, "451 later", False)


def test_a_mail_system_that_is_away_is_told_to_whoever_sends_the_next() -> None:
    assert end_of(MailSystemAway("nobody answers")) == (EmailState.CLAIMED, "nobody answers", True)


@pytest.mark.parametrize("error", [ConnectionError("reset"), TimeoutError("reset"), Crash("reset")], ids=repr)
def test_a_lost_answer_is_never_taken_for_a_refusal(error: BaseException) -> None:
    assert end_of(error) == (EmailState.UNKNOWN, f"{type(error).__name__}: reset", True)
