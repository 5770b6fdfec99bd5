"""The measured parts of the documentation: written from the results that are kept, so that no figure is typed by hand.

The results are what ``make bench-quick``, ``make bench-report``, ``make bench-micro``, ``make bench-postgres``, ``make
soak`` and ``make mutation`` leave in ``benchmarks/results``. Each says on which machine it was measured, and so
does the document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from assign_bench.markdown import as_markdown, in_brief, table
from assign_bench.results import loads

Json = Mapping[str, Any]
"""An object of a results file. Its values are looked at by name, and a name that is missing is an error of reading."""


_DAMAGE: Final = (ValueError, KeyError, TypeError, IndexError)
"""How a file shows that it is not what it should be."""


def results_folder(document_folder: Path) -> Path:
    """Where the results are, seen from a document beside ``benchmarks`` or in it."""
    beside = document_folder / "results"
    return beside if beside.is_dir() else document_folder / "benchmarks" / "results"


def _part(
    command: str,
    names: Sequence[str],
    write: Callable[..., Iterable[str]],
    read: Callable[[str], object] = json.loads,
) -> Callable[[Path], str]:
    """A part whose paragraphs are written from these files, and the command that makes them."""

    def unusable(what: str, error: Exception) -> ValueError:
        return ValueError(f"the results {what!r} cannot be read: {error!r}; run {command}")

    def kept(path: Path) -> object:
        try:
            return read(path.read_text(encoding="utf-8"))
        except (OSError, *_DAMAGE) as error:
            raise unusable(path.name, error) from None

    def written(folder: Path) -> str:
        found = [kept(results_folder(folder) / name) for name in names]
        try:
            return "\n\n".join(write(*found))
        except _DAMAGE as error:
            raise unusable(" or ".join(names), error) from None

    return written


def _costs(micro: Json, postgres: Json) -> Iterator[str]:
    server = postgres["server"]
    yield f"{_machine(micro['machine'])}, {_versions(micro['versions'])}; medians. {_load(micro['machine'])}"
    yield table(("", "assign-core", "target", "others, in multiples of ours"), map(_comparison, micro["comparisons"]))
    yield "0.5x means that the other takes half of our time, 2x that it takes twice as long: below 1 it is faster."
    yield (
        "Whole attempts with the real planner, each confirming a booking, on PostgreSQL "
        f"{server['server_version'].split()[0]}, fsync {server['fsync']}; on the same machine. "
        f"{_load(postgres['machines']['attempts'])}"
    )
    yield table(_RATES_HEAD, map(_rate, postgres["rates"]))
    yield "\n".join(f"- {line}" for line in _on_postgres(postgres))


def _costs_in_brief(micro: Json, found: Json) -> Iterator[str]:
    decision = next(each for each in micro["comparisons"] if each["question"] == "decision")
    trips = {each["kind"]: each["beside_planner"] for each in found["round_trips"]}
    inline = [each for each in found["rates"] if each["kind"] == "inline"]
    each_rate = ", ".join(
        f"{each['per_second']:.0f} a second with {each['workers']} worker{'s' if each['workers'] > 1 else ''}"
        for each in (inline[0], inline[-1])
    )
    lines = (
        f"A decision takes {decision['contestants']['assign-core']['median_us']:.1f} µs.",
        f"Database round trips beside your planner: {trips['inline']:g} an inline attempt, {trips['job']:g} a job's.",
        f"Whole inline attempts on PostgreSQL, with the planner that is included: {each_rate}.",
    )
    measured_on = found["machines"]["attempts"]
    yield f"On PostgreSQL it was measured on {_machine(measured_on)}. {_load(measured_on)}"
    yield "\n".join(f"- {line}" for line in lines)


def _load(machine: Json) -> str:
    """How busy the machine was; figures of a busy one are worse than those of an idle one."""
    load, cores = machine["load"], machine["cores"]
    idle = "the machine was nearly idle" if load <= cores / 4 else "the machine was not idle"
    return f"Its load average was {load:g} on {cores} cores then: {idle}."


def _comparison(each: Json) -> tuple[str, ...]:
    contestants = dict(each["contestants"])
    ours = contestants.pop("assign-core")
    target = each["target_us"]
    return (
        str(each["question"]),
        f"{ours['median_us']:.1f} µs",
        "" if target is None else f"{target:g} µs, {'met' if each['target_met'] else 'missed'}",
        ", ".join(f"{name} {other['ratio']:g}x" for name, other in contestants.items()),
    )


_RATES_HEAD: Final = ("attempts", "workers", "per second", "p50", "p95", "outside the planner")


def _rate(each: Json) -> tuple[str, ...]:
    return (
        str(each["kind"]),
        str(each["workers"]),
        f"{each['per_second']:.0f}",
        f"{each['p50_ms']:.1f} ms",
        f"{each['p95_ms']:.1f} ms",
        f"{100 * each['outside_planner']:.0f} %",
    )


def _on_postgres(found: Json) -> Iterator[str]:
    trips = {each["kind"]: each["beside_planner"] for each in found["round_trips"]}
    yield f"Round trips beside the planner: {trips['inline']:g} an inline attempt, {trips['job']:g} a job's."
    wal = found["wal"]
    yield f"A recorded result writes {wal['record_bytes']:.0f} bytes of WAL, a lease {wal['acquire_bytes']:.0f}."
    bloat = found["bloat"]
    first, last = bloat["stages"][0], bloat["stages"][-1]
    hot = [100 * each["hot"] for each in bloat["stages"]]
    yield (
        f"{bloat['results']:,} results on {bloat['bookings']:,} bookings: {first['per_second']:.0f} a second with "
        f"{first['workers']} worker, {last['per_second']:.0f} with {last['workers']}; of the updates {min(hot):.0f} % "
        f"to {max(hot):.0f} % are HOT, by stage; the table grows from {bloat['empty_mib']:g} to "
        f"{bloat['filled_mib']:g} MiB. {_load(found['machines']['results'])}"
    )
    for each in found["growth"]:
        yield (
            f"Among {each['rows']:,} bookings: read and lease {each['load_p50_ms']:g} ms (p95 "
            f"{each['load_p95_ms']:g}), record {each['record_p50_ms']:g} ms (p95 {each['record_p95_ms']:g})."
        )
    migration = found["migration"]
    rewrites = "rewrites the table" if migration["rewritten"] else "rewrites nothing"
    yield (
        f"Adding the columns to {migration['rows']:,} bookings takes {migration['columns_ms']:g} ms and {rewrites}; "
        f"all of the host's migrations take {migration['all_files_ms']:g} ms."
    )


def _proof(explored: Json, mutation: Json) -> Iterator[str]:
    modules = mutation["modules"]
    bounds = f"every schedule with up to {explored['preemptions']} preemptions and {explored['faults']} fault"
    rows = [
        (name.replace("a free house", "an empty restaurant"), f"{each['schedules']:,}")
        for name, each in explored["exhaustive"].items()
    ]
    yield table((bounds, "schedules"), rows)
    yield (
        f"By chance, {explored['random']:,} schedules, {explored['random_with_two_faults_or_more']:,} of them with two "
        f"faults or more, seeds from {explored['seed']}. Promises broken: {explored['violations']}."
    )
    killed, endless, survived = (
        sum(each[end] for each in modules.values()) for end in ("killed", "timed_out", "survived")
    )
    mutants = killed + endless + survived
    yield (
        f"Mutation testing: of {mutants:,} mutants in {_scope(list(modules), mutation['not_run'])}, the tests kill "
        f"{100 * (killed + endless) / mutants:.1f} % ({endless} of them by never ending). The {survived} that survive "
        "are listed, each with its reason, in [`tests/mutation/survivors.toml`](tests/mutation/survivors.toml)."
    )


def _scope(run: Sequence[str], left_out: Sequence[str]) -> str:
    """Which modules the score is of; a score of a part says so."""
    if not left_out:
        return f"all {len(run)} modules of the engine"
    others = ", ".join(f"`{name}`" for name in left_out)
    return f"{len(run)} of the engine's {len(run) + len(left_out)} modules (the others, {others}, were not run)"


def _machine(machine: Json) -> str:
    return f"{machine['processor']}, {machine['cores']} cores, CPython {machine['python']}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _benchmark(command: str, names: Sequence[str], write: Callable[..., str]) -> Callable[[Path], str]:
    return _part(command, names, lambda *found: (write(*found),), loads)


QUICK: Final = "quick.json"
REPORT: Final = "report.json"
MEASURED: Final[Mapping[str, Callable[[Path], str]]] = {
    "benchmark": _benchmark("make bench-quick and make bench-report", (QUICK, REPORT), in_brief),
    "benchmark-in-full": _benchmark("make bench-report", (REPORT,), as_markdown),
    "costs": _part("make bench-micro and make bench-postgres", ("micro.json", "postgres.json"), _costs),
    "costs-in-brief": _part(
        "make bench-micro and make bench-postgres", ("micro.json", "postgres.json"), _costs_in_brief
    ),
    "proof": _part("make soak and make mutation", ("explored.json", "mutation.json"), _proof),
}
"""Each part by its name; it is given the folder that the document is in."""
