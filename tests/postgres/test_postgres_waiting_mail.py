"""An e-mail waits, and meanwhile its booking goes on: nothing false is said, and nothing is lost."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine
from tests.postgres.test_postgres_lessons import DINNER, House, T
from tests.smtp.test_smtp_transport import Handler, running

from assign_cli.__main__ import cli
from assign_cli.booking_values import BookingValues
from assign_core.booking import EmailState
from assign_core.outbox import EmailNotSent, MailSystemAway
from assign_core.ports import Email, EmailKind
from assign_postgres import Names, PostgresMailer

LETTER: Final = (
    "From: House <tables@example.org>\nTo: $customer_email\nSubject: Your table is confirmed\n\n"
    "We expect you at $start_at, party of $party_size.\n"
)
CONFIRMATION: Final = Email(booking_id="b", kind=EmailKind.CONFIRMATION, revision=0)
Relay = Callable[..., str]


@pytest.fixture
def house(engine: Engine) -> Iterator[House]:
    """A confirmed booking whose e-mail waits."""
    made = House(engine).furnish()
    made.book()
    made.run("UPDATE bookings SET customer_email = 'guest@example.org'")
    made.confirmed()
    yield made
    made.telemetry.close()


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def relay(dsn: str, tmp_path: Path, handler: Handler) -> Iterator[Relay]:
    """One round of the command; what it says."""
    for kind in EmailKind:
        (tmp_path / f"{kind.value}.txt").write_text(LETTER)
    with running(handler) as server:
        url = f"smtp://{server.host}:{server.port}"

        def call(*more: str) -> str:
            arguments = ["relay", "--dsn", dsn, "--smtp", url, "--templates", str(tmp_path), *more]
            done = CliRunner().invoke(cli, arguments, prog_name="assign-core")
            assert done.exit_code == 0, done.output
            return done.stdout

        yield call


def body(handler: Handler) -> str:
    return str(handler.message().get_payload())


# What is no longer so is not said.


def test_a_guest_who_has_moved_the_booking_is_not_told_that_the_new_time_is_confirmed(
    house: House, relay: Relay, handler: Handler
) -> None:
    house.run("UPDATE bookings SET start_at = start_at + interval '2 hours', party_size = 4")
    assert house.status() == "pending"
    assert relay().startswith("waiting 0\nfailed 1: its booking is no longer as it says")
    assert (handler.taken, house.ledger()) == ([], {})
    assert relay() == "nothing is waiting\n"


def test_a_guest_who_has_cancelled_is_not_told_that_all_is_confirmed(
    house: House, relay: Relay, handler: Handler
) -> None:
    house.set_status("cancelled")
    relay()
    assert (handler.taken, house.ledger()) == ([], {})


@pytest.mark.parametrize("deduplicates", [False, True])
def test_an_email_of_a_booking_that_is_deleted_does_not_wait_for_ever(
    house: House, relay: Relay, handler: Handler, deduplicates: bool
) -> None:
    """As when rows go where our trigger does not see it, such as by a restore."""
    house.run("CREATE TABLE kept AS SELECT * FROM auto_assign_emails")
    house.run("DELETE FROM table_assignments")
    house.run("DELETE FROM bookings")
    house.run("INSERT INTO auto_assign_emails SELECT * FROM kept ON CONFLICT DO NOTHING")
    more = ["--deduplicates"] if deduplicates else []
    assert relay(*more).startswith("waiting 0\nfailed 1: its booking is no longer as it says")
    assert relay(*more) == "nothing is waiting\n"
    assert handler.taken == []


def test_a_booking_that_changes_after_the_email_was_begun_gives_it_no_words(house: House, engine: Engine) -> None:
    values = BookingValues(engine, Names(), None)
    assert values(CONFIRMATION)["party_size"] == 2
    house.run("UPDATE bookings SET party_size = 4")
    with pytest.raises(EmailNotSent, match="'b' has changed"):
        values(CONFIRMATION)
    house.run("DELETE FROM table_assignments")
    house.run("DELETE FROM bookings")
    with pytest.raises(EmailNotSent, match="'b' has changed"):
        values(CONFIRMATION)


def test_an_unknown_email_that_is_no_longer_true_is_not_looked_at_in_every_round(house: House) -> None:
    house.post.deduplicates = True
    house.post.failures = [ConnectionError("reset")]
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.UNKNOWN}
    house.run("UPDATE bookings SET party_size = 4")
    looks = []
    for minute in range(4 * 60):
        if house.mailer.relay():
            looks.append(minute)
        house.runtime.advance(60)
    assert house.ledger() == {CONFIRMATION.key: "unknown"}
    assert house.post.accepted == []
    assert {later - earlier for earlier, later in pairwise(looks)} == {10}


def test_an_unknown_email_that_becomes_true_again_is_sent_within_ten_minutes(house: House) -> None:
    house.post.deduplicates = True
    house.post.failures = [ConnectionError("reset")]
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.UNKNOWN}
    house.set_status("cancelled")
    house.runtime.advance(2 * 24 * 3600)
    house.mailer.relay()
    house.set_status("confirmed")
    house.runtime.advance(600)
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.SENT}


# What could not be handed over.


def tries(house: House, *, hours: float) -> list[timedelta]:
    """When a relay that looks every second has tried to hand over the one that waits."""
    start, found = house.now, []
    while house.now - start < timedelta(hours=hours):
        count = house.value("SELECT handed_over FROM auto_assign_emails")
        house.mailer.relay()
        if house.value("SELECT handed_over FROM auto_assign_emails") > count:
            found.append(house.now - start)
        due = house.value("SELECT not_before FROM auto_assign_emails") - house.now
        house.runtime.advance(max(1.0, due.total_seconds() - 1))
    return found


@pytest.mark.parametrize("failure", [EmailNotSent, MailSystemAway])
def test_each_try_comes_later_than_the_one_before_up_to_ten_minutes(house: House, failure: type[EmailNotSent]) -> None:
    house.post.failures = [failure("nobody answers")] * 100
    at = tries(house, hours=3)
    waits = [later - earlier for earlier, later in pairwise(at)]
    assert waits[0] == timedelta(seconds=5)
    assert all(later in {2 * earlier, timedelta(minutes=10)} for earlier, later in pairwise(waits))
    assert waits[-1] == timedelta(minutes=10)
    assert house.ledger() == {CONFIRMATION.key: "claimed"}
    house.post.failures = []
    house.runtime.advance(600)
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.SENT}


def test_an_email_goes_on_waiting_however_often_it_was_tried(house: House) -> None:
    house.run("UPDATE auto_assign_emails SET handed_over = 1100")
    house.post.failures = [EmailNotSent("the mailbox is full")]
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.CLAIMED}
    house.runtime.advance(600)
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.SENT}


@pytest.mark.parametrize("late", [EmailState.CLAIMED, EmailState.UNKNOWN, EmailState.FAILED])
def test_a_sender_that_outran_its_lease_does_not_unsay_what_another_has_sent(house: House, late: EmailState) -> None:
    assert house.outbox.begin(CONFIRMATION, deduplicates=True) is None
    house.runtime.advance(120)
    assert house.outbox.begin(CONFIRMATION, deduplicates=True) is None
    assert house.outbox.settle(CONFIRMATION, EmailState.SENT) is EmailState.SENT
    assert house.outbox.settle(CONFIRMATION, late, "421 too slow") is EmailState.SENT
    assert house.ledger() == {CONFIRMATION.key: "sent"}
    assert house.value("SELECT last_error FROM auto_assign_emails") is None
    house.run("DELETE FROM auto_assign_emails")
    assert house.outbox.settle(CONFIRMATION, late) is late, "nothing says otherwise"


def test_a_request_that_hands_over_itself_does_not_wait(house: House) -> None:
    """It comes once; it is the relay that would try again and again."""
    house.post.failures = [EmailNotSent("later")]
    house.mailer.relay()
    assert house.mailer.relay() == {}
    assert house.mailer.deliver(CONFIRMATION, timeout=T) is EmailState.SENT


def test_what_somebody_wants_sent_again_is_sent_at_once(house: House) -> None:
    house.post.failures = [ConnectionError("reset")]
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.UNKNOWN}
    assert house.outbox.decide(CONFIRMATION, EmailState.CLAIMED)
    assert house.mailer.relay() == {CONFIRMATION.key: EmailState.SENT}


def test_a_mail_server_that_is_away_is_asked_once_a_round(house: House, dsn: str, tmp_path: Path) -> None:
    for number in range(3):
        house.run("INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES (:id, 'r', 2)", id=f"t{number}")
        house.book(f"b{number}")
        house.confirmed(f"b{number}", f"a{number}")
    house.run("UPDATE bookings SET customer_email = 'guest@example.org'")
    for kind in EmailKind:
        (tmp_path / f"{kind.value}.txt").write_text(LETTER)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    arguments = ["relay", "--dsn", dsn, "--smtp", f"smtp://127.0.0.1:{port}", "--templates", str(tmp_path)]
    for count in (1, 2):
        done = CliRunner().invoke(cli, arguments, prog_name="assign-core")
        (line,) = done.stdout.splitlines()
        assert (done.exit_code, line.startswith("waiting 1: ")) == (0, True)
        assert f"127.0.0.1:{port}" in line
        assert "refused" in line
        assert house.value("SELECT sum(handed_over) FROM auto_assign_emails") == count
    assert house.value("SELECT max(handed_over) FROM auto_assign_emails") == 1, "the next round tries the next"
    assert set(house.ledger().values()) == {"claimed"}


def test_a_mailer_without_a_relays_patience_is_the_same_mailer(house: House) -> None:
    """P4: neither backing off nor being away makes a second hand-over."""
    house.post.failures = [MailSystemAway("nobody answers")]
    other = PostgresMailer(house.outbox, house.post)
    assert other.deliver(CONFIRMATION, timeout=T) is EmailState.CLAIMED
    for _ in range(3):
        other.relay()
        house.runtime.advance(3600)
    assert house.post.accepted == [CONFIRMATION.key]


# When it is.


def test_the_guest_reads_the_time_on_the_restaurants_wall(house: House, relay: Relay, handler: Handler) -> None:
    house.run("UPDATE restaurants SET timezone = 'Europe/Zurich'")
    relay()
    assert "We expect you at 2026-01-09 20:00, party of 2." in body(handler)


def test_a_host_may_say_what_zone_that_is(house: House, relay: Relay, handler: Handler) -> None:
    house.run("UPDATE restaurants SET timezone = 'Europe/Zurich'")
    relay("--timezone", "America/New_York")
    assert "We expect you at 2026-01-09 14:00, party of 2." in body(handler)


def test_where_nobody_says_the_time_is_told_with_its_zone(house: House, relay: Relay, handler: Handler) -> None:
    house.run("ALTER TABLE restaurants RENAME TO houses")
    relay()
    assert "We expect you at 2026-01-09 19:00+00:00, party of 2." in body(handler)


def test_values_have_the_bookings_columns_and_the_zone(house: House, engine: Engine) -> None:
    values = BookingValues(engine, Names(), None)(CONFIRMATION)
    assert (values["id"], values["restaurant_id"], str(values["timezone"])) == ("b", "r", "UTC")
    start = values["start_at"]
    assert isinstance(start, datetime)
    assert start == DINNER.replace(tzinfo=None)
    house.run("UPDATE restaurants SET timezone = 'Nowhere/Land'")
    with pytest.raises(KeyError, match="Nowhere/Land"):
        BookingValues(engine, Names(), None)(CONFIRMATION)
