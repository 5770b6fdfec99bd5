"""The search against a slow reference that looks at every subset, and each reason with its near misses."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import chain, combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_floor import REASONS, Candidate, Floor, Table, sample_floor, search

Plan = tuple[str, ...]


# --- The reference: plain sets, every subset, the rules as a host would say them. ---


def _touching_in_one_piece(tables: Iterable[Table], pairs: frozenset[frozenset[str]]) -> bool:
    groups = [{table.id} for table in tables]
    for pair in pairs:
        joined = [group for group in groups if group & pair]
        if len(joined) == 2 and pair <= joined[0] | joined[1]:
            groups = [group for group in groups if not group & pair] + [joined[0] | joined[1]]
    return len(groups) == 1


def _stands(tables: tuple[Table, ...], pairs: frozenset[frozenset[str]] | None) -> bool:
    """Whether these tables may be used as one, for whichever party."""
    if len({table.zone for table in tables}) != 1:
        return False
    if len(tables) == 1:
        return True
    return all(table.movable for table in tables) and (pairs is None or _touching_in_one_piece(tables, pairs))


def _subsets(tables: Iterable[Table], most: int) -> Iterable[tuple[Table, ...]]:
    listed = sorted(tables, key=lambda table: table.id)
    return chain.from_iterable(combinations(listed, size) for size in range(1, most + 1))


def _seats(tables: Iterable[Table]) -> int:
    return sum(table.seats for table in tables)


def _is_candidate(tables: tuple[Table, ...], party: int, pairs: frozenset[frozenset[str]] | None) -> bool:
    if not _stands(tables, pairs) or _seats(tables) < party:
        return False
    if len(tables) == 1:
        return tables[0].min_party <= party
    return not any(_seats(part) >= party and _stands(part, pairs) for part in _subsets(tables, len(tables) - 1))


class Reference:
    def __init__(self, floor: Floor, party: int, max_tables: int, require_adjacency: bool) -> None:
        self.tables = floor.tables
        self.party = party
        self.max_tables = min(max_tables, len(floor.tables))
        self.pairs = frozenset(map(frozenset, floor.adjacent)) if require_adjacency else None

    def plans(
        self,
        *,
        busy: Iterable[str] = (),
        excluded: Iterable[Iterable[str]] = (),
        zone: str | None = None,
        max_tables: int | None = None,
    ) -> list[tuple[int, int, Plan]]:
        """(waste, number of tables, ids), best first."""
        taken, refused = set(busy), {frozenset(plan) for plan in excluded}
        free = [table for table in self.tables if table.id not in taken and zone in (None, table.zone)]
        found = [
            (_seats(subset) - self.party, len(subset), tuple(table.id for table in subset))
            for subset in _subsets(free, max_tables or self.max_tables)
            if _is_candidate(subset, self.party, self.pairs)
        ]
        return sorted(plan for plan in found if frozenset(plan[2]) not in refused)

    def reason(self, excluded: Iterable[Plan], zone: str | None) -> str:
        every = len(self.tables)
        largest = max((_seats(s) for s in _subsets(self.tables, every) if _stands(s, self.pairs)), default=0)
        if self.party > largest:
            return "Insufficient global capacity"
        if not self.plans():
            with_more = self.plans(max_tables=every)
            return "Unable to satisfy max tables" if with_more else "No suitable tables available"
        if self.plans(excluded=excluded, zone=zone):
            return "No tables available for requested window"
        return "No suitable tables available" if self.plans(zone=zone) else "Insufficient filtered capacity"


@st.composite
def tables(draw: st.DrawFn, table_id: str, *, plain: bool) -> Table:
    seats = draw(st.integers(1, 6))
    if plain:
        return Table(id=table_id, seats=seats, zone="a")
    return Table(
        id=table_id,
        seats=seats,
        min_party=draw(st.integers(1, seats)),
        zone=draw(st.sampled_from(["a", "a", "b"])),
        movable=draw(st.sampled_from([True, True, True, False])),
    )


@st.composite
def floors(draw: st.DrawFn) -> Floor:
    # Ids whose sorted order is neither that of their numbers nor that of their seats.
    ids = draw(st.permutations(["1", "10", "2", "x", "X", "b1", "a9"]))
    # Every second floor is one room of movable tables, or combinations of three and more would hardly ever occur.
    plain = draw(st.booleans())
    if not plain:
        ids = ids[: draw(st.integers(0, 7))]
    pairs = list(combinations(ids, 2))
    return Floor(
        tables=[draw(tables(table_id, plain=plain)) for table_id in ids],
        adjacent=draw(st.lists(st.sampled_from(pairs), unique=True, min_size=len(ids) - 1)) if pairs else [],
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[Floor, Reference, dict[str, object], dict[str, object]]:
    """A floor, its reference, and the question: what the rules are and what is in the way."""
    floor = draw(floors())
    party = draw(st.integers(1, 18))
    max_tables = draw(st.integers(1, 5))
    require_adjacency = draw(st.booleans())
    reference = Reference(floor, party, max_tables, require_adjacency)
    plans = [plan for _, _, plan in reference.plans()]
    ids = [table.id for table in floor.tables]
    excluded = draw(st.lists(st.sampled_from(plans), unique=True)) if plans else []
    obstacles: dict[str, object] = {
        "busy": draw(st.sets(st.sampled_from(ids))) if ids else set(),
        "excluded": [frozenset(plan) for plan in excluded],
        "zone": draw(st.sampled_from([None, None, "a", "b", "nowhere"])),
    }
    rules: dict[str, object] = {"party": party, "max_tables": max_tables, "require_adjacency": require_adjacency}
    return floor, reference, rules, obstacles


def _as_plan(candidate: Candidate) -> tuple[int, int, Plan]:
    return candidate.waste, len(candidate.tables), candidate.tables


@given(questions(), st.integers(1, 8))
def test_the_search_finds_what_the_reference_finds_in_the_same_order(
    question: tuple[Floor, Reference, dict[str, object], dict[str, object]], limit: int
) -> None:
    floor, reference, rules, obstacles = question
    expected = reference.plans(**obstacles)  # type: ignore[arg-type]  # drawn keywords
    everything = search(floor, **rules, **obstacles, limit=10_000)  # type: ignore[arg-type]  # drawn keywords
    assert [_as_plan(candidate) for candidate in everything.candidates] == expected
    assert everything.complete
    best = search(floor, **rules, **obstacles, limit=limit)  # type: ignore[arg-type]  # drawn keywords
    assert best.candidates == everything.candidates[:limit]
    by_id = {table.id: table for table in floor.tables}
    for candidate in everything.candidates:
        assert candidate.seats == _seats(by_id[table_id] for table_id in candidate.tables)
        assert {by_id[table_id].zone for table_id in candidate.tables} == {candidate.zone}


@given(questions())
def test_the_reason_is_the_one_the_reference_gives(
    question: tuple[Floor, Reference, dict[str, object], dict[str, object]],
) -> None:
    floor, reference, rules, obstacles = question
    found = search(floor, **rules, **obstacles)  # type: ignore[arg-type]  # drawn keywords
    if found.candidates:
        assert found.reason is None
    else:
        assert found.reason == reference.reason(obstacles["excluded"], obstacles["zone"])  # type: ignore[arg-type]  # drawn keywords
        assert found.reason in REASONS


@given(questions(), st.integers(1, 60))
def test_a_cut_search_says_so_and_an_uncut_one_is_exact(
    question: tuple[Floor, Reference, dict[str, object], dict[str, object]], max_evaluations: int
) -> None:
    floor, reference, rules, obstacles = question
    expected = reference.plans(**obstacles)  # type: ignore[arg-type]  # drawn keywords
    found = search(floor, **rules, **obstacles, limit=10_000, max_evaluations=max_evaluations)  # type: ignore[arg-type]  # drawn keywords
    plans = [_as_plan(candidate) for candidate in found.candidates]
    assert found.evaluated <= max_evaluations
    assert plans == sorted(plans)
    if found.complete:
        assert plans == expected
        assert found.reason != "Evaluation limit reached"
    else:
        assert set(plans) <= set(expected)
        assert found.evaluated == max_evaluations
        assert found.reason == (None if plans else "Evaluation limit reached")


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floors too rich to be listed in advance are searched directly; make every floor such a one."""
    monkeypatch.setattr("assign_floor.shapes.CATALOGUE_LIMIT", 0)


