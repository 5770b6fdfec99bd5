"""All of it in one run: checked, timed in turns, told as ratios, and kept as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from benchmarks.machine import RESULTS, machine
from benchmarks.micro import deciders, machinery, readers
from benchmarks.micro.library import versions
from benchmarks.micro.table import NOON, POLICY, Case, cases
from benchmarks.micro.timing import Batch, Timing, in_turns, repeated
from rich.console import Console
from rich.progress import track
from rich.table import Table

from assign_core import LastResult, decide
from assign_wire import dumps, loads

OURS: Final = "assign-core"
TARGETS: Final = {"decision": 5.0, "reading an object": 8.0}
"""Microseconds, median, of ours."""
_MOST_CHECKED: Final = 500
"""Cases put to an engine that takes a millisecond for each."""


@dataclass(frozen=True)
class Comparison:
    """One question, answered by everybody."""

    question: str
    target_us: float | None
    timings: Mapping[str, Timing]

    def ratio(self, name: str) -> float:
        """How many times as long as ours, by the medians."""
        return round(self.timings[name].median_us / self.timings[OURS].median_us, 2)

    def as_json(self) -> dict[str, object]:
        ours = self.timings[OURS].median_us
        return {
            "question": self.question,
            "target_us": self.target_us,
            "target_met": None if self.target_us is None else ours <= self.target_us,
            "contestants": {
                name: {**asdict(timing), "ratio": self.ratio(name)} for name, timing in self.timings.items()
            },
        }


def decisions(every: Sequence[Case]) -> tuple[dict[str, Batch], dict[str, int]]:
    """Contestants, each asked the cases in turn; and on how many of them each gave our answer.

    Raises:
        AssertionError: one gave another.
    """
    engines = {"zen-engine": deciders.zen(), "cedarpy": deciders.cedar(), "casbin": deciders.casbin()}
    agreed = {"the table by hand": _agreed(deciders.plain(), every)}
    for name, engine in engines.items():
        agreed[name] = _agreed(engine, every[:: max(1, len(every) // _MOST_CHECKED)])
    asked = cycle((case.booking, case.last) for case in every)

    def ours() -> object:
        booking, last = next(asked)
        return decide(booking, last, policy=POLICY, now=NOON)

    def others(engine: deciders.Decider) -> Batch:
        facts = cycle([case.facts for case in every])
        return repeated(lambda: engine(next(facts)))

    return {OURS: repeated(ours), **{name: others(engine) for name, engine in engines.items()}}, agreed


def _agreed(engine: deciders.Decider, asked: Sequence[Case]) -> int:
    for case in asked:
        expected, found = case.ours(), engine(case.facts)
        assert found is expected, f"{found.value} instead of {expected.value}: {case.facts}"
    return len(asked)


def readings() -> tuple[dict[str, Batch], dict[str, Batch]]:
    """Contestants that read the typical blob: as an object, and from text."""
    blob, text = readers.TYPICAL, json.dumps(readers.TYPICAL)
    from_object: dict[str, Batch] = {}
    from_text: dict[str, Batch] = {}
    for name, made in {OURS: readers.ours(), "pydantic": readers.pydantic(), "msgspec": readers.msgspec()}.items():
        of_object, of_text = made
        readers.check(of_object, blob)
        readers.check(of_text, text)
        from_object[name] = repeated(lambda read=of_object: read(blob))  # type: ignore[misc]  # bound now, not later
        from_text[name] = repeated(lambda read=of_text: read(text))  # type: ignore[misc]  # as above
    return from_object, from_text


def compare(*, turns: int, seconds: float, every: Sequence[Case]) -> tuple[list[Comparison], dict[str, int]]:
    """Every question, and how many cases the engines agreed on."""
    of_decisions, agreed = decisions(every)
    of_objects, of_texts = readings()
    typical = loads(readers.TYPICAL)
    assert isinstance(typical, LastResult)
    questions: dict[str, dict[str, Batch]] = {
        "decision": of_decisions,
        "reading an object": of_objects,
        "reading a text": of_texts,
        "writing an object": {OURS: repeated(lambda: dumps(typical))},
        "around a call": {
            OURS: machinery.effects(),
            "tenacity": repeated(machinery.tenacity()),
            "stamina": repeated(machinery.stamina()),
        },
        "around an awaited call": {
            OURS: machinery.effects_async(),
            "tenacity": machinery.tenacity_async(),
            "stamina": machinery.stamina_async(),
        },
        "a whole attempt in memory": {OURS: machinery.attempts()},
    }
    found = []
    for question, contestants in track(questions.items(), "Measuring", console=Console(stderr=True)):
        timings = in_turns(contestants, turns=turns, seconds=seconds)
        found.append(Comparison(question, TARGETS.get(question), timings))
    return found, agreed


def as_json(found: Sequence[Comparison], agreed: Mapping[str, int]) -> dict[str, object]:
    """What is kept."""
    return {
        "machine": machine(),
        "versions": versions(),
        "cases_agreed": dict(agreed),
        "comparisons": [each.as_json() for each in found],
    }


def show(found: Sequence[Comparison]) -> None:
    """For people."""
    table = Table("", "", "median µs", "best µs", "times ours", "target µs")
    for each in found:
        for name, timing in each.timings.items():
            table.add_row(
                each.question if name == OURS else "",
                name,
                f"{timing.median_us:.2f}",
                f"{timing.best_us:.2f}",
                "" if name == OURS else f"{each.ratio(name):.1f}",
                "" if name != OURS or each.target_us is None else _target(each, timing),
            )
        table.add_section()
    Console().print(table)


def _target(each: Comparison, timing: Timing) -> str:
    met = each.target_us is not None and timing.median_us <= each.target_us
    return f"{each.target_us:.0f} {'met' if met else 'missed'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The script."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "micro.json", help="default: %(default)s")
    parser.add_argument("--turns", type=int, default=15, help="of each contestant; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.05, help="of each turn; default: %(default)s")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth case; default: %(default)s")
    options = parser.parse_args(arguments)
    found, agreed = compare(turns=options.turns, seconds=options.seconds, every=cases()[:: options.every])
    show(found)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(as_json(found, agreed), indent=2) + "\n")
