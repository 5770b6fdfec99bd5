"""E-mails by SMTP, against real servers on loopback: which answer means what, and what the message carries."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from assign_core.errors import InvalidValue
from assign_core.outbox import EmailNotSent, EmailRefused, MailSystemAway
from assign_core.ports import Email, EmailKind
from assign_memory import VirtualRuntime
from assign_smtp import (
    IDEMPOTENCY_KEY,
    AsyncSmtpTransport,
    Compose,
    SmtpServer,
    SmtpTransport,
    Templates,
    TemplatesError,
    message_id,
)
from assign_testing import EventLoop

T: Final = 20.0
"""A timeout that is never reached."""
EMAIL: Final = Email(booking_id="b1", kind=EmailKind.CONFIRMATION, revision=0)
OK: Final = "250 taken"


@dataclass
class Handler:
    """A mail server's mind: what it answers, and when it hangs up."""

    mail: str = OK
    rcpt: str = OK
    data: str = OK
    hangs_up: str = ""
    taken: list[Envelope] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session, options
        envelope.mail_from = address
        return self._answer("mail", server)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session, options
        envelope.rcpt_tos.append(address)
        return self._answer("rcpt", server)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        del session
        self.taken.append(envelope)
        return self._answer("data", server)

    def _answer(self, stage: str, server: SMTP) -> str:
        if self.hangs_up == stage:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        answer: str = getattr(self, stage)
        return answer

    def messages(self) -> list[Message]:
        """What was taken, in order."""
        taken = [each.content for each in self.taken]
        return [message_from_bytes(each, policy=default) for each in taken if isinstance(each, bytes)]

    def message(self) -> Message:
        """The one that was taken."""
        (only,) = self.messages()
        return only


class _Session(SMTP):
    """One session, which is noted so that it can be ended."""

    def __init__(self, handler: Handler, opened: list[asyncio.BaseTransport], *, utf8: bool) -> None:
        super().__init__(handler, enable_SMTPUTF8=utf8)
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._opened.append(transport)
        super().connection_made(transport)


@contextmanager
def running(handler: Handler, *, utf8: bool = True) -> Iterator[SmtpServer]:
    opened: list[asyncio.BaseTransport] = []

    async def listen() -> asyncio.Server:
        make = partial(_Session, handler, opened, utf8=utf8)
        return await asyncio.get_running_loop().create_server(make, host="127.0.0.1", port=0)

    async def close() -> None:
        listening.close()
        for each in opened:
            each.close()
        await asyncio.sleep(0)  # they are closed in the loop's next round
        await asyncio.sleep(0)

    with EventLoop() as loop:
        listening = loop.wait(listen())
        yield SmtpServer(host="127.0.0.1", port=listening.sockets[0].getsockname()[1])
        loop.wait(close())


