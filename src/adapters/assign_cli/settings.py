"""A policy from a file: the same names as :class:`~assign_core.policy.Policy`, durations in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final, TypeVar, get_type_hints

import click

from assign_cli.errors import BadInput
from assign_cli.inputs import read_object, shown, whole
from assign_core import InvalidValue, Policy, Strategy

_EXAMPLE: Final = '{"retries": 2, "freshness": 120, "delays": [5, 15]}'
_F = TypeVar("_F", bound=Callable[..., Any])


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {shown(value)}; pass a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"is {shown(value)}; pass a smaller number") from None


def _duration(value: object) -> timedelta:
    try:
        return timedelta(seconds=_number(value))
    except (ValueError, OverflowError):
        raise ValueError(f"is {shown(value)}; pass a number of seconds") from None


def _durations(value: object) -> tuple[timedelta, ...]:
    if not isinstance(value, list):
        raise ValueError(f"is {shown(value)}; pass a list of seconds")
    return tuple(_duration(item) for item in value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {shown(value)}; pass true or false")
    return value


def _strategy(value: object) -> Strategy:
    if not isinstance(value, dict) or value.keys() - {"requireAdjacency", "maxTables"}:
        raise ValueError(f"is {shown(value)}; pass an object of requireAdjacency and maxTables")
    adjacency, tables = value.get("requireAdjacency"), value.get("maxTables")
    return Strategy(
        require_adjacency=None if adjacency is None else _flag(adjacency),
        max_tables=None if tables is None else whole(tables, least=1),
    )


_READERS: Final[Mapping[object, Callable[[object], object]]] = {
    int: whole,
    float: _number,
    bool: _flag,
    timedelta: _duration,
    tuple[timedelta, ...]: _durations,
    Strategy: _strategy,
}
_KINDS: Final = get_type_hints(Policy)


def read_policy(path: str) -> Policy:
    """The policy that a file holds: defaults for whatever it does not name.

    Raises:
        BadInput: the file cannot be read, or names a setting or value that does not exist.
    """
    where = f"--policy {path!r}"
    settings: dict[str, Any] = {}
    for name, value in read_object("--policy", path, _EXAMPLE).items():
        if name not in _KINDS:
            near = get_close_matches(name, _KINDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(_KINDS)}"
            raise BadInput(f"{where}: unknown setting {shown(name)}; {hint}")
        try:
            settings[name] = _READERS[_KINDS[name]](value)
        except ValueError as error:
            raise BadInput(f"{where}: {name} {error}") from None
    try:
        return Policy(**settings)
    except InvalidValue as error:
        raise BadInput(f"{where}: {error}") from None


def _from_file(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Policy:
    return Policy() if value is None else read_policy(value)


def policy_option(command: _F) -> _F:
    """The option ``--policy FILE``; the command gets a :class:`~assign_core.policy.Policy`."""
    return click.option(
        "--policy",
        metavar="FILE",
        callback=_from_file,
        help="JSON object of the settings that differ from the defaults; durations in seconds.",
    )(command)
