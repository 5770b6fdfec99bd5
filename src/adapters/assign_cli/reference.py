"""Tables of the documentation, as rows: the decision, the commands as they are called, the keys of the stored blob.

All are read from what the program itself goes by: the rules, the commands' own parameters, the published JSON Schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase
from typing import Final, cast

import click

from assign_cli.app import Subcommand
from assign_core import RULES
from assign_core.rules import MODIFIERS, Rule
from assign_wire import JSON, schema

Row = tuple[str, ...]

DECISION_HEAD: Final[Row] = ("#", "rule", "when", "then")
COMMANDS_HEAD: Final[Row] = ("command", "arguments and options", "what for")
BLOB_HEAD: Final[Row] = ("key", "type", "meaning")
_FEW: Final = 4
"""More values than these are counted, not listed."""


def decision_rows(rules: Sequence[Rule] = RULES) -> Iterator[Row]:
    """A row for each part of each rule, in order (7a, 7b and so on), and for each modifier."""
    for number, rule in enumerate(rules, 1):
        letters = ascii_lowercase if len(rule.parts) > 1 else [""]
        for letter, part in zip(letters, rule.parts, strict=False):
            yield f"{number}{letter}", f"`{part.name}`", part.when, part.then
    for modifier in MODIFIERS:
        yield "+", f"`{modifier.name}`", modifier.when, modifier.then


def command_rows(subcommands: Mapping[str, Subcommand]) -> Iterator[Row]:
    """A row for each command: how it is called, and its line in the list of commands."""
    for name, subcommand in subcommands.items():
        command = subcommand.load()
        context = click.Context(command, info_name=name)
        used = " ".join(f"`{_called(each, context)}`" for each in command.params)
        yield f"`assign-core {name}`", used, subcommand.summary


def _called(parameter: click.Parameter, context: click.Context) -> str:
    """As in a usage line: what may be left out stands in brackets."""
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(context)
    called = "/".join((max(parameter.opts, key=len), *parameter.secondary_opts))
    if not (isinstance(parameter, click.Option) and parameter.is_flag):
        called += f" {_value(parameter, context)}"
    called = called if parameter.required else f"[{called}]"
    return f"{called}..." if isinstance(parameter, click.Option) and parameter.multiple else called


def _value(parameter: click.Parameter, context: click.Context) -> str:
    if parameter.metavar is None and isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return "N"
    return parameter.make_metavar(context).strip("[]")


def blob_rows() -> Iterator[Row]:
    """A row for each key of the blob, in the order of the schema; a key inside another after it."""
    return _keys(schema(), "")


def _keys(of: Mapping[str, JSON], within: str) -> Iterator[Row]:
    required = cast("list[str]", of.get("required", []))
    for key, spec in cast("dict[str, dict[str, JSON]]", of.get("properties", {})).items():
        kind = f"{_type(spec)}, always" if key in required else _type(spec)
        yield f"`{within}{key}`", kind, f"{spec['title']}. {spec['description']}"
        yield from _keys(spec, f"{within}{key}.")


def _type(spec: Mapping[str, JSON]) -> str:
    values = cast("list[JSON]", spec.get("enum", [spec["const"]] if "const" in spec else []))
    if not values:
        return "time" if spec.get("format") == "date-time" else str(spec["type"])
    return " or ".join(f"`{value}`" for value in values) if len(values) <= _FEW else f"one of {len(values)} codes"
