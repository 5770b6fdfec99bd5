"""The page stands alone: everything that it refers to is in it, whatever a workload is called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

pytest.importorskip("matplotlib", reason="the page is drawn with an extra")

from assign_bench import Measured
from assign_bench.claims import OURS
from assign_bench.page import page
from assign_bench.results import Results, dumps, results

EVIL: Final = ('evil"><script>alert(1)</script>', "back\\slash \\g<0> {{ 7 * 7 }} & <b>", "claims")
_URL: Final = re.compile(r"url\(\s*['\"]?([^)'\"]*)")


class Read(HTMLParser):
    """The ids of a page, what refers to something, its elements, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.references: list[tuple[str, str]] = []
        self.elements: Counter[str] = Counter()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            elif name in ("href", "src", "xlink:href"):
                self.references.append((tag, value or ""))
            else:
                self.references += [(tag, each) for each in _URL.findall(value or "")]

    def handle_data(self, data: str) -> None:
        self.text += data


def found(measured: tuple[Measured, ...], *names: str) -> Results:
    return results([evolve(each, workload=name) for name in names for each in measured], seconds=1.0, processes=1)


@pytest.fixture(scope="module")
def evil(measured: tuple[Measured, ...]) -> Read:
    return Read(page(found(measured, *EVIL)))


def test_every_reference_is_to_the_one_element_of_that_id(evil: Read) -> None:
    assert [name for name, times in evil.ids.items() if times > 1] == []
    assert {target for _, target in evil.references} <= {f"#{name}" for name in evil.ids}


def test_the_points_of_the_frontier_are_there(evil: Read) -> None:
    """A plot's markers are defined once and used; ten policies have a point in two plots and one in the legend."""
    used = [target for tag, target in evil.references if tag == "use" and target.startswith("#frontier-1-")]
    assert len(used) >= 27


def test_a_workloads_name_is_text_and_nothing_else(evil: Read) -> None:
    assert evil.elements["script"] == 0
    for name in EVIL:
        assert name in evil.text
    for name in evil.ids:
        assert re.fullmatch(r"[A-Za-z][\w.-]*", name)


def test_it_is_the_same_in_every_process(measured: tuple[Measured, ...], tmp_path: Path) -> None:
    """Ties among the rules are in no order of their own."""
    shown = found(measured, "busy")
    ties = dict.fromkeys("abcdefgh", 2)
    shown = evolve(
        shown,
        summaries=tuple(
            evolve(each, saved_by_rule=ties) if each.policy.startswith(OURS) else each for each in shown.summaries
        ),
    )
    path = tmp_path / "results.json"
    path.write_text(dumps(shown))
    script = (
        "import sys, pathlib; from assign_bench.page import page; from assign_bench.results import loads;"
        "sys.stdout.buffer.write(page(loads(pathlib.Path(sys.argv[1]).read_text())).encode())"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(drawn) == 1


def test_what_a_reader_judges_by_is_on_it(measured: tuple[Measured, ...]) -> None:
    text = Read(page(found(measured, "busy_cancel"))).text
    for head in (
        "per booking",
        "% of baseline",
        "% saved of the avoidable",
        "times the oracle's",
        "planner time, % of baseline",
        "guests who walked in",
        "fewer than in the baseline's run",
        "fewer than in the oracle's run",
        "seats free at the last moment",
        "seats free in the end",
        "against the oracle",
        "suppressed",
        "staff told",
        "p95, worst evening",
    ):
        assert head in text
    assert "% of the avoidable" in text
    assert "the job's alone " in text
    assert "What was missed, and why" in text
    assert "What can be avoided at all is the baseline's calls less the oracle's." in " ".join(text.split())
    assert "1 evening of busy_cancel, seed 1" in text


def test_the_fit_is_stated_with_its_figures(measured: tuple[Measured, ...]) -> None:
    text = " ".join(Read(page(found(measured, "quiet"))).text.split())
    assert "6.0 s and 12.5 s for an attempt that succeeds, 42 s and 218 s for one that ends in hold conflicts" in text
    assert "applied to every search that finds nothing" in text
    assert "0.3 s and 0.5 s, is thinly based" in text
