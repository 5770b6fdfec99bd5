"""``python -m assign_testing.explorer``: explore from a shell, on several processors, with a progress bar.

Exit code 0: every promise held in every schedule that was told. 1: one was broken, and the shortest schedule is
printed. 2: unusable arguments, or not all could be told within the budget.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Final

from assign_testing.explorer.exploring import BY_CHANCE, OutOfBudget, Progress, PromiseBroken, Report, explore
from assign_testing.explorer.scenario import EXHAUSTIVE

AT_ONCE: Final = 500
"""Random schedules that a process is given at once."""
Task = tuple[int | None, int, int]
"""One exhaustive scenario by its number; or else how many by chance, from which seed on."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = _options(arguments)
    tasks = _tasks(options.random, options.seed, exhaustive=not options.no_exhaustive)
    bounds = options.preemptions, options.faults
    report, ends = Report(), None if options.budget is None else monotonic() + options.budget
    try:
        with _bars(options.random, exhaustive=not options.no_exhaustive) as progress:
            for part in _told(tasks, bounds, options.processes, ends, progress):
                report.add(part)
                for name, counts in part.exhaustive.items():
                    progress(name, counts.schedules)
                progress(BY_CHANCE, report.by_chance.schedules)
    except PromiseBroken as broken:
        _say(str(broken))
        return 1
    except OutOfBudget as ended:
        report.add(ended.report)
        _say(*report.lines(), "The budget is used up: not all schedules were told, and no promise was broken so far.")
        return 2
    _say(*report.lines(), "No promise was broken.")
    if options.out is not None:
        options.out.write_text(json.dumps(_figures(report, options), indent=1) + "\n", encoding="utf-8")
    return 0


def _figures(report: Report, options: argparse.Namespace) -> dict[str, object]:
    return {
        "preemptions": options.preemptions,
        "faults": options.faults,
        "exhaustive": {
            each.name: {
                "schedules": report.exhaustive[each.name].schedules,
                "pruned": report.exhaustive[each.name].pruned,
            }
            for each in EXHAUSTIVE
            if each.name in report.exhaustive
        },
        "random": report.by_chance.schedules,
        "random_with_two_faults_or_more": report.by_chance.with_faults(2),
        "seed": options.seed,
        "violations": 0,
    }


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m assign_testing.explorer",
        description="Tell many schedules of the flows; hold every promise to each.",
    )
    parser.add_argument("--preemptions", type=_whole, default=2, help="bound of the exhaustive part (2)")
    parser.add_argument("--faults", type=_whole, default=1, help="bound of the exhaustive part (1)")
    parser.add_argument("--no-exhaustive", action="store_true", help="by chance only")
    parser.add_argument("--random", type=_whole, default=10_000, help="schedules by chance (10000)")
    parser.add_argument("--seed", type=_whole, default=0, help="of the first one (0)")
    parser.add_argument("--budget", type=float, help="seconds; default: as long as it takes")
    parser.add_argument("--out", type=Path, help="a file for the counts, as JSON, if no promise is broken")
    parser.add_argument("--processes", type=_whole, default=1, help="at work at once (1)")
    return parser.parse_args(arguments)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count; pass a whole number of 0 or more")
    return int(text)


def _tasks(random: int, seed: int, *, exhaustive: bool) -> Iterator[Task]:
    # The longest first, so that no processor is left with it at the end.
    yield from ((number, 0, 0) for number in reversed(range(len(EXHAUSTIVE))) if exhaustive)
    yield from ((None, min(AT_ONCE, random - start), seed + start) for start in range(0, random, AT_ONCE))


def _told(
    tasks: Iterator[Task], bounds: tuple[int, int], processes: int, ends: float | None, progress: Progress
) -> Iterator[Report]:
    if processes < 2:
        for task in tasks:
            # Only what is told exhaustively is long enough to be watched.
            yield tell(task, bounds, _left(ends), None if task[0] is None else progress)
        return
    with ProcessPoolExecutor(processes) as pool:
        waiting: set[Future[Report]] = set()
        try:
            while True:
                # Few ahead, so that a broken promise is told at once and the budget is that of the whole.
                for task in islice(tasks, processes + 1 - len(waiting)):
                    waiting.add(pool.submit(tell, task, bounds, _left(ends)))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _left(ends: float | None) -> float | None:
    return None if ends is None else max(0.0, ends - monotonic())


def tell(task: Task, bounds: tuple[int, int], budget: float | None, progress: Progress | None = None) -> Report:
    """One task."""
    number, random, seed = task
    scenarios = [] if number is None else [EXHAUSTIVE[number]]
    return explore(
        scenarios,
        preemptions=bounds[0],
        faults=bounds[1],
        random=random,
        seed=seed,
        budget=budget,
        progress=progress,
    )


@contextmanager
def _bars(random: int, *, exhaustive: bool) -> Iterator[Progress]:
    """A progress bar for each scenario and for chance, where there is a terminal and rich is installed.

    How many schedules a scenario has is known when all are told; until then its bar pulses.
    """
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield lambda _name, _told: None
        return
    # Late, because rich is not among the needs of this package.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        names = [each.name for each in EXHAUSTIVE] if exhaustive else []
        bars = {name: progress.add_task(name, total=None) for name in names}
        bars[BY_CHANCE] = progress.add_task(BY_CHANCE, total=random)
        yield lambda name, told: progress.update(bars[name], completed=told)


def _say(*lines: str) -> None:
    print(*lines, sep="\n")  # noqa: T201 - the report is what the command is for


if __name__ == "__main__":
    sys.exit(main())
