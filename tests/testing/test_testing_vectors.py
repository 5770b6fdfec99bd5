"""Every decision vector that is shipped is what ``decide`` answers, and what the independent model says today."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from tests.testing.make_vectors import PATH, text

from assign_core import RULES, Booking, EmailState, Evidence, FailureClass, Policy, Strategy, decide
from assign_testing.vectors import decision_vectors
from assign_wire import loads

FOUND = cast("dict[str, Any]", decision_vectors())


def span(microseconds: int) -> timedelta:
    return timedelta(microseconds=microseconds)


def moment(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


def knobs(said: dict[str, Any]) -> Strategy:
    return Strategy(require_adjacency=said["requireAdjacency"], max_tables=said["maxTables"])


def policy(said: dict[str, Any]) -> Policy:
    return Policy(
        retries=said["retries"],
        attempt_cap=said["attemptCap"],
        capacity_budget=said["capacityBudget"],
        rejected_budget=said["rejectedBudget"],
        ambiguous_budget=said["ambiguousBudget"],
        revalidation_share=said["revalidationShare"],
        jitter=said["jitter"],
        relax_after_timeout=said["relaxAfterTimeout"],
        delays=tuple(map(span, said["delaysUs"])),
        cutoff=span(said["cutoffUs"]),
        dispatch_margin=span(said["dispatchMarginUs"]),
        freshness=span(said["freshnessUs"]),
        clock_skew=span(said["clockSkewUs"]),
        revalidation_limit=span(said["revalidationLimitUs"]),
        wake_window=span(said["wakeWindowUs"]),
        strategy=knobs(said["strategy"]),
    )


POLICIES = {name: policy(said) for name, said in FOUND["policies"].items()}


def booking(said: dict[str, Any]) -> Booking:
    return Booking(
        id=said["id"],
        status=said["status"],
        start_at=moment(said["startAt"]),
        revision=said["revision"],
        capacity_version=said["capacityVersion"],
        email=None if said["email"] is None else EmailState(said["email"]),
    )


@pytest.mark.parametrize("name", POLICIES)
def test_every_vector_is_what_decide_answers(name: str) -> None:
    now = moment(FOUND["now"])
    assert now is not None
    for vector in FOUND["vectors"]:
        if vector["policy"] != name:
            continue
        found = decide(booking(vector["booking"]), loads(vector["blob"]), policy=POLICIES[name], now=now)
        expected = vector["decision"]
        answered = {
            "action": found.action.value,
            "maxAttempts": found.max_attempts,
            "attemptsUsed": found.attempts_used,
            "notBefore": found.not_before,
            "parked": found.parked,
            "suppressEmail": found.suppress_email,
            "evidence": found.evidence.value,
            "failureClass": None if found.failure_class is None else found.failure_class.value,
            "rules": list(found.rules),
            "strategy": found.strategy,
        }
        strategy = knobs(expected["strategy"]) if "strategy" in expected else found.strategy
        assert answered == {**expected, "notBefore": moment(expected["notBefore"]), "strategy": strategy}, vector


def test_the_file_is_what_the_model_says_today() -> None:
    shipped = PATH.read_text(encoding="utf-8")
    assert shipped == text(), "the vectors drifted: python -m tests.testing.make_vectors"


def test_the_vectors_reach_every_rule_and_every_kind_of_evidence() -> None:
    decisions = [vector["decision"] for vector in FOUND["vectors"]]
    named = {name for rule in RULES for name in rule.names} | {"budget_used_up", "email_on_record"}
    assert {name for each in decisions for name in each["rules"]} == named
    assert {each["evidence"] for each in decisions} == set(Evidence)
    assert {each["failureClass"] for each in decisions} == {*FailureClass, None}
