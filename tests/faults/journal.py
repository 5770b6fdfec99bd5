"""What outlives every crash of a worker or a server: lines appended to a file, and the mail system that writes them.

A line is one ``write`` to a file that is opened for appending, so it is whole, it is there once the call has returned,
and any number of processes may write. A hand-over that is in the journal has happened, whatever the sender lived to
tell; the database is not asked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from assign_core.ports import Email, Planner, Quote, QuoteRequest


class Journal:
    """Lines of words, each word without spaces."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, *words: object) -> None:
        """Append a line."""
        line = " ".join(str(word) for word in words) + "\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            written = os.write(file, line.encode())
        finally:
            os.close(file)
        if written != len(line):
            raise OSError(f"{written} of {len(line)} bytes were written to {self._path}")

    def lines(self) -> list[list[str]]:
        """Every line so far."""
        return [line.split(" ") for line in self._path.read_text().splitlines()] if self._path.exists() else []


class Asked(NamedTuple):
    """A call of the planner."""

    booking_id: str
    revision: int
    attempt_id: str
    source: str


class JournalPost:
    """A mail system: :class:`assign_core.outbox.Transport`. Every hand-over is a line."""

    def __init__(self, path: Path, *, deduplicates: bool = False) -> None:
        self.deduplicates = deduplicates
        self._journal = Journal(path)

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        del timeout
        if idempotency_key != email.key:
            raise ValueError(f"the idempotency key of {email.key} is {idempotency_key}")
        self._journal.note(idempotency_key)

    def handed_over(self) -> list[str]:
        """The key of each hand-over, in order."""
        return [key for (key,) in self._journal.lines()]


class JournalPlanner:
    """A planner whose every call is a line, written before it begins."""

    def __init__(self, planner: Planner, path: Path, source: str) -> None:
        self._planner = planner
        self._journal = Journal(path)
        self._source = source

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        self._journal.note(request.booking_id, request.revision, request.attempt_id, self._source)
        return self._planner.quote(request, timeout=timeout)

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._planner.release(booking_id, attempt_id, timeout=timeout)


def asked(path: Path) -> Sequence[Asked]:
    """The calls of the planner, in order; an attempt that asks twice is one."""
    calls = (Asked(booking, int(revision), attempt, source) for booking, revision, attempt, source in _lines(path))
    return list(dict.fromkeys(calls))


def _lines(path: Path) -> list[list[str]]:
    return Journal(path).lines()
