"""The transport: one message, one session, and an honest answer about what became of it.

SMTP says exactly when responsibility passes (RFC 5321, 4.2.5 and 6.1): when the server answers 250 to the dot that ends
the message. Until that dot is on its way nothing can have been sent. An answer to it, whatever it says, settles it.
Only between the dot and its answer is the outcome unknown; and that is not taken for a failure.

What says nothing of this e-mail, but that no other would get through either (no session, no leave to send, a session
that ends), is told as such, so that a relay need not wait for each anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote

from attrs import frozen

from assign_core.outbox import EmailNotSent, EmailRefused, MailSystemAway
from assign_core.ports import Clock, Email
from assign_smtp.server import SmtpServer

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
"""The header that carries the key, percent-encoded."""
_OF_THE_SESSION: Final = {421, 454, 530, 534, 535, 538}
"""Replies about the service (421) and authentication: the server says nothing about this e-mail."""

Compose = Callable[[Email], EmailMessage]
"""The host's words: a message with From, exactly one To, a subject and a body. Raises ``EmailRefused`` where there is
nobody to write to."""


def message_id(email: Email, domain: str) -> str:
    """The same for an e-mail, whoever sends it, and how often. A digest, since a booking's id may hold anything."""
    digest = hashlib.sha256(email.key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"<{digest[:40]}@{domain}>"


@frozen
class _Envelope:
    """What goes over the wire."""

    sender: str
    recipient: str
    utf8: bool
    data: bytes


class SmtpTransport:
    """:class:`assign_core.outbox.Transport` by SMTP.

    Args:
        compose: makes the message. What it raises but :class:`EmailRefused` leaves the e-mail waiting.
        clock: the time in the header Date.
        deduplicates: the server recognises the Message-ID or the header :data:`IDEMPOTENCY_KEY`, and sends no second
            e-mail with the same. Few do.
    """

    def __init__(self, server: SmtpServer, compose: Compose, clock: Clock, *, deduplicates: bool = False) -> None:
        self._server = server
        self._compose = compose
        self._clock = clock
        self._deduplicates = deduplicates

    @property
    def deduplicates(self) -> bool:
        return self._deduplicates

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        """Hand it over.

        Raises:
            EmailRefused: the server will never take it, or there is nobody to write to.
            EmailNotSent: it was not handed over; later it may be.
            MailSystemAway: the same, and no other would be.
            OSError, smtplib.SMTPException: it may or may not have been.
        """
        until = time.monotonic() + timeout
        envelope = self._written(email, idempotency_key)
        try:
            session = self._server.connect(_left(until))
        except (OSError, smtplib.SMTPException) as error:
            raise MailSystemAway(f"no session with {self._server.host}:{self._server.port}: {_said(error)}") from error
        with _closing(session):
            _before_the_message(session, envelope, until)
            _the_message(session, envelope.data, until)

    def _written(self, email: Email, key: str) -> _Envelope:
        try:
            message = self._compose(email)
            sender, recipient = _only_address(message, "From"), _only_address(message, "To")
            for header in ("Message-ID", IDEMPOTENCY_KEY, "Date"):
                del message[header]
            message["Message-ID"] = message_id(email, sender.domain.encode("idna").decode("ascii"))
            message[IDEMPOTENCY_KEY] = quote(key, safe=":", errors="surrogatepass")
            message["Date"] = format_datetime(self._clock.now())
            utf8 = not (sender.addr_spec + recipient.addr_spec).isascii()
            return _Envelope(sender.addr_spec, recipient.addr_spec, utf8, _as_data(message, utf8=utf8))
        except EmailRefused:
            raise
        except Exception as error:
            raise EmailNotSent(f"the message could not be composed: {_said(error)}") from error


class AsyncSmtpTransport:
    """:class:`assign_core.outbox.AsyncTransport`: the same, in a thread. A cancelled hand-over is unknown."""

    def __init__(self, transport: SmtpTransport) -> None:
        self._transport = transport

    @property
    def deduplicates(self) -> bool:
        return self._transport.deduplicates

    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        await asyncio.to_thread(self._transport.send, email, idempotency_key=idempotency_key, timeout=timeout)


def _before_the_message(session: smtplib.SMTP, envelope: _Envelope, until: float) -> None:
    """Everything up to the server's leave to go on. A failure means that nothing was sent."""
    if envelope.utf8 and not session.has_extn("smtputf8"):
        raise EmailRefused("the mail server takes no addresses with letters beyond ASCII")
    steps: tuple[Callable[[], tuple[int, bytes]], ...] = (
        lambda: session.mail(envelope.sender, ["SMTPUTF8"] if envelope.utf8 else []),
        lambda: session.rcpt(envelope.recipient),
        lambda: session.docmd("DATA"),
    )
    try:
        for step in steps:
            _limit(session, until)
            code, said = step()
            _refuse_unless(200 <= code < 400, code, said)
        _limit(session, until)
    except (OSError, smtplib.SMTPException) as error:
        raise MailSystemAway(f"the session ended before the message: {_said(error)}") from error


def _the_message(session: smtplib.SMTP, data: bytes, until: float) -> None:
    """From here on a lost connection leaves the outcome open."""
    session.send(data)
    _limit(session, until)
    code, said = session.getreply()
    if not 200 <= code < 600:
        raise smtplib.SMTPResponseException(code, said)
    _refuse_unless(code < 300, code, said)


def _as_data(message: EmailMessage, *, utf8: bool) -> bytes:
    """The message as it goes over the wire, with the dot that ends it. Its text is ASCII, which every server takes."""
    policy = SMTPUTF8 if utf8 else SMTP
    data = message.as_bytes(policy=policy.clone(cte_type="7bit"))
    return re.sub(rb"(?m)^\.", b"..", data) + (b"" if data.endswith(b"\r\n") else b"\r\n") + b".\r\n"


@contextmanager
def _closing(session: smtplib.SMTP) -> Iterator[None]:
    try:
        yield
        with suppress(OSError, smtplib.SMTPException):
            session.quit()  # a courtesy: the server has answered for the message
    finally:
        session.close()


def _refuse_unless(fine: bool, code: int, said: bytes) -> None:
    if fine:
        return
    words = f"the mail server says {code} {said.decode('utf-8', 'replace')}"
    if code in _OF_THE_SESSION:
        raise MailSystemAway(words)
    if 500 <= code < 600:
        raise EmailRefused(words)
    raise EmailNotSent(words)


def _only_address(message: EmailMessage, header: str) -> Address:
    found = message[header]
    addresses: tuple[Address, ...] = () if found is None else found.addresses
    if len(addresses) != 1 or not addresses[0].username or not addresses[0].domain:
        raise EmailRefused(f"{header} is {str(found)[:100]!r}; exactly one address is needed")
    return addresses[0]


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left


def _limit(session: smtplib.SMTP, until: float) -> None:
    left = _left(until)
    if session.sock is not None:
        session.sock.settimeout(left)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
