"""Messages from files that a host can write without a program.

A folder has one file for each kind of e-mail: ``confirmation.txt``, ``modification.txt``, ``staff_notice.txt``. Each is
an e-mail as one reads it, headers, an empty line, and the text, with ``$name`` wherever something is to be filled in::

    From: Chez Nous <tables@example.org>
    To: $customer_email
    Subject: Your table is confirmed

    We expect you at $start_at, party of $party_size.

What can be filled in is the host's: a mapping for each booking, such as its row. A value is text and nothing else: it
cannot add a header or a recipient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from string import Template
from typing import Final, Self

from attrs import frozen

from assign_core.errors import InvalidValue
from assign_core.outbox import EmailRefused
from assign_core.ports import Email, EmailKind

Values = Callable[[Email], Mapping[str, object]]
"""What can be filled in: names and values of one booking. Values of ``None`` are empty."""
_NEEDED: Final = ("From", "To", "Subject")


class TemplatesError(InvalidValue):
    """A folder or a file that is no set of messages. Says which, and what is missing."""


@frozen
class _Message:
    """One file: its headers in order, and its text."""

    headers: tuple[tuple[str, Template], ...]
    text: Template


class Templates:
    """Composes messages from a folder of files. See the module.

    Raises:
        TemplatesError: a file is missing, or is no message.
    """

    def __init__(self, messages: Mapping[EmailKind, _Message], values: Values) -> None:
        self._messages = messages
        self._values = values

    @classmethod
    def of(cls, folder: Path, values: Values) -> Self:
        """From a folder that has a file for every kind."""
        return cls({kind: _read(folder / f"{kind.value}.txt") for kind in EmailKind}, values)

    def __call__(self, email: Email) -> EmailMessage:
        """The message.

        Raises:
            EmailRefused: a value cannot stand where the file wants it, for instance a line break in a header.
            KeyError: the file wants a name that there is not.
        """
        known = {name: _words(value) for name, value in self._values(email).items()}
        known |= {"booking": email.booking_id, "kind": email.kind.value, "modifications": str(email.revision)}
        wanted = self._messages[email.kind]
        message = EmailMessage(policy=SMTP)
        for name, template in wanted.headers:
            value = template.substitute(known)
            try:
                message[name] = value
            except ValueError as error:
                raise EmailRefused(f"{name} cannot be {value[:100]!r}: {error}") from error
        message.set_content(wanted.text.substitute(known))
        return message


def _read(file: Path) -> _Message:
    try:
        head, blank, text = file.read_text("utf-8").replace("\r\n", "\n").partition("\n\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplatesError(f"{file} cannot be read: {error}; write one message for each kind of e-mail") from None
    headers = []
    for line in head.splitlines():
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or name != name.strip():
            raise TemplatesError(f"{file} has a line {line!r} among its headers; an empty line ends them")
        headers.append((name, Template(value.strip())))
    given = [name.title() for name, _ in headers]
    missing = [name for name in _NEEDED if given.count(name) != 1]
    if missing or not blank:
        raise TemplatesError(f"{file} needs each of {', '.join(_NEEDED)} once, then an empty line and the text")
    message = _Message(tuple(headers), Template(text))
    for template in (*(each for _, each in headers), message.text):
        if not template.is_valid():
            raise TemplatesError(f"{file} has a $ that begins no name; write $$ for the sign itself")
    return message


def _words(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat(" ", "minutes") if isinstance(value, datetime) else str(value)
