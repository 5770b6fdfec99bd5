"""What planners say: the reasons of real ones, their exceptions, and calls of a scripted one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from assign_core.ports import NoHold
from assign_core.reasons import ReasonCode
from assign_memory import Cue

REASONS: Final = (
    "No suitable tables available",
    "Insufficient filtered capacity",
    "Insufficient global capacity",
    "Reservation would overrun dinner service",
    "Table 7 is not adjacent to the selected set",
    "Hold conflicts prevented all candidates",
    "deadlock detected",
    "No table lock acquired: lock wait timeout",
    "INLINE_TIMEOUT",
    "AssignTablesRpcError",
    "",
)
"""At least one reason of every failure class."""


class PlannerBroke(Exception):
    """What a scripted planner raises when it breaks down in a way that nobody has foreseen."""


def failures() -> st.SearchStrategy[BaseException]:
    """Exceptions that a planner raises."""
    return st.one_of(
        st.sampled_from(REASONS).map(PlannerBroke),
        st.just(TimeoutError("statement timeout")),
        st.just(ConnectionError("connection reset")),
    )


def refusals(near: datetime) -> st.SearchStrategy[NoHold]:
    """Searches that found nothing; hints lie within ten minutes of ``near``."""
    hints = st.integers(-600, 600).map(lambda seconds: near + timedelta(seconds=seconds))
    return st.builds(
        NoHold,
        reason=st.sampled_from(REASONS),
        reason_code=st.sampled_from((None, *ReasonCode)),
        retry_after=st.none() | hints,
        capacity_version=st.none() | st.integers(0, 3),
        alternates=st.integers(0, 3),
    )


def cues(*, longest_delay: float, near: datetime) -> st.SearchStrategy[Cue]:
    """One call of a scripted planner: how long it takes, and what comes of it."""
    delays = st.sampled_from((0.0, longest_delay)) | st.floats(0, longest_delay)
    return st.builds(Cue, delay=delays, answer=st.none() | refusals(near) | failures())
