"""assign-core: decide before every table-assignment attempt, from what the last one found.

The names that a host needs. The rooms behind them, one idea each: :mod:`~assign_core.reasons` (why an attempt
failed), :mod:`~assign_core.last_result` (what is remembered), :mod:`~assign_core.evidence` (what that is worth
later), :mod:`~assign_core.policy`, :mod:`~assign_core.case`, :mod:`~assign_core.rules` and
:mod:`~assign_core.decision` (what to do),
:mod:`~assign_core.effects` and :mod:`~assign_core.flows` (the order of I/O, as values), :mod:`~assign_core.drive` and
:mod:`~assign_core.engine` (who performs it), :mod:`~assign_core.ports` (what the host plugs in).
"""

from __future__ import annotations

from assign_core.async_engine import AsyncAutoAssign
from assign_core.booking import Booking, BookingStatus, EmailState
from assign_core.decision import RULES, Action, Decision, Rule, decide
from assign_core.engine import AutoAssign
from assign_core.errors import AssignError, BookingNotFound, DeadlineExceeded, InvalidValue, NaiveTime
from assign_core.events import CATALOGUE, Event, EventName, Severity
from assign_core.evidence import Evidence
from assign_core.explain import Explanation, explain
from assign_core.last_result import EmailVariant, LastResult, Source, Strategy, Unreadable, merge
from assign_core.outcome import Outcome, Verdict
from assign_core.policy import Policy
from assign_core.reasons import Classification, FailureClass, ReasonCode, classify_reason

__all__ = [
    "CATALOGUE",
    "RULES",
    "Action",
    "AssignError",
    "AsyncAutoAssign",
    "AutoAssign",
    "Booking",
    "BookingNotFound",
    "BookingStatus",
    "Classification",
    "DeadlineExceeded",
    "Decision",
    "EmailState",
    "EmailVariant",
    "Event",
    "EventName",
    "Evidence",
    "Explanation",
    "FailureClass",
    "InvalidValue",
    "LastResult",
    "NaiveTime",
    "Outcome",
    "Policy",
    "ReasonCode",
    "Rule",
    "Severity",
    "Source",
    "Strategy",
    "Unreadable",
    "Verdict",
    "classify_reason",
    "decide",
    "explain",
    "merge",
]
