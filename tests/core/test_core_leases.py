"""Leases count those that were left behind, e-mails have one identity each, and a deadline knows what it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_core import Source
from assign_core.errors import DeadlineExceeded
from assign_core.ports import Email, EmailKind, Lease

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
LATER: Final = NOON + timedelta(minutes=7)


def lease(number: int, source: Source) -> Lease:
    taken = NOON + timedelta(minutes=number)
    return Lease(attempt_id=f"a{number}", source=source, taken_at=taken, expires_at=taken + timedelta(minutes=1))


chains = st.lists(st.sampled_from(Source), min_size=1, max_size=5).map(
    lambda sources: [lease(number, source) for number, source in enumerate(sources)]
)


@given(chains)
def test_a_lease_counts_all_that_died_in_a_row_before_it_and_knows_who_was_first(chain: list[Lease]) -> None:
    last = reduce(lambda left, taken: taken.after(left), chain[1:], chain[0].after(None))
    own = chain[-1]
    assert (last.attempt_id, last.source) == (own.attempt_id, own.source)
    assert (last.taken_at, last.expires_at) == (own.taken_at, own.expires_at)
    assert last.lost_before == len(chain) - 1
    assert last.lost_first == (chain[0].source if len(chain) > 1 else None)


@given(chains)
def test_an_attempt_that_ends_without_a_result_leaves_those_before_it_to_be_found(chain: list[Lease]) -> None:
    last = reduce(lambda left, taken: taken.after(left), chain[1:], chain[0])
    left = last.unrecorded(LATER)
    if len(chain) == 1:
        assert left is None
        return
    assert left is not None
    # As if the one that has just ended had never been: the next finds the first, and counts the others.
    found = lease(9, Source.JOB).after(left)
    assert (left.source, left.expires_at, left.attempt_id) == (chain[0].source, LATER, last.attempt_id)
    assert (found.lost_before, found.lost_first) == (len(chain) - 1, chain[0].source)


def test_a_store_that_knows_only_who_came_last_leaves_that_one_to_be_found() -> None:
    """A column added later is empty for the leases that were there."""
    left = Lease(attempt_id="a", source=Source.JOB, taken_at=NOON, expires_at=NOON, lost_before=1)
    found = left.unrecorded(LATER)
    assert found is not None
    assert (found.source, found.lost_before) == (Source.JOB, 0)


@pytest.mark.parametrize(
    ("revision", "kind", "key"),
    [(0, EmailKind.CONFIRMATION, "b:confirmation:0"), (1, EmailKind.MODIFICATION, "b:modification:1")],
)
def test_a_guest_is_told_of_a_revision_by_one_e_mail(revision: int, kind: EmailKind, key: str) -> None:
    assert EmailKind.of(revision) is kind
    assert Email(booking_id="b", kind=kind, revision=revision).key == key


def test_a_deadline_says_what_it_ended_and_whether_that_had_begun() -> None:
    assert "Confirm" in str(DeadlineExceeded("Confirm"))
    assert DeadlineExceeded("Confirm").begun
    assert not DeadlineExceeded("Confirm", begun=False).begun