def letter(email: Email = EMAIL, **headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in ({"From": "House <tables@example.org>", "To": "guest@example.org"} | headers).items():
        message[name] = value
    message["Subject"] = f"Your table, {email.booking_id}"
    message.set_content("Welcome.\n.\n..dots\nZoë 🍣\n")
    return message


def transport(server: SmtpServer, compose: Compose = letter, *, deduplicates: bool = False) -> SmtpTransport:
    return SmtpTransport(server, compose, VirtualRuntime(), deduplicates=deduplicates)


def send(server: SmtpServer, compose: Compose = letter, *, email: Email = EMAIL, timeout: float = T) -> None:
    transport(server, compose).send(email, idempotency_key=email.key, timeout=timeout)


# What arrives.


def test_the_message_arrives_whole(handler: Handler, server: SmtpServer) -> None:
    send(server)
    assert handler.taken[0].mail_from == "tables@example.org"
    assert handler.taken[0].rcpt_tos == ["guest@example.org"]
    message = handler.message()
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == "Your table, b1"
    assert message.get_content().splitlines() == ["Welcome.", ".", "..dots", "Zoë 🍣"]
    assert message["Date"].datetime == VirtualRuntime().now()


def test_id_and_key_follow_from_booking_kind_and_revision(handler: Handler, server: SmtpServer) -> None:
    for _ in range(2):
        send(server)
    sent = handler.messages()
    assert [each[IDEMPOTENCY_KEY] for each in sent] == [EMAIL.key] * 2
    assert [each["Message-ID"] for each in sent] == [message_id(EMAIL, "example.org")] * 2


def test_another_booking_kind_or_revision_is_another_id() -> None:
    emails = [
        Email(booking_id=b, kind=k, revision=r) for b in ("b1", "b2", "\ud800\n>") for k in EmailKind for r in (0, 1)
    ]
    ids = {message_id(email, "example.org") for email in emails}
    assert len(ids) == len(emails)
    assert all(each.isascii() and each.isprintable() and " " not in each for each in ids)


def test_what_the_host_has_put_into_our_headers_does_not_stand(handler: Handler, server: SmtpServer) -> None:
    send(server, lambda email: letter(email, **{"Message-ID": "<mine@example.org>", IDEMPOTENCY_KEY: "mine"}))
    assert handler.message().get_all("Message-ID") == [message_id(EMAIL, "example.org")]
    assert handler.message().get_all(IDEMPOTENCY_KEY) == [EMAIL.key]


@pytest.mark.parametrize("booking_id", ["b\r\nBcc: thief@example.org", "Zoë 🍣", "a b:c%"])
def test_a_bookings_id_is_data(handler: Handler, server: SmtpServer, booking_id: str) -> None:
    email = Email(booking_id=booking_id, kind=EmailKind.MODIFICATION, revision=3)
    send(server, lambda _: letter(), email=email)
    assert handler.taken[0].rcpt_tos == ["guest@example.org"]
    assert "Bcc" not in handler.message()
    assert handler.message()[IDEMPOTENCY_KEY].endswith(":modification:3")


# What an answer means.


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_refusal_for_good_is_a_refusal(handler: Handler, server: SmtpServer, stage: str) -> None:
    setattr(handler, stage, "550 no such user")
    with pytest.raises(EmailRefused, match="550 no such user"):
        send(server)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_refusal_for_now_is_not_sent(handler: Handler, server: SmtpServer, stage: str) -> None:
    setattr(handler, stage, "451 greylisted")
    with pytest.raises(EmailNotSent, match="451 greylisted") as later:
        send(server)
    assert not isinstance(later.value, MailSystemAway), "it says nothing of the next e-mail"


def test_a_server_that_wants_to_know_who_asks_says_nothing_of_the_email(handler: Handler, server: SmtpServer) -> None:
    handler.mail = "530 authentication required"
    with pytest.raises(MailSystemAway, match="530"):
        send(server)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_server_that_closes_takes_nothing_now(handler: Handler, server: SmtpServer, stage: str) -> None:
    setattr(handler, stage, "421 closing")
    with pytest.raises(MailSystemAway, match="421 closing"):
        send(server)


@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_a_session_that_ends_before_the_message_has_sent_nothing(
    handler: Handler, server: SmtpServer, stage: str
) -> None:
    handler.hangs_up = stage
    with pytest.raises(MailSystemAway, match="before the message"):
        send(server)


def test_lesson_06_an_answer_that_is_lost_after_the_message_is_unknown(handler: Handler, server: SmtpServer) -> None:
    handler.hangs_up = "data"
    with pytest.raises((OSError, smtplib.SMTPException)) as lost:
        send(server)
    assert not isinstance(lost.value, EmailRefused | EmailNotSent)
    assert len(handler.taken) == 1, "the server has it"


def test_an_answer_that_does_not_come_in_time_is_unknown(answers: Callable[..., SmtpServer]) -> None:
    greeting = [b"220 here", b"250 hello", b"250 sender", b"250 recipient", b"354 go on"]
    with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        send(answers(greeting), timeout=0.5)


def test_a_server_that_goes_away_in_the_middle_of_the_message_leaves_it_unknown(
    answers: Callable[..., SmtpServer],
) -> None:
    """It may have heard the dot, and its answer is lost."""
    with pytest.raises((OSError, smtplib.SMTPException)) as lost:
        send(answers([b"220 here", b"250 hello", b"250 sender", b"250 recipient", b"354 go on"], closes=True))
    assert not isinstance(lost.value, EmailRefused | EmailNotSent)


def test_an_answer_that_is_no_reply_is_unknown(answers: Callable[..., SmtpServer]) -> None:
    with pytest.raises(smtplib.SMTPException):
        send(answers([b"220 here", b"250 hello", b"250 sender", b"250 recipient", b"354 go on", b"what?"]))


def test_a_greeting_that_does_not_come_in_time_has_sent_nothing(answers: Callable[..., SmtpServer]) -> None:
    with pytest.raises(MailSystemAway, match="timed out"):
        send(answers([]), timeout=0.3)


def test_nobody_at_the_port_has_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(MailSystemAway, match=f"127.0.0.1:{port}.*ConnectionRefusedError"):
        send(SmtpServer(host="127.0.0.1", port=port))


def test_a_password_is_not_sent_in_clear(handler: Handler, server: SmtpServer) -> None:
    with pytest.raises(MailSystemAway, match="STARTTLS"):
        send(SmtpServer(host=server.host, port=server.port, user="u", password="s3cret"))  # noqa: S106 - nobody's
    assert handler.taken == []


def test_an_address_beyond_ascii_needs_a_server_that_takes_it(handler: Handler, server: SmtpServer) -> None:
    send(server, lambda _: letter(To="zoë@example.org"))
    assert handler.taken[0].rcpt_tos == ["zoë@example.org"]
    with running(Handler(), utf8=False) as older, pytest.raises(EmailRefused, match="ASCII"):
        send(older, lambda _: letter(To="zoë@example.org"))


@pytest.mark.parametrize("to", ["", "nobody", "a@example.org, b@example.org"])
def test_lesson_06_a_booking_without_one_address_is_refused(handler: Handler, server: SmtpServer, to: str) -> None:
    with pytest.raises(EmailRefused, match="exactly one address"):
        send(server, lambda _: letter(To=to))
    assert handler.taken == []


def test_a_host_that_cannot_compose_has_sent_nothing(handler: Handler, server: SmtpServer) -> None:
    def fails(_: Email) -> EmailMessage:
        raise KeyError("customer_name")

    with pytest.raises(EmailNotSent, match=r"composed.*customer_name") as told:
        send(server, fails)
    assert not isinstance(told.value, MailSystemAway)
    assert handler.taken == []


def test_a_loop_sends_the_same(handler: Handler, server: SmtpServer) -> None:
    made = AsyncSmtpTransport(transport(server, deduplicates=True))
    assert made.deduplicates
    asyncio.run(made.send(EMAIL, idempotency_key=EMAIL.key, timeout=T))
    assert handler.message()["Message-ID"] == message_id(EMAIL, "example.org")


# The URL.


def test_a_url_says_how_to_speak() -> None:
    assert SmtpServer.of("smtp://mail.example.org") == SmtpServer(host="mail.example.org", port=25)
    assert SmtpServer.of("smtps://u%40x:p%2Fw@[::1]:2465") == SmtpServer(
        host="::1",
        port=2465,
        tls=True,
        user="u@x",
        password="p/w",  # noqa: S106 - nobody's
    )
    assert "p/w" not in repr(SmtpServer.of("smtps://u:p%2Fw@h"))


@pytest.mark.parametrize("url", ["", "mail.example.org", "http://h", "smtp://", "smtp://u:s3cret@h:port", "smtp://h/x"])
def test_a_url_that_is_none_is_told_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidValue, match="smtp://user") as caught:
        SmtpServer.of(url)
    assert "s3cret" not in str(caught.value)


