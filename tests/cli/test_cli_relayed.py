"""A round of the relay in words: everything is counted once, and a reason is one line however it was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_cli.relayed import Listener, lines
from assign_core.booking import EmailState
from assign_core.outbox import EmailNotSent, EmailRefused, MailSystemAway
from assign_core.ports import Email, EmailKind
from assign_testing.house import PostRoom

STATES = st.dictionaries(st.text(min_size=1, max_size=3), st.sampled_from(EmailState), min_size=1)
WORDS = {"sent": "sent", "unknown": "unknown", "failed": "failed", "waiting": "claimed"}


def counted(said: list[str]) -> dict[str, int]:
    """The counts that the lines tell, by state."""
    found: dict[str, int] = {}
    for line in said:
        for part in line.split(": ")[0].split(", "):
            word, count = part.split(" ")
            assert WORDS[word] not in found
            found[WORDS[word]] = int(count)
    return found


@given(states=STATES, reason=st.text(min_size=1), data=st.data())
def test_every_email_is_counted_once_and_every_reason_is_one_line(
    states: dict[str, EmailState], reason: str, data: st.DataObject
) -> None:
    explained = data.draw(st.sets(st.sampled_from(sorted(states))))
    said = list(lines(states, dict.fromkeys(explained, reason)))
    expected = {state: sum(each is state for each in states.values()) for state in EmailState}
    told = counted(said)
    assert {state.value: count for state, count in expected.items() if count or state.value in told} == told
    assert all(line.isprintable() for line in said)


def test_without_a_reason_it_is_one_line() -> None:
    states = {"a": EmailState.SENT, "b": EmailState.UNKNOWN, "c": EmailState.CLAIMED}
    assert list(lines(states, {})) == ["sent 1, unknown 1, waiting 1"]
    assert list(lines({"a": EmailState.SENT}, {})) == ["sent 1, waiting 0"]
    assert list(lines({}, {})) == ["nothing is waiting"]


def test_each_state_that_was_not_taken_says_why() -> None:
    states = {"a": EmailState.SENT, "b": EmailState.FAILED, "c": EmailState.CLAIMED}
    reasons = {"b": "no\naddress", "c": "nobody answers"}
    assert list(lines(states, reasons)) == ["sent 1", "failed 1: no address", "waiting 1: nobody answers"]


def test_what_was_not_handed_over_because_it_is_no_longer_so_is_said_as_well() -> None:
    (first, second) = lines({"a": EmailState.FAILED}, {})
    assert first == "waiting 0"
    assert second.startswith("failed 1: its booking")


def test_the_most_frequent_reason_stands_for_the_others() -> None:
    states = dict.fromkeys("abcd", EmailState.CLAIMED)
    reasons = {"a": "rare", "b": "later", "c": "later", "d": "rarer"}
    assert list(lines(states, reasons)) == ["waiting 4: later (and 2 more reasons)"]


def test_a_long_reason_is_cut() -> None:
    (line,) = lines({"a": EmailState.CLAIMED}, {"a": "x" * 10_000})
    assert len(line) < 250
    assert line.endswith("…")


@pytest.mark.parametrize("deduplicates", [False, True])
def test_a_transport_that_is_listened_to_does_what_it_did(deduplicates: bool) -> None:
    room = PostRoom(deduplicates=deduplicates)
    listener = Listener(room)
    email = Email(booking_id="b", kind=EmailKind.CONFIRMATION, revision=0)
    assert listener.deduplicates is deduplicates
    for error in (EmailRefused("no address"), EmailNotSent(), MailSystemAway("away"), ConnectionError("lost")):
        room.failures = [error]
        listener.reasons.clear()
        with pytest.raises(type(error)) as raised:
            listener.send(email, idempotency_key=email.key, timeout=1.0)
        assert raised.value is error
        heard = listener.reasons.get(email.key)
        assert heard == (None if isinstance(error, ConnectionError) else str(error) or "EmailNotSent")
    listener.send(email, idempotency_key=email.key, timeout=1.0)
    assert room.accepted == [email.key]
