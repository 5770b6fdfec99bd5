"""What a benchmark found, as one value and one JSON file: everything a report shows comes from here.

The file holds what was measured and where. All but ``machine`` is a function of the seeds and the code, so two machines
write the same; floats are rounded, since the last digits of a sum are not worth a difference.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from cattrs import ClassValidationError

from assign_bench.claims import Claim, claims
from assign_bench.files import CONVERTER
from assign_bench.grid import Measured
from assign_bench.policies import CONTENDERS
from assign_bench.services import WORKLOADS
from assign_bench.summary import Summary, summarise

FORMAT: Final = "assign-core benchmark 2"
_DIGITS: Final = 4
_LIBRARIES: Final = ("assign-core", "attrs", "cattrs")


@frozen(kw_only=True)
class Machine:
    """Where it ran, and how fast.

    Attributes:
        cores: that the operating system shows.
        processes: that shared the work.
        seconds: from the first run to the last.
        bookings_per_second: simulated, each under each policy, per second of real time.
    """

    processor: str
    cores: int
    system: str
    python: str
    libraries: Mapping[str, str]
    processes: int
    seconds: float
    bookings_per_second: int


@frozen(kw_only=True)
class Results:
    """A benchmark, whole.

    Attributes:
        policies, workloads: what each name means.
        seeds: of each workload's evenings, in order.
        summaries: each policy on each workload.
        claims: the engine's targets.
    """

    policies: Mapping[str, str]
    workloads: Mapping[str, str]
    seeds: Mapping[str, tuple[int, ...]]
    summaries: tuple[Summary, ...]
    claims: tuple[Claim, ...]
    machine: Machine

    def of(self, workload: str) -> tuple[Summary, ...]:
        """The policies on one workload."""
        return tuple(each for each in self.summaries if each.workload == workload)

    def evenings(self, workload: str) -> str:
        """How many evenings of a workload were run, and which: ``30 evenings, seeds 0 to 29``."""
        seeds = self.seeds[workload]
        return f"{_count(len(seeds), 'evening')}, {'seeds' if len(seeds) > 1 else 'seed'} {_ranges(seeds)}"

    def ran(self) -> str:
        """What was run, in words; one phrase where every workload had the same seeds."""
        if len(set(self.seeds.values())) == 1:
            first = next(iter(self.seeds))
            evenings, _, which = self.evenings(first).partition(",")
            each = f" of each of {len(self.seeds)} services" if len(self.seeds) > 1 else f" of {first}"
            return f"{evenings}{each},{which}"
        return "; ".join(f"{workload}: {self.evenings(workload)}" for workload in self.seeds)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _ranges(numbers: Iterable[int]) -> str:
    """``0 to 4, 7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def results(measured: Sequence[Measured], *, seconds: float, processes: int) -> Results:
    """What was measured, summed up.

    Raises:
        ValueError: as :func:`~assign_bench.summary.summarise`.
    """
    # Rounded before anything is said of them, so that what is shown from a file is what was shown at first.
    summaries = CONVERTER.structure(_rounded(CONVERTER.unstructure(summarise(measured))), tuple[Summary, ...])
    seeds: dict[str, dict[int, None]] = {}
    for each in measured:
        seeds.setdefault(each.workload, {})[each.seed] = None
    bookings = sum(each.figures.bookings for each in measured)
    return Results(
        policies={name: CONTENDERS[name].what for name in dict.fromkeys(each.policy for each in measured)},
        workloads={name: WORKLOADS.get(name, "A workload from a file.") for name in seeds},
        seeds={name: tuple(sorted(each)) for name, each in seeds.items()},
        summaries=summaries,
        claims=claims(summaries),
        machine=_machine(seconds, bookings / seconds if seconds > 0 else 0.0, processes),
    )


def _machine(seconds: float, bookings_per_second: float, processes: int) -> Machine:
    return Machine(
        processor=_processor(),
        cores=multiprocessing.cpu_count(),
        system=f"{platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: version(name) for name in _LIBRARIES},
        processes=processes,
        seconds=round(seconds, 1),
        bookings_per_second=round(bookings_per_second),
    )


def _processor() -> str:
    """The model where Linux names it; else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def to_json(found: Results) -> dict[str, Any]:
    """As JSON's own types."""
    return {"format": FORMAT} | dict(_rounded(CONVERTER.unstructure(found)))


def dumps(found: Results) -> str:
    """A file's text: one line for each policy on each workload, so that a difference between two files can be read."""
    value = to_json(found)
    rows = value.pop("summaries")
    head = json.dumps(value, indent=1)
    return head.removesuffix("\n}") + ',\n "summaries": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n ]\n}\n"


def loads(text: str) -> Results:
    """The results that :func:`dumps` wrote.

    Raises:
        ValueError: no JSON, or no results of this format.
    """
    value = json.loads(text)
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise ValueError(f"the format is {found!r}, not {FORMAT!r}; run the benchmark again with this version")
    try:
        return CONVERTER.structure({key: each for key, each in value.items() if key != "format"}, Results)
    except ClassValidationError as error:
        raise ValueError(f"no results of format {FORMAT!r}: {error.exceptions[0]}") from None


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, _DIGITS)
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value
