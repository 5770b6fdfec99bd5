"""Which of two results has it where nothing decisive tells them apart, and where a wrong clock's result is put."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from assign_core import EmailVariant, LastResult, Source, Strategy, merge
from assign_core.last_result import record

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
FAILED: Final = LastResult(source=Source.JOB, recorded_at=NOON, success=False)


def test_knobs_that_are_known_beat_none() -> None:
    known = replace(FAILED, strategy=Strategy())
    assert merge(FAILED, known) == merge(known, FAILED) == known


@pytest.mark.parametrize(("revision", "counts"), [(0, EmailVariant.STANDARD), (3, EmailVariant.MODIFIED)])
def test_of_two_e_mails_the_one_about_this_revision_is_remembered(revision: int, counts: EmailVariant) -> None:
    """What it says suppresses the next one, so the other must not take its place."""
    one, other = (
        replace(FAILED, revision=revision, email_sent=True, email_variant=variant) for variant in EmailVariant
    )
    assert merge(one, other).email_variant is merge(other, one).email_variant is counts


def test_what_a_wrong_clock_wrote_is_put_right_before_what_a_true_one_found() -> None:
    ahead = replace(FAILED, recorded_at=NOON + timedelta(hours=3), success=True)
    assert record(ahead, FAILED, revision=0, now=NOON).recorded_at == NOON - datetime.resolution