@pytest.mark.usefixtures("without_memory")
def test_the_direct_search_agrees_too() -> None:
    @given(questions())
    def agrees(question: tuple[Floor, Reference, dict[str, object], dict[str, object]]) -> None:
        floor, reference, rules, obstacles = question
        expected = reference.plans(**obstacles)  # type: ignore[arg-type]  # drawn keywords
        found = search(floor, **rules, **obstacles, limit=10_000)  # type: ignore[arg-type]  # drawn keywords
        assert [_as_plan(candidate) for candidate in found.candidates] == expected
        if not expected:
            assert found.reason == reference.reason(obstacles["excluded"], obstacles["zone"])  # type: ignore[arg-type]  # drawn keywords

    agrees()


@given(st.randoms(use_true_random=False), st.integers(1, 40), st.booleans())
def test_the_order_in_which_things_are_given_does_not_matter(
    chance: random.Random, party: int, require_adjacency: bool
) -> None:
    given_order = sample_floor()
    tables, adjacent = list(given_order.tables), [(b, a) for a, b in given_order.adjacent]
    chance.shuffle(tables)
    chance.shuffle(adjacent)
    shuffled = Floor(tables=tables, adjacent=adjacent)
    busy = [table.id for table in tables if chance.random() < 0.5]
    excluded = [("M06", "M05"), ("M09",)]
    first = search(given_order, party=party, busy=set(busy), excluded=excluded, require_adjacency=require_adjacency)
    again = search(
        shuffled,
        party=party,
        busy=busy[::-1],
        excluded=[frozenset(plan) for plan in excluded],
        require_adjacency=require_adjacency,
    )
    assert first == again
    assert first == search(given_order, party=party, busy=busy, excluded=excluded, require_adjacency=require_adjacency)