# Templates.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in EmailKind:
        (tmp_path / f"{kind.value}.txt").write_text(
            "From: House <tables@example.org>\nTo: $email\nSubject: $kind of $booking\n\n$name, you pay $$5.\n"
        )
    return tmp_path


def test_a_template_is_filled_in(folder: Path) -> None:
    message = Templates.of(folder, lambda _: {"email": "guest@example.org", "name": "Zoë"})(EMAIL)
    assert (message["To"], message["Subject"]) == ("guest@example.org", "confirmation of b1")
    assert message.get_content() == "Zoë, you pay $5.\n"


def test_a_value_adds_no_header(folder: Path) -> None:
    compose = Templates.of(folder, lambda _: {"email": "a@example.org\nBcc: thief@example.org", "name": ""})
    with pytest.raises(EmailRefused, match="To cannot be"):
        compose(EMAIL)


def test_a_guest_without_an_address_is_refused(folder: Path, server: SmtpServer) -> None:
    with pytest.raises(EmailRefused, match="exactly one address"):
        send(server, Templates.of(folder, lambda _: {"email": None, "name": ""}))


def test_a_name_that_there_is_not_leaves_the_email_waiting(folder: Path, server: SmtpServer) -> None:
    with pytest.raises(EmailNotSent, match="KeyError: 'name'"):
        send(server, Templates.of(folder, lambda _: {"email": "guest@example.org"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("From: a@example.org\nTo: b@example.org\n\nno subject", "needs each of From, To, Subject"),
        ("From: a@example.org\nTo: b@example.org\nSubject: x", "an empty line"),
        ("Hello,\n\nno headers", "among its headers"),
        ("From: a@example.org\nTo: $ b\nSubject: x\n\n", "begins no name"),
    ],
)
def test_a_file_that_is_no_message_is_told_at_once(folder: Path, text: str, said: str) -> None:
    (folder / "modification.txt").write_text(text)
    with pytest.raises(TemplatesError, match=said) as caught:
        Templates.of(folder, lambda _: {})
    assert "modification.txt" in str(caught.value)


def test_a_missing_file_is_told_at_once(folder: Path) -> None:
    (folder / "staff_notice.txt").unlink()
    with pytest.raises(TemplatesError, match=r"staff_notice\.txt"):
        Templates.of(folder, lambda _: {})


# Servers.


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def server(handler: Handler) -> Iterator[SmtpServer]:
    with running(handler) as found:
        yield found


@pytest.fixture
def answers() -> Iterator[Callable[..., SmtpServer]]:
    """A server that gives these answers, one for each thing it is told, and then says nothing more, or closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def make(replies: list[bytes], *, closes: bool = False) -> SmtpServer:
        def serve() -> None:
            client, _ = listener.accept()
            with client:
                for reply in replies:
                    client.sendall(reply + b"\r\n")
                    client.recv(65536)
                while not closes and client.recv(65536):
                    pass

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return SmtpServer(host="127.0.0.1", port=listener.getsockname()[1])

    yield make
    for thread in threads:
        thread.join(T)
    listener.close()
