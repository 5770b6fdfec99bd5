"""Which sets of tables can seat a party: enumeration, each set once, and a memory of the empty house.

A combination is worth naming only when every member is needed: without it the rest would have too few seats or
would fall apart. Two things follow, and both make the search small. A set that seats the party is never extended,
because every larger one has a member to spare (a connected set grown from it has a leaf outside it). And a table
that could seat the party alone is never part of a combination, which is also why ``min_party`` matters for single
tables only: it cannot be got round by adding a table that nobody needs.

Sets grow one table at a time, level by level, so a search that is cut short has looked at the simpler ones. Each
state carries the tables that may still join; a table that has been tried is taken out for all later siblings, so
no set is reached twice.

What seats a party in the empty house depends on the rules only, not on the evening. It is worked out once for each
set of rules and kept in order of preference; a search is then a walk along that list past the busy tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import attrs

from assign_floor.layout import Layout, Rules, bits, position, reachable

CATALOGUE_LIMIT: Final = 10_000
"""How many sets are looked at, once per rules, to list what the empty house offers: some 30 ms at worst."""

_RULES_KEPT: Final = 128
_CANDIDATES_KEPT: Final = 4096


@attrs.frozen
class Shapes:
    """Sets of tables that seat a party, best first: least waste, then fewest tables, then by ids.

    ``visited`` counts the sets looked at; ``complete`` is false when the budget ended before all had been.
    """

    masks: tuple[int, ...]
    visited: int
    complete: bool


def enumerate_shapes(layout: Layout, rules: Rules, available: int, budget: int) -> Shapes:
    """Every set within ``available`` that seats the party under the rules, looking at ``budget`` sets at most."""
    available &= layout.zone(rules.zone)
    party = rules.party
    joined = layout.joined[rules.require_adjacency]
    found: list[tuple[int, int, int, int]] = []
    visited = 0
    complete = True
    for mask, seats in _sets(layout, rules, available):
        if visited == budget:
            complete = False
            break
        visited += 1
        if seats >= party and _suits(layout, joined, mask, seats, party):
            found.append((seats - party, mask.bit_count(), -layout.order(mask), mask))
    found.sort()
    return Shapes(masks=tuple(mask for *_, mask in found), visited=visited, complete=complete)


def _sets(layout: Layout, rules: Rules, available: int) -> Iterator[tuple[int, int]]:
    """Sets worth looking at, with their seats: single tables that are large enough, then growing combinations."""
    large = available & layout.at_least(rules.party)
    for bit in bits(large):
        yield bit, layout.seats[position(bit)]
    yield from _combinations(layout, rules, available & layout.movable & ~large)


def _combinations(layout: Layout, rules: Rules, parts: int) -> Iterator[tuple[int, int]]:
    party, most = rules.party, rules.max_tables
    seats, joined = layout.seats, layout.joined[rules.require_adjacency]
    # One state: the set, its seats, the tables that may join it next, and the tables that may join it at all.
    level: list[tuple[int, int, int, int]] = []
    for bit in bits(parts):
        parts ^= bit
        level.append((bit, seats[position(bit)], joined[position(bit)] & parts, parts))
    for size in range(1, most):
        grown: list[tuple[int, int, int, int]] = []
        for mask, total, frontier, allowed in level:
            while frontier:
                largest = seats[position(allowed & -allowed)]
                if total + (most - size) * largest < party:
                    break
                bit = frontier & -frontier
                frontier ^= bit
                allowed ^= bit
                index = position(bit)
                together = total + seats[index]
                yield mask | bit, together
                if together < party and size + 1 < most:
                    grown.append((mask | bit, together, (frontier | joined[index]) & allowed, allowed))
        level = grown


def _suits(layout: Layout, joined: Sequence[int], mask: int, seats: int, party: int) -> bool:
    if mask.bit_count() == 1:
        return layout.tables[position(mask)].min_party <= party
    if seats - layout.seats[position(mask)] < party:  # even the smallest member's seats are needed
        return True
    return not any(
        seats - layout.seats[position(bit)] >= party and reachable(mask ^ bit, joined) == mask ^ bit
        for bit in bits(mask)
    )


class Catalogue:
    """What the empty house offers, worked out on first use and remembered. Safe to share between threads."""

    __slots__ = ("candidate", "limit", "shapes")

    def __init__(self, layout: Layout) -> None:
        self.limit = CATALOGUE_LIMIT
        self.shapes = lru_cache(maxsize=_RULES_KEPT)(
            lambda rules: enumerate_shapes(layout, rules, layout.everything, self.limit)
        )
        self.candidate = lru_cache(maxsize=_CANDIDATES_KEPT)(layout.candidate)