# --- Examples: what the rules mean on a floor one can see. ---


def _row(*seats: int, zone: str = "main", movable: bool = True) -> Floor:
    """Tables a, b, c... in one row, each beside the next."""
    ids = [chr(ord("a") + index) for index in range(len(seats))]
    return Floor(
        tables=[Table(id=i, seats=s, zone=zone, movable=movable) for i, s in zip(ids, seats, strict=True)],
        adjacent=pairwise(ids),
    )


def _found(floor: Floor, party: int, **options: object) -> list[Plan]:
    return [
        candidate.tables
        for candidate in search(floor, party=party, **{"busy": (), **options}).candidates  # type: ignore[arg-type]  # drawn keywords
    ]


def test_the_least_waste_comes_first_then_the_fewest_tables_then_the_ids() -> None:
    floor = _row(3, 2, 2, 4, 5, 4)
    assert _found(floor, 4) == [("d",), ("f",), ("b", "c"), ("e",), ("a", "b")]


def test_a_table_between_two_others_is_needed_to_hold_them_together() -> None:
    floor = _row(4, 2, 4)
    assert _found(floor, 8) == [("a", "b", "c")]
    assert _found(floor, 8, require_adjacency=False) == [("a", "c")]


def test_no_member_can_be_spared() -> None:
    assert _found(_row(4, 4, 2), 8) == [("a", "b")]
    assert _found(_row(2, 4, 4), 8) == [("b", "c")]
    # d hangs on a, and without it a, b and c are enough to the seat.
    floor = Floor(
        tables=[Table(id=i, seats=s) for i, s in (("a", 6), ("b", 1), ("c", 5), ("d", 2))],
        adjacent=[("a", "b"), ("b", "c"), ("a", "d")],
    )
    assert _found(floor, 12, max_tables=4) == [("a", "b", "c")]
    assert _found(floor, 13, max_tables=4) == [("a", "b", "c", "d")]


