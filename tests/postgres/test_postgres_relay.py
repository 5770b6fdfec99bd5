"""``assign-core relay`` between a real outbox and a real mail server: each e-mail once, none lost, the rest shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine
from tests.postgres.test_postgres_lessons import House
from tests.smtp.test_smtp_transport import Handler, running

from assign_cli.__main__ import cli
from assign_core.ports import EmailKind
from assign_smtp import IDEMPOTENCY_KEY, SmtpServer

LETTER: Final = "From: House <tables@example.org>\nTo: $customer_email\nSubject: Your table\n\nParty of $party_size.\n"
RELAYS: Final = 3

Relay = Callable[..., Result]


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def mail_server(handler: Handler) -> Iterator[SmtpServer]:
    with running(handler) as found:
        yield found


@pytest.fixture
def house(engine: Engine) -> House:
    """Three confirmed bookings whose e-mails wait."""
    made = House(engine).furnish()
    made.run(
        "INSERT INTO restaurant_tables (id, restaurant_id, seats) SELECT 't' || n, 'r', 2 FROM generate_series(1, 9) n"
    )
    for number in range(3):
        made.book(f"b{number}")
        made.run("UPDATE bookings SET customer_email = id || '@example.org'")
        made.confirmed(f"b{number}", f"a{number}")
    return made


@pytest.fixture
def arguments(dsn: str, tmp_path: Path, mail_server: SmtpServer) -> list[str]:
    for kind in EmailKind:
        (tmp_path / f"{kind.value}.txt").write_text(LETTER)
    url = f"smtp://{mail_server.host}:{mail_server.port}"
    return ["relay", "--dsn", dsn, "--smtp", url, "--templates", str(tmp_path)]


@pytest.fixture
def relay(arguments: list[str]) -> Relay:
    def call(*more: str) -> Result:
        result = CliRunner().invoke(cli, [*arguments, *more], prog_name="assign-core")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def keys(handler: Handler) -> Counter[str]:
    return Counter(str(each[IDEMPOTENCY_KEY]) for each in handler.messages())


def time_passes(house: House) -> None:
    """Whatever was put off is due."""
    house.run("UPDATE auto_assign_emails SET not_before = now()")


def all_three() -> Counter[str]:
    return Counter({f"b{number}:confirmation:0": 1 for number in range(3)})


def test_what_waits_is_sent_and_noted(house: House, relay: Relay, handler: Handler) -> None:
    done = relay()
    assert (done.exit_code, done.stdout) == (0, "sent 3, waiting 0\n")
    assert keys(handler) == all_three()
    assert sorted(each.rcpt_tos[0] for each in handler.taken) == [f"b{number}@example.org" for number in range(3)]
    assert house.ledger() == dict.fromkeys(all_three(), "sent")
    assert house.last("b1").email_sent
    assert relay().stdout == "nothing is waiting\n"


def test_a_round_has_its_limit(house: House, relay: Relay) -> None:
    assert relay("--limit", "2").stdout == "sent 2, waiting 0\n"
    assert sorted(house.ledger().values()) == ["claimed", "sent", "sent"]


def test_a_guest_without_an_address_is_a_failure_that_is_not_repeated(house: House, relay: Relay) -> None:
    house.run("UPDATE bookings SET customer_email = NULL WHERE id = 'b1'")
    done = relay()
    first, second = done.stdout.splitlines()
    assert (done.exit_code, first) == (0, "sent 2, waiting 0")
    assert second.startswith("failed 1: ")
    assert "exactly one address" in second
    assert relay().stdout == "nothing is waiting\n"
    assert "exactly one address" in house.value("SELECT last_error FROM auto_assign_emails WHERE booking_id = 'b1'")


def test_what_was_certainly_not_sent_waits_for_the_next_round(house: House, relay: Relay, handler: Handler) -> None:
    handler.rcpt = "451 later"
    (line,) = relay().stdout.splitlines()
    assert line.startswith("waiting 3: ")
    assert "451 later" in line
    assert set(house.ledger().values()) == {"claimed"}
    assert "451 later" in house.value("SELECT min(last_error) FROM auto_assign_emails")
    handler.rcpt = "250 fine"
    assert relay().stdout == "nothing is waiting\n", "each has a while to wait first"
    time_passes(house)
    assert relay().stdout == "sent 3, waiting 0\n"
    assert keys(handler) == all_three()


def test_an_unknown_email_is_shown_and_left_until_somebody_says(house: House, relay: Relay, handler: Handler) -> None:
    handler.hangs_up = "data"
    done = relay("--limit", "2")
    assert done.exit_code == 1
    assert done.stdout.startswith("unknown 2, waiting 0\n")
    first, second = sorted(key for key, state in house.ledger().items() if state == "unknown")
    for key in (first, second):
        assert f"--sent '{key}'" in done.stdout
        assert f"--send-again '{key}'" in done.stdout
    handler.hangs_up = ""
    assert relay().exit_code == 1
    assert keys(handler) == all_three(), "the two are not sent again"
    done = relay("--sent", first, "--send-again", second)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "sent 1, waiting 0")
    assert set(house.ledger().values()) == {"sent"}
    assert keys(handler) == all_three() + Counter([second])
    assert house.last(first.partition(":")[0]).email_sent


def test_a_server_that_deduplicates_is_sent_the_unknown_again_under_the_same_id(
    house: House, relay: Relay, handler: Handler
) -> None:
    handler.hangs_up = "data"
    assert relay("--deduplicates").exit_code == 1
    handler.hangs_up = ""
    assert relay("--deduplicates").stdout == "sent 3, waiting 0\n"
    assert keys(handler) == all_three() + all_three()
    assert len({each["Message-ID"] for each in handler.messages()}) == 3
    assert set(house.ledger().values()) == {"sent"}


@pytest.mark.parametrize("key", ["b0:confirmation:0", "none:confirmation:0"])
def test_only_what_is_unknown_can_be_decided(house: House, relay: Relay, key: str) -> None:
    done = relay("--sent", key)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no e-mail of an unknown fate" in done.stderr
    assert set(house.ledger().values()) == {"claimed"}


def test_lesson_04_relays_at_once_send_each_email_once(house: House, arguments: list[str], handler: Handler) -> None:
    more = 40
    house.run(
        "INSERT INTO bookings (id, restaurant_id, party_size, start_at, customer_email, status) "
        "SELECT 'm' || n, 'r', 2, now(), 'm' || n || '@example.org', 'confirmed' "
        "FROM generate_series(1, CAST(:n AS int)) AS n",
        n=more,
    )
    house.run(
        "INSERT INTO auto_assign_emails (booking_id, kind, revision) SELECT id, 'confirmation', 0 FROM bookings "
        "WHERE id LIKE 'm%'"
    )
    command = [sys.executable, "-m", "assign_cli", *arguments]
    with ThreadPoolExecutor(RELAYS) as pool:
        done = list(
            pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=False), range(RELAYS))
        )
    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * RELAYS
    assert keys(handler) == all_three() + Counter({f"m{n}:confirmation:0": 1 for n in range(1, more + 1)})
    assert set(house.ledger().values()) == {"sent"}


def test_a_relay_that_runs_on_ends_between_two_emails(house: House, arguments: list[str], handler: Handler) -> None:
    command = [sys.executable, "-m", "assign_cli", *arguments, "--every", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running_on:
        assert running_on.stdout is not None
        assert running_on.stdout.readline() == "sent 3, waiting 0\n"
        house.run("UPDATE auto_assign_emails SET state = 'claimed', sending_until = NULL WHERE booking_id = 'b1'")
        assert running_on.stdout.readline() == "sent 1, waiting 0\n", "it has gone on"
        running_on.send_signal(signal.SIGTERM)
        _, said = running_on.communicate(timeout=20)
        assert (running_on.returncode, said) == (0, "")
    assert set(house.ledger().values()) == {"sent"}
    assert len(handler.taken) == 4


FACTORY: Final = """
from assign_core.outbox import EmailRefused

class Mine:
    deduplicates = False

    def send(self, email, *, idempotency_key, timeout):
        with open("sent.txt", "a") as file:
            file.write(idempotency_key + "\\n")
"""


def test_a_host_sends_in_its_own_way(house: House, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "house_mail.py").write_text(FACTORY)
    command = [sys.executable, "-m", "assign_cli", "relay", "--dsn", dsn, "--transport", "house_mail:Mine"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # so that it is ours to look where the command was started
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "sent 3, waiting 0\n", "")
    assert Counter((tmp_path / "sent.txt").read_text().split()) == all_three()
    assert set(house.ledger().values()) == {"sent"}


def test_a_database_without_our_tables_is_one_line(
    empty_dsn: str, tmp_path: Path, mail_server: SmtpServer, arguments: list[str]
) -> None:
    del tmp_path, mail_server
    arguments[arguments.index("--dsn") + 1] = empty_dsn
    done = CliRunner().invoke(cli, arguments, prog_name="assign-core")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "assign-core migrate" in done.stderr
    assert len(done.stderr.splitlines()) == 1
