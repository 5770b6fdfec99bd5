"""The table of :mod:`benchmarks.micro.table` in the languages of three engines, each used as its manual recommends.

``zen-engine`` evaluates a decision table with the hit policy *first*. Cedar's policies know no order, so each row is a
policy with its place as its id, the answer names all that are satisfied, and the first of them decides. Casbin takes
the row's condition as an expression (its way for rules over attributes) and has a priority effect. Each is parsed once
beforehand, and each answers with the rule as well as the action.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from benchmarks.micro.library import library
from benchmarks.micro.table import TABLE, Condition, Fact, Facts, Row

from assign_core import Action

Decider = Callable[[Facts], Action]
_BY_PLACE = tuple(row.action for row in TABLE)


def zen(rows: Sequence[Row] = TABLE) -> Decider:
    facts = list(dict.fromkeys(each.fact for row in rows for each in row.conditions))
    table = {
        "hitPolicy": "first",
        "inputs": [{"id": fact, "name": fact, "field": fact} for fact in facts],
        "outputs": [{"id": name, "name": name, "field": name} for name in ("action", "rule")],
        "rules": [
            {
                "_id": str(place),
                **dict.fromkeys(facts, ""),
                **{each.fact: _zen(each) for each in row.conditions},
                "action": json.dumps(row.action.value),
                "rule": json.dumps(row.rule),
            }
            for place, row in enumerate(rows)
        ],
    }
    content = {
        "nodes": [
            {"id": "in", "type": "inputNode", "name": "in", "position": {"x": 0, "y": 0}},
            {"id": "t", "type": "decisionTableNode", "name": "t", "position": {"x": 0, "y": 0}, "content": table},
            {"id": "out", "type": "outputNode", "name": "out", "position": {"x": 0, "y": 0}},
        ],
        "edges": [
            {"id": "1", "sourceId": "in", "targetId": "t", "type": "edge"},
            {"id": "2", "sourceId": "t", "targetId": "out", "type": "edge"},
        ],
    }
    decision = library("zen").ZenEngine().create_decision(json.dumps(content))

    def decide(facts: Facts) -> Action:
        return Action(decision.evaluate(facts)["result"]["action"])

    return decide


def _zen(condition: Condition) -> str:
    match condition.test, condition.value:
        case "==", value:
            return json.dumps(value)
        case "in", tuple(values):
            return ", ".join(map(json.dumps, values))
        case "not in", tuple(values):
            return f"not($ in [{', '.join(map(json.dumps, values))}])"
        case test, value:
            return f"{test} {value}"


def cedar(rows: Sequence[Row] = TABLE) -> Decider:
    cedarpy = library("cedarpy")
    text = "\n".join(
        f'@id("{place}")\npermit (principal, action, resource) when {{ '
        + (" && ".join(map(_cedar, row.conditions)) or "true")
        + " };"
        for place, row in enumerate(rows)
    )
    policies = cedarpy.PolicySet.from_str(text)
    entities = cedarpy.Entities.from_json_str("[]")
    asked = {"principal": 'Job::"job"', "action": 'Action::"decide"', "resource": 'Booking::"b"'}
    # The answer names a policy as it was numbered when it was parsed, which is the order of the text.
    places = {f"policy{place}": place for place in range(len(rows))} | {str(place): place for place in range(len(rows))}

    def decide(facts: Facts) -> Action:
        found = cedarpy.is_authorized({**asked, "context": facts}, policies, entities)
        return _BY_PLACE[min(places[each] for each in found.diagnostics.reasons)]

    return decide


def _cedar(condition: Condition) -> str:
    fact = f"context.{condition.fact}"
    match condition.test, condition.value:
        case (("in" | "not in"), tuple(values)):
            contains = f"[{', '.join(map(json.dumps, values))}].contains({fact})"
            return contains if condition.test == "in" else f"!({contains})"
        case test, value:
            return f"{fact} {test} {json.dumps(value)}"


_CASBIN_MODEL = """
[request_definition]
r = facts

[policy_definition]
p = condition, rule, action, eft

[policy_effect]
e = priority(p.eft) || deny

[matchers]
m = eval(p.condition)
"""


def casbin(rows: Sequence[Row] = TABLE) -> Decider:
    casbin_ = library("casbin")
    model = casbin_.Model()
    model.load_model_from_text(_CASBIN_MODEL)
    enforcer = casbin_.Enforcer(model)
    for row in rows:
        condition = " && ".join(map(_casbin, row.conditions)) or "1 == 1"
        enforcer.add_policy(condition, row.rule, row.action.value, "allow")

    def decide(facts: Facts) -> Action:
        _, row = enforcer.enforce_ex(SimpleNamespace(**facts))
        return Action(row[2])

    return decide


def _casbin(condition: Condition) -> str:
    fact = f"r.facts.{condition.fact}"
    match condition.test, condition.value:
        case (("in" | "not in"), tuple(values)):
            return f"{fact} {condition.test} ({', '.join(map(repr, values))})"
        case test, value:
            return f"{fact} {test} {value!r}"


def plain(rows: Sequence[Row] = TABLE) -> Decider:
    """The table walked by hand: that the facts and the rows are right is seen with it, apart from any engine."""

    return lambda facts: deciding(facts, rows).action


def deciding(facts: Facts, rows: Sequence[Row] = TABLE) -> Row:
    """The row that decides."""
    return next(row for row in rows if all(_holds(each, facts[each.fact]) for each in row.conditions))


def _holds(condition: Condition, fact: Fact) -> bool:
    value: Any = condition.value
    match condition.test:
        case "==":
            return bool(fact == value)
        case "in":
            return fact in value
        case "not in":
            return fact not in value
        case "<=":
            return int(fact) <= value  # type: ignore[no-any-return]  # the row's value is a number here
        case "<":
            return int(fact) < value  # type: ignore[no-any-return]  # as above
        case ">=":
            return int(fact) >= value  # type: ignore[no-any-return]  # as above
        case ">":
            return int(fact) > value  # type: ignore[no-any-return]  # as above
