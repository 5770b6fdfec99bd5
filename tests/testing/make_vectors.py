"""Write the decision vectors of assign_testing from the independent model: ``python -m tests.testing.make_vectors``.

The questions are a sample of those that the model's own test enumerates, taken at steps that share no factor with the
lengths of the axes, so that every combination of neighbours comes up somewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice, product
from pathlib import Path
from typing import Any, Final

from tests.core.test_core_decision_model import (
    CODES,
    FAILURES,
    FLAGS,
    KNOBS,
    LATE,
    LEDGER,
    NOON,
    OWN_KNOBS,
    STARTS,
    STATUSES,
    USED_KNOBS,
    VERSIONS,
    Question,
    Settings,
    _open_questions,
    model,
)

import assign_testing.vectors

PATH: Final = Path(assign_testing.vectors.__file__).with_name(assign_testing.vectors.FILE)
EXACT: Final = {
    "no audit": Settings(jitter=0.0, audited=0.0),
    "full audit": Settings(jitter=0.0, audited=1.0),
    "relaxed": Settings(jitter=0.0, relax=True),
    "late": LATE._replace(jitter=0.0),
}
DAMAGED: Final = '{"source": "inl'


def time(at: int | None) -> str | None:
    return None if at is None else (NOON + timedelta(microseconds=at)).isoformat(timespec="microseconds")


def knobs(strategy: Any) -> dict[str, Any]:
    return {"requireAdjacency": strategy.require_adjacency, "maxTables": strategy.max_tables}


def policy(s: Settings) -> dict[str, Any]:
    return {
        "retries": s.retries,
        "attemptCap": s.cap,
        "capacityBudget": s.capacity_budget,
        "rejectedBudget": s.rejected_budget,
        "ambiguousBudget": s.ambiguous_budget,
        "revalidationShare": s.audited,
        "jitter": s.jitter,
        "relaxAfterTimeout": s.relax,
        "delaysUs": list(s.delays),
        "cutoffUs": s.cutoff,
        "dispatchMarginUs": s.margin,
        "freshnessUs": s.freshness,
        "clockSkewUs": s.skew,
        "revalidationLimitUs": s.limit,
        "wakeWindowUs": s.window,
        "strategy": knobs(OWN_KNOBS),
    }


def blob(q: Question) -> Any:
    if q.seen != "result":
        return None if q.seen == "absent" else DAMAGED
    code = None if q.failure is None else CODES[q.failure].value
    found = {
        "v": 1,
        "source": "job" if q.attempt else "inline",
        "lastAttemptAt": time(q.at),
        "success": q.failure is None,
        "reasonCode": "timeout" if q.timed_out and q.failure == "ambiguous" else code,
        "strategy": knobs(USED_KNOBS) if q.knobs else None,
        "durationMs": q.duration_ms,
        "attemptId": f"a{q.attempt}",
        "attempt": q.attempt,
        "revision": q.seen_revision,
        "emailSent": q.flag,
        "emailVariant": q.variant,
        "capacityVersion": q.seen_version,
        "retryAfter": time(q.hint),
    }
    return {key: value for key, value in found.items() if value is not None}


def decision(q: Question, s: Settings) -> dict[str, Any]:
    answer = model(q, s, 0.0)
    found: dict[str, Any] = {
        "action": answer.action,
        "maxAttempts": answer.budget,
        "attemptsUsed": answer.used,
        "notBefore": time(answer.at),
        "parked": answer.parked,
        "suppressEmail": answer.told,
        "evidence": answer.evidence,
        "failureClass": q.failure if q.seen == "result" else None,
        "rules": list(answer.rules),
    }
    if answer.knobs == "relaxed":
        base = USED_KNOBS if q.knobs else OWN_KNOBS
        found["strategy"] = {"requireAdjacency": False, "maxTables": base.max_tables}
    elif answer.knobs is not None:
        found["strategy"] = knobs(KNOBS[answer.knobs])
    return found


def questions() -> Iterator[tuple[str, Question]]:
    for failure in FAILURES:
        for number, question in enumerate(islice(_open_questions(failure), 0, None, 307)):
            yield ("no audit", "full audit")[number % 2], question
    for question in islice(_open_questions("ambiguous"), 0, None, 431):
        yield "relaxed", question
    for policy_name, rule, step in (
        ("full audit", "revalidation_due", 3),
        ("no audit", "last_chance", 5),
        ("late", "capacity_changed", 43),
    ):
        rare = (q for q in _open_questions("capacity") if rule in decision(q, EXACT[policy_name])["rules"])
        for question in islice(rare, 0, None, step):  # too rare for the steps above
            yield policy_name, question
    others = product(STATUSES, ("result", "absent", "unreadable"), LEDGER, FLAGS, (0, 1), (0, 1, 2), STARTS, VERSIONS)
    for status, seen, ledger, (flag, variant), revision, seen_revision, start, (version, old) in islice(
        others, 0, None, 911
    ):
        yield (
            "no audit",
            Question(
                status=status,
                seen=seen,
                ledger=ledger,
                flag=flag,
                variant=variant,
                revision=revision,
                seen_revision=seen_revision,
                start=start,
                version=version,
                seen_version=old,
                failure="capacity",
                at=-7_000_000,
            ),
        )


def vectors() -> dict[str, Any]:
    """The content of the file."""
    return {
        "policies": {name: policy(s) for name, s in EXACT.items()},
        "now": time(0),
        "vectors": [
            {
                "policy": name,
                "booking": {
                    "id": "b",
                    "status": q.status,
                    "startAt": time(q.start),
                    "revision": q.revision,
                    "capacityVersion": q.version,
                    "email": q.ledger,
                },
                "blob": blob(q),
                "decision": decision(q, EXACT[name]),
            }
            for name, q in questions()
        ],
    }


def text() -> str:
    """The file: one vector a line, so that a change can be read."""
    found = vectors()
    lines = ",\n".join(json.dumps(each) for each in found["vectors"])
    head = {key: value for key, value in found.items() if key != "vectors"}
    return json.dumps(head, indent=1).removesuffix("\n}") + f',\n "vectors": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
