"""The documentation's tables of the commands and of the blob: whatever there is has its row."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

import click
import pytest

from assign_cli.__main__ import COMMANDS
from assign_cli.app import Subcommand
from assign_cli.reference import BLOB_HEAD, COMMANDS_HEAD, blob_rows, command_rows, decision_rows
from assign_core import RULES, ReasonCode
from assign_core.rules import MODIFIERS, Rule
from assign_wire import KEYS, schema

PLACE: Final = "made_for_this_test"


def rule(names: tuple[str, ...], when: str, then: str) -> Rule:
    return Rule(names=names, when=when, then=then, answer=lambda _: None)


def test_every_rule_and_every_modifier_has_a_row_in_order() -> None:
    rows = list(decision_rows())
    names = dict.fromkeys(row[1].strip("`") for row in rows)
    assert list(names) == [*(name for rule in RULES for name in rule.names), *(each.name for each in MODIFIERS)]
    numbers = dict.fromkeys(int("".join(filter(str.isdigit, row[0]))) for row in rows if row[0] != "+")
    assert list(numbers) == list(range(1, len(RULES) + 1))
    words = " ".join(f"{row[2]} {row[3]}" for row in rows)
    for each in RULES:
        for part in (*each.when.rstrip(".").split("; "), *each.then.rstrip(".").split("; ")):
            assert part.removeprefix("or ")[1:] in words


def test_a_condition_of_several_parts_has_a_row_for_each() -> None:
    parts = rule(("first", "second", "third"), "It rains; and it is cold; or it snows.", "`wait`; `attempt`; `none`.")
    assert list(decision_rows([parts]))[:3] == [
        ("1a", "`first`", "It rains.", "`wait`."),
        ("1b", "`second`", "As 1a, and it is cold.", "`attempt`."),
        ("1c", "`third`", "It snows.", "`none`."),
    ]


def test_what_all_parts_have_in_common_is_said_of_each() -> None:
    parts = rule(("only",), "It rains; or it snows.", "`wait`")
    assert list(decision_rows([parts]))[:2] == [
        ("1a", "`only`", "It rains.", "`wait`"),
        ("1b", "`only`", "It snows.", "`wait`"),
    ]


def test_an_answer_with_a_semicolon_to_one_condition_is_one_row() -> None:
    whole = rule(("only",), "It rains.", "`wait`; full budget.")
    assert next(decision_rows([whole])) == ("1", "`only`", "It rains.", "`wait`; full budget.")


def test_parts_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="are 2, for 3 conditions"):
        list(decision_rows([rule(("a", "b"), "One; two; three.", "`wait`")]))


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("-n", "--number", type=int, required=True)
@click.option("--rate", type=click.FloatRange(0))
@click.option("--group", type=click.Choice(["a", "b"]), multiple=True)
@click.option("--since", metavar="TIME")
@click.option("--loud/--quiet")
@click.option("--json", "as_json", is_flag=True)
def every_kind(**_: object) -> None:
    """Nothing."""


def test_a_call_is_told_as_in_a_usage_line(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(PLACE)
    vars(module)["every_kind"] = every_kind
    monkeypatch.setitem(sys.modules, PLACE, module)
    (row,) = command_rows({"every": Subcommand(f"{PLACE}:every_kind", "Says nothing.")})
    assert row == (
        "`assign-core every`",
        "`[FILE...]` `--number N` `[--rate N]` `[--group a|b]...` `[--since TIME]` `[--loud/--quiet]` `[--json]`",
        "Says nothing.",
    )


def test_every_command_has_a_row_with_every_option() -> None:
    rows = {row[0]: row for row in command_rows(COMMANDS)}
    assert list(rows) == [f"`assign-core {name}`" for name in COMMANDS]
    for (name, subcommand), row in zip(COMMANDS.items(), rows.values(), strict=True):
        assert len(row) == len(COMMANDS_HEAD)
        assert row[2] == subcommand.summary
        for parameter in subcommand.load().params:
            assert max(parameter.opts, key=len) in row[1] or isinstance(parameter, click.Argument), name


def test_every_key_of_the_blob_has_a_row() -> None:
    rows = {row[0].strip("`"): row for row in blob_rows()}
    assert {key for key in rows if "." not in key} == {"v", *KEYS.values()}
    assert {key for key in rows if "." in key} == {"strategy.requireAdjacency", "strategy.maxTables"}
    required = schema()["required"]
    assert isinstance(required, list)
    for key, row in rows.items():
        assert len(row) == len(BLOB_HEAD)
        assert row[1].endswith(", always") == (key in required)
        assert row[2].endswith(".")


def test_what_a_value_may_be_is_told_in_a_word() -> None:
    kinds = {row[0].strip("`"): row[1] for row in blob_rows()}
    assert kinds["v"] == "`1`, always"
    assert kinds["source"] == "`inline` or `job`, always"
    assert kinds["lastAttemptAt"] == "time, always"
    assert kinds["reasonCode"] == f"one of {len(ReasonCode)} codes"
    assert kinds["alternates"] == "integer"