def test_min_party_is_not_got_round_by_adding_a_table() -> None:
    floor = Floor(
        tables=[Table(id="big", seats=6, min_party=5), Table(id="small", seats=2)], adjacent=[("big", "small")]
    )
    assert _found(floor, 5) == [("big",)]
    assert _found(floor, 4) == []
    assert _found(floor, 7) == [("big", "small")]


def test_immovable_tables_serve_alone_only() -> None:
    floor = _row(4, 4, movable=False)
    assert _found(floor, 4) == [("a",), ("b",)]
    assert _found(floor, 5) == []


def test_zones_are_never_mixed() -> None:
    floor = Floor(tables=[Table(id="in", seats=4), Table(id="out", seats=4, zone="terrace")], adjacent=[("in", "out")])
    assert _found(floor, 8) == []
    assert _found(floor, 8, require_adjacency=False) == []
    assert _found(floor, 4, zone="terrace") == [("out",)]


def test_an_excluded_plan_is_that_plan_only() -> None:
    floor = _row(4, 4, 4)
    assert _found(floor, 8, excluded=[("b", "a")]) == [("b", "c")]
    assert _found(floor, 8, excluded=[frozenset({"b"})]) == [("a", "b"), ("b", "c")]
    assert _found(floor, 4, excluded=[("b",)]) == [("a",), ("c",)]


def test_ids_that_are_not_on_the_floor_change_nothing() -> None:
    floor = _row(4, 4)
    assert _found(floor, 4, busy={"gone"}) == [("a",), ("b",)]
    # A refused plan with a table that is gone is not the plan of the tables that are left.
    assert _found(floor, 4, excluded=[("a", "gone"), ("gone",)]) == [("a",), ("b",)]


# --- Reasons, each with its near miss. ---


def _reason(floor: Floor, party: int, **options: object) -> str | None:
    return search(floor, party=party, **{"busy": (), **options}).reason  # type: ignore[arg-type]  # drawn keywords


def test_a_party_larger_than_the_house_together() -> None:
    floor = _row(4, 4, 4, 4)
    assert _reason(floor, 17, max_tables=4) == "Insufficient global capacity"
    assert _reason(floor, 16, max_tables=4) is None
    assert search(floor, party=17, busy=()).evaluated == 0


def test_a_party_larger_than_the_house_under_the_adjacency_rule() -> None:
    apart = Floor(tables=[Table(id="a", seats=4), Table(id="b", seats=4)])
    assert _reason(apart, 8) == "Insufficient global capacity"
    assert _reason(apart, 8, require_adjacency=False) is None


def test_the_house_is_too_small_whatever_else_is_in_the_way() -> None:
    floor = _row(4, 4)
    assert _reason(floor, 9, busy={"a"}, zone="nowhere", excluded=[("a", "b")]) == "Insufficient global capacity"


def test_an_empty_floor_seats_nobody() -> None:
    assert _reason(Floor(tables=[]), 1) == "Insufficient global capacity"


def test_more_tables_than_allowed() -> None:
    floor = _row(4, 4, 4, 4)
    assert _reason(floor, 13, max_tables=3) == "Unable to satisfy max tables"
    assert _reason(floor, 12, max_tables=3) is None
    assert _reason(floor, 13, max_tables=3, busy={"a"}, zone="nowhere") == "Unable to satisfy max tables"
    assert _reason(floor, 5, max_tables=1) == "Unable to satisfy max tables"


def test_all_suitable_tables_are_busy() -> None:
    floor = _row(4, 2, 2)
    assert _reason(floor, 4, busy={"a", "b"}) == "No tables available for requested window"
    assert _reason(floor, 4, busy={"a"}) is None
    assert _reason(floor, 4, busy={"a", "b"}, excluded=[("b", "c")]) == "No tables available for requested window"


