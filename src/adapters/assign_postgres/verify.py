"""Tell by name what a database has, what it lacks, and what has the wrong shape. Reads only.

For hosts that run their SQL by other means than ``migrate``: on a remote database, by hand, in their own migrations.
So the ledger of ``migrate`` counts for nothing here; only what is there does.

A host may be more generous than we ask. A list of allowed values may be longer than ours, but must hold ours: an
event whose severity a CHECK refuses would vanish. A column that refuses NULL where ours does not is wrong, the other
way round is not, for columns that the host had before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import Enum
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from assign_core.errors import InvalidValue
from assign_postgres.catalogue import ALSO_FINE, ANY, Expectation, expected
from assign_postgres.errors import failure
from assign_postgres.migration_files import HOST, migration_files, replacements
from assign_postgres.names import TABLES, Names
from assign_postgres.present import Present, Thing, present

_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'::")
_LIST: Final = re.compile(r"CHECK \(\(*(\w+)\)?(?:::text)?\)? (?:= ANY \(|= ')")


class State(Enum):
    """What became of an expectation."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"


@frozen
class Finding:
    """An expectation and what was found.

    Attributes:
        kind: table, column, constraint, index, function, trigger or extension.
        name: which; a column's, constraint's, index's or trigger's begins with its table.
        detail: what is wrong; empty when nothing is.
        remedy: what to do; empty when nothing is to be done.
    """

    kind: str
    name: str
    state: State
    detail: str = ""
    remedy: str = ""


def verify(connection: Connection, groups: Iterable[str] = (HOST,), names: Names | None = None) -> list[Finding]:
    """Compare a database with what the migrations make of it; one finding for each expectation.

    Args:
        connection: one without an open transaction, because ours is read-only.

    Raises:
        InvalidValue: groups or names that cannot be meant, or a connection that is in use.
        DatabaseFailure: the database could not be read.
    """
    called = Names() if names is None else names
    wanted = {file.group for file in migration_files(groups, called)}
    if connection.in_transaction():
        raise InvalidValue("the connection has an open transaction; commit it, or pass a connection of its own")
    try:
        with connection.begin():
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            there = present(connection, called.schema, replacements(called))
    except DBAPIError as error:
        raise failure(error) from error
    return [_finding(each, there) for each in expected(wanted, called)]


def in_the_way(connection: Connection, files: Collection[str], names: Names) -> list[str]:
    """What stands against these files, which are yet to be applied. Within a transaction.

    A column of the host's that is not as they need it; and what is there already in a shape that they would step over,
    because they say ``IF NOT EXISTS``. Functions, triggers and constraints on the host's table they replace.
    """
    there = present(connection, names.schema, replacements(names))
    wanted = expected({file.partition("/")[0] for file in files}, names)
    lacking = [finding for each in wanted if each.foreign and (finding := _finding(each, there)).state is not State.OK]
    wanted = [each for each in wanted if each.file in files]
    made_by = {each.thing.name: each.file for each in wanted if each.thing.kind == "table"}
    found = [f"{each.kind} {each.name}: {each.detail}; {each.remedy}" for each in lacking]
    for each in wanted:
        kind, table, _ = each.thing
        # A table that is there and that this very file would make: all of it must be right.
        whole = made_by.get(table) == each.file and Thing("table", "", table) in there
        relevant = kind in {"table", "column", "index"} or (whole and kind == "constraint")
        finding = _finding(each, there)
        if each.changed or not relevant or finding.state is State.OK:
            continue
        if finding.state is State.WRONG or (whole and kind in {"column", "constraint"}):
            remedy = _remedy_elsewhere(table, names) if whole else finding.remedy
            found.append(f"{finding.kind} {finding.name} is in the way: {finding.detail}; {remedy}")
    return found


def _finding(expectation: Expectation, there: Present) -> Finding:
    thing = expectation.thing
    name = f"{thing.table}.{thing.name}" if thing.table else thing.name
    shape = _shape_of(expectation, there)
    if shape is None:
        return Finding(thing.kind, name, State.MISSING, "it is not there", _remedy_missing(expectation))
    problem = _problem(expectation, shape)
    if problem is None:
        return Finding(thing.kind, name, State.OK)
    return Finding(thing.kind, name, State.WRONG, problem, _remedy_wrong(expectation))


