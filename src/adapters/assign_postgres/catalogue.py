"""What a database should have: one table of expectations, ``catalogue.json``.

It is not written by hand. The migrations are applied to an empty database, one file after the other, and what each of
them has added or changed is noted with its shape. A test does so again on every server and compares. So a file that
is added to ``migrations/`` shows here as a difference that can be read, and ``verify`` knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Final

from attrs import evolve, frozen

from assign_postgres.migration_files import HOST, REFERENCE
from assign_postgres.names import TABLES, Names
from assign_postgres.present import Present, Thing

LEDGER: Final = "assign_core_migrations"
"""The table that ``migrate`` keeps for itself; a database that was migrated by other means has none."""

_HOST_COLUMNS: Final = ("id", "status", "start_at", "revision", "last_result", "idempotency_key")
_FOREIGN: Final = "the host's own"

_VERSION: Final = Thing("function", "", "booking_capacity_version(booking text, moment timestamp with time zone)")
"""The host's to replace."""

ANY: Final = "any type"
ALSO_FINE: Final[Mapping[str, frozenset[str]]] = {
    "revision": frozenset({"bigint", "smallint"}),
    "idempotency_key": frozenset({"character varying"}),
}
"""Types that serve as well as ours, in columns that a host may have had before."""


@frozen
class Expectation:
    """A thing that should be there.

    Attributes:
        shape: its shape, as :func:`~assign_postgres.present.present` tells it; ``ANY`` if only its being there counts.
        file: the migration that makes it.
        changed: whether a later one has changed it.
        field: for a column or a table that a host may name, how :class:`~assign_postgres.names.Names` calls it.
        loose: for a trigger, whether only what it calls is compared; its definition has the host's names and types.
    """

    thing: Thing
    shape: str
    file: str
    changed: bool = False
    field: str | None = None
    loose: bool = False

    @property
    def foreign(self) -> bool:
        """Whether it is the host's, and no migration makes it."""
        return self.file == _FOREIGN


def expected(groups: Iterable[str], names: Names) -> list[Expectation]:
    """What a database with these groups should have, called by these names."""
    wanted = set(groups)
    found = [_named(each, names) for each in _catalogue() if each.file.partition("/")[0] in wanted]
    if REFERENCE not in wanted:
        found = [_of_a_host(each) for each in found]
    if HOST in wanted and not any(each.thing == Thing("table", "", names.bookings) for each in found):
        found = [*_of_the_host(names), *found]
    return found


def observed(before: Present, after: Present, file: str, noted: Iterable[Expectation]) -> list[Expectation]:
    """The expectations after one more file: what was noted, without what is gone, and with what is new or changed."""
    known = {each.thing: each for each in noted}
    result = [
        each if each.shape == after[each.thing] else evolve(each, shape=after[each.thing], changed=True)
        for each in known.values()
        if each.thing in after
    ]
    fresh = [
        Expectation(thing, shape, file)
        for thing, shape in sorted(after.items())
        if thing not in before and LEDGER not in {thing.table, thing.name}
    ]
    return result + fresh


def dumps(expectations: Iterable[Expectation]) -> str:
    """The catalogue's text: one line for each thing."""
    lines = (
        json.dumps([each.file, *each.thing, each.shape, *(["changed"] if each.changed else [])])
        for each in expectations
    )
    return "[\n" + ",\n".join(lines) + "\n]\n"


@cache
def _catalogue() -> tuple[Expectation, ...]:
    rows = json.loads((resources.files("assign_postgres") / "catalogue.json").read_text("utf-8"))
    return tuple(Expectation(Thing(*row[1:4]), row[4], row[0], changed=row[5:] == ["changed"]) for row in rows)


def _named(expectation: Expectation, names: Names) -> Expectation:
    """With the host's names in place of the default ones."""
    kind, table, name = expectation.thing
    called = {getattr(Names(), each): (each, getattr(names, each)) for each in TABLES}
    if kind == "table" and name in called:
        field, given = called[name]
        return evolve(expectation, thing=Thing(kind, table, given), field=field)
    if table not in called:
        return expectation
    given = called[table][1]
    if kind == "column" and table == Names().bookings:
        for field in _HOST_COLUMNS:
            if name == getattr(Names(), field):
                return evolve(expectation, thing=Thing(kind, given, getattr(names, field)), field=field)
    return evolve(expectation, thing=Thing(kind, given, name))


def _of_a_host(expectation: Expectation) -> Expectation:
    """Where the reference schema does not say how everything is called, and of which type it is."""
    if expectation.thing == _VERSION:
        return evolve(expectation, shape=ANY)
    return evolve(expectation, loose=expectation.thing.kind == "trigger")


def _of_the_host(names: Names) -> list[Expectation]:
    """What must have been there before."""
    shapes = {"id": ANY, "status": ANY, "start_at": "timestamp with time zone"}
    return [
        Expectation(Thing("table", "", names.bookings), "table", _FOREIGN, field="bookings"),
        *(
            Expectation(Thing("column", names.bookings, getattr(names, field)), shape, _FOREIGN, field=field)
            for field, shape in shapes.items()
        ),
    ]