def test_only_the_zone_lock_is_in_the_way() -> None:
    floor = Floor(tables=[Table(id="in", seats=6), Table(id="out", seats=2, zone="terrace")])
    assert _reason(floor, 4, zone="terrace") == "Insufficient filtered capacity"
    assert _reason(floor, 4, zone="nowhere") == "Insufficient filtered capacity"
    assert _reason(floor, 2, zone="terrace") is None
    # The lock's own table is merely busy: a cancellation helps.
    assert _reason(floor, 2, zone="terrace", busy={"out"}) == "No tables available for requested window"
    # The lock rules the party out even in the empty house: no cancellation helps.
    assert _reason(floor, 4, zone="terrace", busy={"in"}) == "Insufficient filtered capacity"


def test_only_the_excluded_plans_are_in_the_way() -> None:
    floor = _row(4, 4)
    assert _reason(floor, 8, excluded=[("a", "b")]) == "No suitable tables available"
    assert _reason(floor, 4, excluded=[("a",)]) is None
    assert _reason(floor, 4, excluded=[("a",), ("b",)], zone="main") == "No suitable tables available"


def test_a_party_too_small_for_every_table() -> None:
    floor = Floor(tables=[Table(id="a", seats=6, min_party=4)])
    assert _reason(floor, 3) == "No suitable tables available"
    assert _reason(floor, 4) is None
    # Two small tables could, but only the large one stands between them.
    split = Floor(
        tables=[Table(id="a", seats=2), Table(id="b", seats=6, min_party=5), Table(id="c", seats=2)],
        adjacent=[("a", "b"), ("b", "c")],
    )
    assert _reason(split, 4) == "No suitable tables available"
    assert _reason(split, 4, require_adjacency=False) is None


def test_the_evaluation_limit_is_named_only_when_it_stopped_the_search() -> None:
    floor = _row(*[2] * 12)
    busy = {"b", "d", "f"}  # c and e stand alone, so three in a row begin with g
    enough = search(floor, party=6, busy=busy)
    assert enough.candidates[0].tables == ("g", "h", "i")
    cut = search(floor, party=6, busy=busy, max_evaluations=2)
    assert (cut.candidates, cut.reason, cut.evaluated, cut.complete) == ((), "Evaluation limit reached", 2, False)


def test_evaluated_counts_the_sets_looked_at() -> None:
    floor = _row(4, 4, 4)
    assert search(floor, party=4, busy={"a"}, limit=1).evaluated == 2
    full = search(floor, party=4, busy={"a", "b", "c"}, max_evaluations=3)
    assert (full.evaluated, full.complete) == (3, True)


@pytest.mark.parametrize(
    ("seats", "party", "max_tables", "evaluated"),
    [
        ([2, 2, 2, 2], 7, 3, 0),  # three twos are six
        ([4, 4, 1, 1, 1], 8, 2, 1),  # only the fours are worth a look
        ([4, 4, 4], 8, 3, 2),  # two are enough, a third is never added
        ([6, 5, 4, 3], 5, 1, 2),  # the small ones are not looked at when they must not be combined
        ([2, 2, 2, 2], 8, 4, 6),  # each piece of the row once
    ],
)
@pytest.mark.usefixtures("without_memory")
def test_hopeless_sets_are_not_looked_at(seats: list[int], party: int, max_tables: int, evaluated: int) -> None:
    assert search(_row(*seats), party=party, max_tables=max_tables, busy=()).evaluated == evaluated


def test_a_cut_search_that_found_something_admits_it() -> None:
    floor = _row(8, 7, 6, 5)
    cut = search(floor, party=5, busy=(), max_evaluations=2)
    assert [candidate.waste for candidate in cut.candidates] == [2, 3]
    assert cut.reason is None
    assert not cut.complete


