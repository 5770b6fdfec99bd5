"""What a job tells of a confirm that was refused: where it failed and what for, so that it can be counted."""

from __future__ import annotations

from typing import Literal

import pytest
from tests.flows.conftest import World

from assign_core import EventName, ReasonCode
from assign_core.ports import Hold
from assign_memory.database import Row


def immovable(row: Row, hold: Hold) -> str | None:
    del row, hold
    return "Tables are not movable"


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_refused_confirm_of_a_job_is_told_with_its_stage_and_its_code(kind: Literal["blocking", "async"]) -> None:
    world = World(kind, objection=immovable)
    world.book()
    world.job()
    told = world.named(EventName.ATTEMPT_ERROR)
    code = world.last().reason_code
    assert code is ReasonCode.TABLES_NOT_MOVABLE
    assert told
    assert [(each.context["stage"], each.context["reasonCode"]) for each in told] == [("confirm", code)] * len(told)
