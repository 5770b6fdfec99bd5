"""A restaurant's floor: tables, what stands beside what, when it serves, and how long parties stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, timedelta, timezone
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from assign_floor.hours import DEFAULT_DURATIONS, Durations, Service, check_services
from assign_floor.layout import Layout
from assign_floor.shapes import Catalogue
from assign_floor.tables import Table


def _tables(tables: Iterable[Table]) -> tuple[Table, ...]:
    return tuple(tables)


def _services(services: Iterable[Service]) -> tuple[Service, ...]:
    return tuple(services)


def _pairs(adjacent: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    # Adjacency has no direction: each pair is kept once, with its ids in order.
    return tuple(sorted({(min(one, other), max(one, other)) for one, other in adjacent}))


@attrs.frozen(kw_only=True)
class Floor:
    """An immutable, validated floor. Equal floors answer alike; share one, because it remembers what it worked out.

    ``adjacent`` holds pairs of ids in either order; a pair across zones, or with an immovable table, is allowed
    and joins nothing. ``services`` are local wall times in ``tz``; without any, every start is accepted.
    ``turnover`` is added to every stay, for clearing the table.

    Raises:
        ValueError: repeated ids, unknown or equal ids in a pair, overlapping services, or a negative turnover.
    """

    tables: tuple[Table, ...] = attrs.field(converter=_tables)
    adjacent: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    services: tuple[Service, ...] = attrs.field(default=(), converter=_services)
    durations: Durations = DEFAULT_DURATIONS
    turnover: timedelta = timedelta()
    tz: ZoneInfo | timezone = UTC
    layout: Layout = attrs.field(init=False, eq=False, repr=False)
    """The tables as bit masks, for this package's own use."""
    catalogue: Catalogue = attrs.field(init=False, eq=False, repr=False)
    """What the empty house offers, for this package's own use."""

    def __attrs_post_init__(self) -> None:
        self._check_tables()
        check_services(self.services)
        if self.turnover < timedelta():
            raise ValueError(f"The turnover is {self.turnover}; it must not be negative.")
        layout = Layout(self.tables, self.adjacent)
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "catalogue", Catalogue(layout))

    def _check_tables(self) -> None:
        count = Counter(table.id for table in self.tables)
        for table_id, times in count.items():
            if times > 1:
                raise ValueError(f"{times} tables have the id {table_id!r}; ids must be unique on a floor.")
        for pair in self.adjacent:
            for table_id in pair:
                if table_id not in count:
                    raise ValueError(
                        f"Adjacency {pair} names the table {table_id!r}, which is not on the floor; "
                        "add the table or remove the pair."
                    )
            if pair[0] == pair[1]:
                raise ValueError(f"Adjacency {pair} joins the table {pair[0]!r} with itself; remove the pair.")

    @property
    def zones(self) -> tuple[str, ...]:
        """The names of the zones, sorted."""
        return tuple(sorted({table.zone for table in self.tables}))

    def __reduce__(self) -> tuple[Any, ...]:
        # What has been worked out stays behind: a copy in another process works it out again.
        given = {field.name: getattr(self, field.name) for field in attrs.fields(Floor) if field.init}
        return partial(Floor, **given), ()
