"""Workloads are values: the same seed is the same evening, and a file gives it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict, evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from assign_bench import WORKLOADS, from_json, load, save, to_json, workload, workloads
from assign_bench.workload import NO_SHOW_AFTER, Workload

names = st.sampled_from(list(WORKLOADS))
seeds = st.integers(0, 2**31)


@settings(max_examples=40, deadline=None)
@given(names, seeds)
def test_a_workload_is_a_function_of_its_name_and_seed(name: str, seed: int) -> None:
    assert workload(name, seed) == workload(name, seed)
    assert workload(name, seed).guests != workload(name, seed + 1).guests


@settings(max_examples=40, deadline=None)
@given(names, seeds)
def test_a_saved_workload_comes_back_whole(name: str, seed: int) -> None:
    made = workload(name, seed)
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


def test_a_file_is_the_workload(tmp_path: Path) -> None:
    made = workload("outage", 3)
    save(made, tmp_path / "evening.json")
    assert load(tmp_path / "evening.json") == made


@settings(max_examples=60, deadline=None)
@given(names, seeds)
def test_whatever_happens_to_a_booking_happens_in_its_lifetime(name: str, seed: int) -> None:
    made = workload(name, seed)
    for guest in made.guests:
        start = (guest.start_at - made.begins).total_seconds()
        assert 0 <= guest.books_at < start
        for moment in (guest.cancels_at, None if guest.change is None else guest.change.at):
            assert moment is None or guest.books_at < moment < start
        assert start + NO_SHOW_AFTER < made.ends
    for party in made.elsewhere:
        assert 0 <= party.at < (party.start_at - made.begins).total_seconds()
    assert {each.booking_id for each in made.by_hand} <= {guest.booking_id for guest in made.guests}
    for trouble in made.troubles:
        assert any(trouble.begins <= guest.books_at < trouble.ends for guest in made.guests), "nobody would meet it"


@pytest.mark.parametrize("name", ["busy", "sold_out"])
def test_a_host_that_cancels_has_the_same_evenings(name: str) -> None:
    cancels = workload(f"{name}_cancel", 5)
    assert cancels.on_deadline == "cancel"
    assert evolve(cancels, name=name, on_deadline="hand_over") == workload(name, 5)


def test_they_come_by_name_and_then_by_seed() -> None:
    assert [(each.name, each.seed) for each in workloads(("quiet", "busy"), 2)] == [
        ("quiet", 0),
        ("quiet", 1),
        ("busy", 0),
        ("busy", 1),
    ]


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no workload 'bussy'; pass one of quiet, busy"):
        workload("bussy", 1)


def test_an_id_twice_is_refused() -> None:
    made = workload("quiet", 1)
    with pytest.raises(ValueError, match="'quiet' of seed 1 has a booking id twice"):
        evolve(made, guests=(*made.guests, made.guests[0]))


@pytest.mark.parametrize("change", [{"format": "other 1"}, {"web_workers": 0}, {"unheard_of": 1}])
def test_what_is_no_workload_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"format|Workload"):
        from_json(to_json(workload("quiet", 1)) | change)


def test_every_attribute_is_saved() -> None:
    assert to_json(workload("busy", 1)).keys() - {"format"} == asdict(workload("busy", 1), recurse=False).keys()
    assert isinstance(workload("busy", 1), Workload)