@pytest.mark.usefixtures("without_memory")
def test_the_limit_is_also_named_when_only_the_cause_could_not_be_found() -> None:
    floor = _row(2, 2, 2, 2)
    busy = {"a", "b", "c"}
    clear = search(floor, party=8, max_tables=4, busy=busy, max_evaluations=6)
    assert (clear.reason, clear.evaluated) == ("No tables available for requested window", 6)
    assert clear.complete
    unclear = search(floor, party=8, max_tables=4, busy=busy, max_evaluations=5)
    assert (unclear.reason, unclear.evaluated) == ("Evaluation limit reached", 5)
    assert not unclear.complete


@pytest.mark.usefixtures("without_memory")
def test_finding_the_cause_shares_the_budget_of_the_search() -> None:
    terrace = [Table(id=f"t{index}", seats=2, zone="terrace") for index in range(2)]
    floor = Floor(tables=[*terrace, Table(id="in", seats=5)], adjacent=[("t0", "t1")])
    # The pair is looked at by the search, then in the empty house under the lock; without the lock the large table
    # comes first, and then the pair once more.
    for budget, reason, evaluated in [
        (1, "Evaluation limit reached", 1),
        (2, "Evaluation limit reached", 2),
        (3, "Insufficient filtered capacity", 3),
        (9, "Insufficient filtered capacity", 4),
    ]:
        found = search(floor, party=5, busy=(), zone="terrace", max_evaluations=budget)
        assert (found.reason, found.evaluated) == (reason, evaluated), budget


# --- Floors of a real size stay cheap, counted in sets rather than in seconds. ---


def _grid(columns: int, rows: int, zones: int) -> Floor:
    tables, adjacent = [], []
    for zone in range(zones):
        for column in range(columns):
            for row in range(rows):
                name = f"{zone}{column}{row}"
                tables.append(Table(id=name, seats=2 + 2 * ((column + row) % 3), zone=f"z{zone}"))
                if column:
                    adjacent.append((name, f"{zone}{column - 1}{row}"))
                if row:
                    adjacent.append((name, f"{zone}{column}{row - 1}"))
    return Floor(tables=tables, adjacent=adjacent)


@pytest.mark.parametrize("party", range(1, 19))
def test_sixty_tables_are_searched_exactly_within_the_default_limit(party: int) -> None:
    floor = _grid(5, 4, 3)
    assert len(floor.tables) == 60
    free = search(floor, party=party, busy=())
    assert free.complete
    assert free.evaluated <= 20
    full = search(floor, party=party, busy={table.id for table in floor.tables})
    assert full.complete
    assert full.evaluated < 700


def test_a_floor_too_rich_to_list_is_still_exact_on_the_tables_that_are_free() -> None:
    floor = _grid(9, 9, 1)
    busy = {table.id for table in floor.tables if not table.id.startswith("00")}
    rules: dict[str, object] = {"party": 20, "max_tables": 5, "require_adjacency": False}
    found = search(floor, busy=busy, **rules)  # type: ignore[arg-type]  # drawn keywords
    assert found.complete
    free = Floor(tables=[table for table in floor.tables if table.id not in busy])
    assert found.candidates == search(free, busy=(), **rules).candidates  # type: ignore[arg-type]  # drawn keywords
    assert not search(floor, busy=(), **rules).complete  # type: ignore[arg-type]  # drawn keywords


# --- Wrong questions. ---


@pytest.mark.parametrize("name", ["party", "max_tables", "limit", "max_evaluations"])
@pytest.mark.parametrize("value", [0, -3])
def test_numbers_below_one_are_named(name: str, value: int) -> None:
    options = {"party": 2, name: value}
    with pytest.raises(ValueError, match=rf"^{name} is {value}; it must be at least 1"):
        search(_row(2), busy=(), **options)  # type: ignore[arg-type]  # drawn keywords


def test_a_string_is_not_a_collection_of_ids() -> None:
    with pytest.raises(TypeError, match="busy holds the string 'a'"):
        search(_row(2), party=2, busy="a")
    with pytest.raises(TypeError, match="excluded holds the string 'ab'"):
        search(_row(2), party=2, busy=(), excluded=["ab"])  # type: ignore[list-item]  # a wrong type on purpose
