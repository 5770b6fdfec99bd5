"""What a round of the relay has done, and why: a count of each state, and what the mail system said where it took none.

The mailer answers with states alone. So its transport is listened to on the way: what it says of an e-mail that it
refused or did not send is what somebody has to mend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from assign_cli.terminal import printable
from assign_core.booking import EmailState
from assign_core.outbox import EmailNotSent, EmailRefused, Transport
from assign_core.ports import Email

_LONGEST: Final = 200
"""Characters of a reason; the ledger has the rest."""
_WORDS: Final = {
    EmailState.SENT: "sent",
    EmailState.UNKNOWN: "unknown",
    EmailState.FAILED: "failed",
    EmailState.CLAIMED: "waiting",
}
"""In the order in which they are said."""
_NOT_TAKEN: Final = {
    EmailState.FAILED: "its booking is no longer as it says, or another relay had it refused",
    EmailState.CLAIMED: "",
}
"""What is said where the mail system was not asked."""


class Listener:
    """A transport that hands everything on to another, and remembers why that one did not take an e-mail.

    Attributes:
        reasons: by the key of the e-mail, of the last round.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.reasons: dict[str, str] = {}

    @property
    def deduplicates(self) -> bool:
        return self._transport.deduplicates

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        try:
            self._transport.send(email, idempotency_key=idempotency_key, timeout=timeout)
        except (EmailRefused, EmailNotSent) as error:
            self.reasons[email.key] = str(error) or type(error).__name__
            raise


def lines(states: Mapping[str, EmailState], reasons: Mapping[str, str]) -> Iterator[str]:
    """The counts on one line, and a line of its own for each state that has a reason.

    An e-mail that waits without one is being sent by somebody else, or its booking is locked. Those of an unknown fate
    are shown one by one elsewhere.
    """
    if not states:
        yield "nothing is waiting"
        return
    counts, plain, told = Counter(states.values()), [], []
    for state, word in _WORDS.items():
        said = _why(state, states, reasons)
        if said:
            told.append(f"{word} {counts[state]}: {said}")
        elif counts[state] or state is EmailState.CLAIMED:
            plain.append(f"{word} {counts[state]}")
    yield from [", ".join(plain), *told] if plain else told


def _why(state: EmailState, states: Mapping[str, EmailState], reasons: Mapping[str, str]) -> str:
    """The most frequent reason; the others are counted."""
    if state not in _NOT_TAKEN:
        return ""
    found = Counter(reasons.get(key, _NOT_TAKEN[state]) for key, each in states.items() if each is state)
    del found[""]
    if not found:
        return ""
    ((said, _),) = found.most_common(1)
    line = printable(" ".join(said.split()))
    short = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    return short if len(found) == 1 else f"{short} (and {len(found) - 1} more reasons)"
