"""Hands e-mails to a mail server by SMTP::

    transport = SmtpTransport(SmtpServer.of("smtp://mail.example.org"), compose)
    PostgresMailer(outbox, transport).relay()

``compose`` turns an :class:`~assign_core.ports.Email`, which is an identity only, into a message with an address and
words; :class:`Templates` does it from files.
"""

from __future__ import annotations

from assign_smtp.server import SmtpServer
from assign_smtp.templates import Templates, TemplatesError
from assign_smtp.transport import IDEMPOTENCY_KEY, AsyncSmtpTransport, Compose, SmtpTransport, message_id

__all__ = [
    "IDEMPOTENCY_KEY",
    "AsyncSmtpTransport",
    "Compose",
    "SmtpServer",
    "SmtpTransport",
    "Templates",
    "TemplatesError",
    "message_id",
]