def _shape_of(expectation: Expectation, there: Present) -> str | None:
    """The shape of what is there, under its name, or of any that says the same under another."""
    thing = expectation.thing
    if thing.kind == "constraint" and not expectation.shape.startswith("EXCLUDE"):
        # Only an exclusion constraint's name has a meaning, to those who read errors.
        others = [shape for (kind, table, _), shape in there.items() if (kind, table) == ("constraint", thing.table)]
        fitting = [shape for shape in others if _problem(expectation, shape) is None]
        if fitting and thing not in there:
            return fitting[0]
    return there.get(thing)


def _problem(expectation: Expectation, shape: str) -> str | None:
    """What is wrong with a shape; ``None`` if nothing is."""
    wanted = expectation.shape
    if shape == wanted or wanted == ANY:
        return None
    if expectation.thing.kind == "column":
        return _column_problem(expectation, shape)
    if expectation.thing.kind == "constraint":
        return _constraint_problem(wanted, shape)
    if expectation.thing.kind == "function":
        return "it is not the one that the migration makes"
    if expectation.thing.kind == "trigger":
        return _trigger_problem(expectation, shape)
    return f"it is {shape}, not {wanted}"


def _trigger_problem(expectation: Expectation, shape: str) -> str | None:
    if expectation.loose and shape.partition(":")[0] == expectation.shape.partition(":")[0]:
        return None
    return f"it {shape}; the migration's {expectation.shape}"


def _column_problem(expectation: Expectation, shape: str) -> str | None:
    wanted, refuses_null = expectation.shape.removesuffix(" not null"), expectation.shape.endswith(" not null")
    kind = shape.removesuffix(" not null")
    if kind != wanted and kind.partition("(")[0] not in ALSO_FINE.get(expectation.field or "", frozenset()):
        return f"its type is {kind}, not {wanted}"
    if expectation.foreign:
        return None
    if shape.endswith(" not null") and not refuses_null:
        return "it refuses NULL, and must not"
    if refuses_null and not shape.endswith(" not null"):
        return "it may be NULL, and must not"
    return None


def _constraint_problem(wanted: str, shape: str) -> str | None:
    """A list of values may be longer; anything else must be the same, but for the column that the host has named."""
    if "octet_length" in wanted:
        return None if _size_limit(shape) == _size_limit(wanted) else f"it says {shape}, not {wanted}"
    mine, theirs = _LIST.match(wanted), _LIST.match(shape)
    if mine and theirs and mine[1] == theirs[1]:
        refused = [value for value in _LITERAL.findall(wanted) if value not in _LITERAL.findall(shape)]
        return f"it refuses {', '.join(refused)}" if refused else None
    return f"it says {shape}, not {wanted}"


def _size_limit(shape: str) -> str | None:
    found = re.fullmatch(r"CHECK \(\(octet_length\(\((.+)\)::text\) <= (\d+)\)\)", shape, re.DOTALL)
    return found and found[2]


def _remedy_missing(expectation: Expectation) -> str:
    if expectation.foreign:
        option = f"--{(expectation.field or '').replace('_', '-')}"
        return f"name yours with {option}" + (" and --schema" if option == "--bookings" else "")
    return f"run migrations/{expectation.file}, or `assign-core migrate`"


def _remedy_elsewhere(table: str, names: Names) -> str:
    """For a table of ours whose name something else has."""
    for field in TABLES:
        if table == getattr(names, field):
            return f"rename that table, or name ours otherwise with --{field}"
    return "rename that table, or use another --schema"


def _remedy_wrong(expectation: Expectation) -> str:
    thing = expectation.thing
    if expectation.field is not None and thing.kind == "column":
        option = f"--{expectation.field.replace('_', '-')}"
        if expectation.foreign:
            return f"name another column with {option}"
        return f"make it {expectation.shape}, or name another column with {option}"
    if thing.kind in {"function", "trigger"}:
        return f"run migrations/{expectation.file} again"
    if thing.kind == "table":
        option = f"name ours otherwise with --{expectation.field}" if expectation.field else "use another --schema"
        return f"rename it, or {option}"
    return f"change it to what migrations/{expectation.file} makes, or rename the table and run that file again"
