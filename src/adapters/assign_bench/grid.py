"""Many runs: workloads by policies, on several processes, with the same results whatever the order.

One task is one workload under every policy, since a policy means something against another only. A task is a function
of its arguments alone, so it does not matter which process does it or when.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final

from attrs import frozen

from assign_bench.policies import BASELINE, CONTENDERS, ORACLE, contender
from assign_bench.result import Ended, Figures, Versus, versus
from assign_bench.run import run
from assign_bench.services import WORKLOADS, workload
from assign_bench.workload import Workload
from assign_core.policy import Policy

Progress = Callable[[int, int], object]
"""Called with how many tasks are done, and of how many."""
SEEDS: Final = 30
QUICK_SEEDS: Final = 5
"""Well under a minute on two cores."""


@frozen(kw_only=True)
class Measured:
    """One workload under one policy, and how that compares with the baseline and with the oracle."""

    workload: str
    seed: int
    policy: str
    figures: Figures
    against_baseline: Versus
    against_oracle: Versus


def workloads(names: Iterable[str] = WORKLOADS, seeds: int = SEEDS) -> Iterator[Workload]:
    """Each named workload for the seeds from 0 on."""
    for name in names:
        for seed in range(seeds):
            yield workload(name, seed)


def measure(
    given: Iterable[Workload],
    policies: Sequence[str] = tuple(CONTENDERS),
    *,
    settings: Policy | None = None,
    processes: int = 2,
    progress: Progress | None = None,
) -> tuple[Measured, ...]:
    """Every workload under every policy, in the order given.

    The baseline and the oracle are always run, because the others are measured against them.

    Args:
        settings: the engine's policy; ``None``: its defaults.
        processes: 1 runs in this process. More are *spawned*, so the caller's main module must be importable.

    Raises:
        ValueError: no such policy, or no processes.
    """
    for name in policies:
        contender(name)
    if processes < 1:
        raise ValueError(f"processes is {processes}; pass at least 1")
    tasks = list(given)
    settings = Policy() if settings is None else settings
    names = tuple(policies)
    done: dict[int, tuple[Measured, ...]] = {}
    if processes == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            done[number] = measure_one(task, names, settings)
            _tell(progress, len(done), len(tasks))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=context) as pool:
            numbers = {pool.submit(measure_one, task, names, settings): number for number, task in enumerate(tasks)}
            for future in as_completed(numbers):
                done[numbers[future]] = future.result()
                _tell(progress, len(done), len(tasks))
    return tuple(measured for number in range(len(tasks)) for measured in done[number])


def measure_one(task: Workload, policies: tuple[str, ...], settings: Policy) -> tuple[Measured, ...]:
    """One workload under these policies."""
    ended: dict[str, Ended] = {
        name: run(task, contender(name), settings) for name in dict.fromkeys((BASELINE, ORACLE, *policies))
    }
    return tuple(
        Measured(
            workload=task.name,
            seed=task.seed,
            policy=name,
            figures=ended[name].figures,
            against_baseline=versus(ended[name], ended[BASELINE]),
            against_oracle=versus(ended[name], ended[ORACLE]),
        )
        for name in policies
    )


def _tell(progress: Progress | None, done: int, of: int) -> None:
    if progress is not None:
        progress(done, of)
