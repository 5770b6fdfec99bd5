"""The floor as bit masks: a set of tables is one integer, and a question about it a few machine operations.

Bits are numbered by seats in descending order, then by id, so the lowest bit of any set is its largest table. That
makes "the tables too small to seat this party alone" a run of high bits, and gives the search a sharp bound.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from assign_floor.tables import Candidate, Table


class Rules(NamedTuple):
    """What is asked of a set of tables, apart from whether it is free."""

    party: int
    max_tables: int
    require_adjacency: bool
    zone: str | None


def bits(mask: int) -> Iterator[int]:
    """The single bits of ``mask``, lowest (the largest table) first."""
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit


def position(bit: int) -> int:
    """The number of the highest bit that is set."""
    return bit.bit_length() - 1


class Layout:
    """Tables and adjacency, indexed. Built once per floor and never changed."""

    __slots__ = (
        "_negative_seats",
        "_order",
        "_zones",
        "bit_of",
        "everything",
        "joined",
        "most_seats",
        "movable",
        "seats",
        "tables",
    )

    def __init__(self, tables: Iterable[Table], adjacent: Iterable[tuple[str, str]]) -> None:
        self.tables = tuple(sorted(tables, key=lambda table: (-table.seats, table.id)))
        self.seats = tuple(table.seats for table in self.tables)
        self._negative_seats = tuple(-seats for seats in self.seats)
        self.bit_of = {table.id: 1 << index for index, table in enumerate(self.tables)}
        self.everything = (1 << len(self.tables)) - 1
        self.movable = sum(self.bit_of[table.id] for table in self.tables if table.movable)
        by_id = sorted((table.id for table in self.tables), reverse=True)
        rank = {table_id: 1 << index for index, table_id in enumerate(by_id)}
        self._order = tuple(rank[table.id] for table in self.tables)
        self._zones: dict[str, int] = {}
        for table in self.tables:
            self._zones[table.zone] = self._zones.get(table.zone, 0) | self.bit_of[table.id]
        self.joined = (self._anything_movable(), self._adjacent_only(adjacent))
        """``joined[require_adjacency][n]``: the tables that table n may be put together with directly."""
        self.most_seats = tuple(
            max((*self.seats[:1], *self._component_seats(self.movable, joined)), default=0) for joined in self.joined
        )
        """``most_seats[require_adjacency]``: the largest party the empty house could seat with any number of tables."""

    def _anything_movable(self) -> tuple[int, ...]:
        return tuple(
            self._zones[table.zone] & self.movable & ~self.bit_of[table.id] if table.movable else 0
            for table in self.tables
        )

    def _adjacent_only(self, adjacent: Iterable[tuple[str, str]]) -> tuple[int, ...]:
        touching = [0] * len(self.tables)
        for one, other in adjacent:
            touching[position(self.bit_of[one])] |= self.bit_of[other]
            touching[position(self.bit_of[other])] |= self.bit_of[one]
        return tuple(near & allowed for near, allowed in zip(touching, self._anything_movable(), strict=True))

    def mask(self, ids: Collection[str]) -> int:
        """The tables with these ids; ids that are not on this floor are left out."""
        mask = 0
        bit_of = self.bit_of
        for table_id in ids:
            mask |= bit_of.get(table_id, 0)
        return mask

    def zone(self, name: str | None) -> int:
        """The tables of a zone, none for an unknown one; ``None`` means the whole floor."""
        return self.everything if name is None else self._zones.get(name, 0)

    def at_least(self, party: int) -> int:
        """The tables with ``party`` seats or more."""
        return int((1 << bisect_right(self._negative_seats, -party)) - 1)

    def order(self, mask: int) -> int:
        """A number that is larger the earlier the sorted ids come, among sets of the same size.

        Each id's bit is the higher the earlier the id sorts, so the first id in which two sets differ decides.
        """
        return sum(self._order[position(bit)] for bit in bits(mask))

    def candidate(self, mask: int, party: int) -> Candidate:
        """The set as callers see it."""
        members = [self.tables[position(bit)] for bit in bits(mask)]
        seats = sum(table.seats for table in members)
        return Candidate(
            tables=tuple(sorted(table.id for table in members)),
            zone=members[0].zone,
            seats=seats,
            waste=seats - party,
        )

    def could_combine(self, party: int, require_adjacency: bool) -> bool:
        """Whether tables that are each too small for the party could seat it together, however many it takes."""
        small = self.movable & ~self.at_least(party)
        return any(seats >= party for seats in self._component_seats(small, self.joined[require_adjacency]))

    def _component_seats(self, mask: int, joined: Sequence[int]) -> Iterator[int]:
        while mask:
            component = reachable(mask, joined)
            yield sum(self.seats[position(bit)] for bit in bits(component))
            mask ^= component


def reachable(mask: int, joined: Sequence[int]) -> int:
    """The tables of ``mask`` that its lowest one is connected to without leaving ``mask``."""
    reached = mask & -mask
    fresh = reached
    while fresh:
        step = 0
        for bit in bits(fresh):
            step |= joined[position(bit)]
        fresh = step & mask & ~reached
        reached |= fresh
    return reached
