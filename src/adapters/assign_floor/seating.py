"""Which tables a party could have now, best first, or the one reason why there are none.

The answer is exact: when nothing is returned, nothing fits, unless the evaluation limit is named as the reason. A
search that found something before the limit says so too, by ``complete``.

The reason is read off the *empty* house, by lifting one obstacle after the other until the party fits. It therefore
does not flicker with the evening's bookings, and it tells what would have to change:

1. not even all tables together are enough: only another party would fit;
2. the party would fit if tables were free: a cancellation helps;
3. it would fit but for the plans that were excluded;
4. it would fit but for the zone lock: lifting the lock helps, freed tables do not;
5. it would fit with more tables: a larger ``max_tables`` helps;
6. nothing on this floor suits such a party (it is too small for every table's ``min_party``, say).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs

from assign_floor.floor import Floor
from assign_floor.layout import Rules
from assign_floor.shapes import Shapes, enumerate_shapes
from assign_floor.tables import Candidate

EVALUATION_LIMIT: Final = "Evaluation limit reached"
PARTY_TOO_LARGE: Final = "Insufficient global capacity"
TOO_MANY_TABLES: Final = "Unable to satisfy max tables"
ALL_BUSY: Final = "No tables available for requested window"
ZONE_TOO_SMALL: Final = "Insufficient filtered capacity"
NOTHING_SUITS: Final = "No suitable tables available"

REASONS: Final = (EVALUATION_LIMIT, PARTY_TOO_LARGE, TOO_MANY_TABLES, ALL_BUSY, ZONE_TOO_SMALL, NOTHING_SUITS)
"""Every text that ``Search.reason`` can hold."""

_NONE_REFUSED: Final[frozenset[int]] = frozenset()


@attrs.frozen(kw_only=True)
class Search:
    """The outcome of a search.

    ``candidates`` are best first: least waste, then fewest tables, then by ids. ``reason`` is one of ``REASONS``
    when there are none, else ``None``. ``evaluated`` counts the sets of tables looked at. ``complete`` is false
    when the evaluation limit cut the search short, so that something better may have been missed.
    """

    candidates: tuple[Candidate, ...]
    reason: str | None
    evaluated: int
    complete: bool = True


def search(
    floor: Floor,
    *,
    party: int,
    busy: Collection[str],
    require_adjacency: bool = True,
    max_tables: int = 3,
    excluded: Collection[frozenset[str] | tuple[str, ...]] = (),
    zone: str | None = None,
    limit: int = 20,
    max_evaluations: int = 10_000,
) -> Search:
    """The best ``limit`` tables or combinations for ``party`` guests that avoid every ``busy`` table.

    ``excluded`` are plans not to be proposed again, each the ids of its tables in any order; a plan that merely
    shares a table with one of them is still proposed. ``zone`` locks the search to one zone. Ids that are not on
    the floor are ignored in ``busy`` and ``excluded``, as bookings may outlive a table; an unknown ``zone`` has no
    tables.

    Raises:
        ValueError: ``party``, ``max_tables``, ``limit`` or ``max_evaluations`` is less than 1.
        TypeError: ``busy`` or one of ``excluded`` is a string instead of a collection of ids.
    """
    _check_positive("party", party)
    _check_positive("max_tables", max_tables)
    _check_positive("limit", limit)
    _check_positive("max_evaluations", max_evaluations)
    _check_ids("busy", busy)
    layout = floor.layout
    if party > layout.most_seats[require_adjacency]:
        return Search(candidates=(), reason=PARTY_TOO_LARGE, evaluated=0)
    rules = Rules(party, min(max_tables, len(layout.tables)), require_adjacency, zone)
    taken = layout.mask(busy)
    refused = _plans(floor, excluded)
    offered: Shapes = floor.catalogue.shapes(rules)
    if offered.complete and len(offered.masks) <= max_evaluations:
        masks, evaluated = _first_free(offered.masks, taken, refused, limit)
        complete = True
    else:
        free = enumerate_shapes(layout, rules, layout.everything & ~taken, max_evaluations)
        masks = [mask for mask in free.masks if mask not in refused][:limit]
        evaluated, complete = free.visited, free.complete
    if masks:
        found = tuple(floor.catalogue.candidate(mask, party) for mask in masks)
        return Search(candidates=found, reason=None, evaluated=evaluated, complete=complete)
    if not complete:
        return Search(candidates=(), reason=EVALUATION_LIMIT, evaluated=evaluated, complete=False)
    reason, more = _why_nothing(floor, rules, refused, max_evaluations - evaluated)
    return Search(candidates=(), reason=reason, evaluated=evaluated + more, complete=reason != EVALUATION_LIMIT)


def _first_free(masks: tuple[int, ...], taken: int, refused: frozenset[int], limit: int) -> tuple[list[int], int]:
    hits: list[int] = []
    looked_at = 0
    for mask in masks:
        looked_at += 1
        if not mask & taken and mask not in refused:
            hits.append(mask)
            if len(hits) == limit:
                break
    return hits, looked_at


def _why_nothing(floor: Floor, rules: Rules, refused: frozenset[int], budget: int) -> tuple[str, int]:
    """The first obstacle whose lifting would seat the party in the empty house, and the evaluations it took."""
    ladder = [(rules, refused, ALL_BUSY)]
    if refused:
        ladder.append((rules, _NONE_REFUSED, NOTHING_SUITS))
    if rules.zone is not None:
        ladder.append((rules._replace(zone=None), _NONE_REFUSED, ZONE_TOO_SMALL))
    spent = 0
    for question, still_refused, answer in ladder:
        possible, visited = _possible(floor, question, still_refused, budget - spent)
        spent += visited
        if possible is None:
            return EVALUATION_LIMIT, spent
        if possible:
            return answer, spent
    if floor.layout.could_combine(rules.party, rules.require_adjacency):
        return TOO_MANY_TABLES, spent
    return NOTHING_SUITS, spent


def _possible(floor: Floor, rules: Rules, refused: frozenset[int], budget: int) -> tuple[bool | None, int]:
    """Whether the empty house can seat the party, or ``None`` when the budget does not suffice to tell."""
    offered: Shapes = floor.catalogue.shapes(rules)
    visited = 0
    if not offered.complete and budget > floor.catalogue.limit and refused.issuperset(offered.masks):
        offered = enumerate_shapes(floor.layout, rules, floor.layout.everything, budget)
        visited = offered.visited
    if not refused.issuperset(offered.masks):
        return True, visited
    return (False if offered.complete else None), visited


def _plans(floor: Floor, excluded: Collection[frozenset[str] | tuple[str, ...]]) -> frozenset[int]:
    if not excluded:
        return _NONE_REFUSED
    masks = set()
    for plan in excluded:
        _check_ids("excluded", plan)
        if floor.layout.bit_of.keys() >= set(plan):
            masks.add(floor.layout.mask(plan))
    return frozenset(masks)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1.")


def _check_ids(name: str, ids: object) -> None:
    if isinstance(ids, str):
        raise TypeError(f"{name} holds the string {ids!r} where a collection of table ids belongs; wrap it in a tuple.")
