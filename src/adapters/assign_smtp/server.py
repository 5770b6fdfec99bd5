"""Which mail server, and how to speak with it: read from one URL."""

from __future__ import annotations

import smtplib
import ssl
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from assign_core.errors import InvalidValue
from assign_core.outbox import MailSystemAway

_PORTS: Final = {"smtp": 25, "smtps": 465}
_EXAMPLE: Final = "smtp://user:password@mail.example.org:587"


@frozen(kw_only=True)
class SmtpServer:
    """A mail server.

    Attributes:
        tls: encrypted from the first byte. Otherwise STARTTLS is used where the server offers it.
        user, password: for AUTH; never sent in clear.
    """

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Self:
        """From ``smtp://`` or ``smtps://``, with user, password and port where they are needed.

        Raises:
            InvalidValue: it is none. The message does not repeat it: it may hold a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            raise InvalidValue(f"the mail server's URL cannot be read; pass one such as {_EXAMPLE}")
        return cls(
            host=parts.hostname,
            port=_PORTS[parts.scheme] if port is None else port,
            tls=parts.scheme == "smtps",
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or ""),
        )

    def connect(self, timeout: float) -> smtplib.SMTP:
        """A session that is ready for a message.

        Raises:
            OSError, smtplib.SMTPException, MailSystemAway: there is none. No message was spoken of.
        """
        session: smtplib.SMTP
        if self.tls:
            session = smtplib.SMTP_SSL(self.host, self.port, timeout=timeout, context=ssl.create_default_context())
        else:
            session = smtplib.SMTP(self.host, self.port, timeout=timeout)
        try:
            self._prepare(session)
        except BaseException:
            session.close()
            raise
        return session

    def _prepare(self, session: smtplib.SMTP) -> None:
        session.ehlo_or_helo_if_needed()
        encrypted = self.tls
        if not encrypted and session.has_extn("starttls"):
            session.starttls(context=ssl.create_default_context())
            session.ehlo()
            encrypted = True
        if self.user is not None:
            if not encrypted:
                raise MailSystemAway(
                    f"{self.host} offers no STARTTLS, and a password is not sent in clear; use smtps://"
                )
            session.login(self.user, self.password)
