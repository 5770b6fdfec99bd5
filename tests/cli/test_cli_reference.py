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
from assign_core.case import Case
from assign_core.rules import MODIFIERS, Rule, Words
from assign_wire import KEYS, schema

PLACE: Final = "made_for_this_test"


def test_every_part_of_every_rule_and_every_modifier_has_a_row_in_order() -> None:
    said = [part for rule in RULES for part in rule.parts] + list(MODIFIERS)
    assert [row[1:] for row in decision_rows()] == [(f"`{each.name}`", each.when, each.then) for each in said]


def test_the_parts_of_a_rule_share_its_number() -> None:
    rules = [Rule(parts=tuple(Words(name, "When.", "Then.") for name in names), answer=never) for names in ("a", "bcd")]
    assert [row[0] for row in decision_rows(rules)][:4] == ["1", "2a", "2b", "2c"]


def never(case: Case) -> None:
    del case


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
