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

from assign_postgres.migration_files import HOST
from assign_postgres.names import Names
from assign_postgres.present import Present, Thing

LEDGER: Final = "assign_core_migrations"
"""The table that ``migrate`` keeps for itself; a database that was migrated by other means has none."""

_HOST_COLUMNS: Final = ("id", "status", "start_at", "revision", "last_result", "idempotency_key")
_FOREIGN: Final = "the host's own"

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
        field: for a column of the host's table, how :class:`~assign_postgres.names.Names` calls it.
    """

    thing: Thing
    shape: str
    file: str
    changed: bool = False
    field: str | None = None

    @property
    def foreign(self) -> bool:
        """Whether it is the host's, and no migration makes it."""
        return self.file == _FOREIGN


def expected(groups: Iterable[str], names: Names) -> list[Expectation]:
    """What a database with these groups should have, called by these names."""
    wanted = set(groups)
    found = [_named(each, names) for each in _catalogue() if each.file.partition("/")[0] in wanted]
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
    if table != Names().bookings or kind not in {"column", "constraint"}:
        return expectation
    if kind == "constraint":
        return evolve(expectation, thing=Thing(kind, names.bookings, name))
    for field in _HOST_COLUMNS:
        if name == getattr(Names(), field):
            return evolve(expectation, thing=Thing(kind, names.bookings, getattr(names, field)), field=field)
    return expectation


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
