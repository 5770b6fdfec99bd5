"""How many planner calls sharing saves, and what it costs: workloads, rivals, an oracle, and what is measured.

A :class:`~assign_bench.workload.Workload` is a value, made by :func:`~assign_bench.services.workload` from a name and a
seed, and can be saved to a file. :func:`~assign_bench.run.run` runs it under one policy,
:func:`~assign_bench.grid.measure` runs many under all, and :func:`~assign_bench.summary.summarise` says what they say
together, with intervals.

>>> evening = workload("quiet", seed=1)
>>> ended = run(evening, CONTENDERS["ours"])
>>> ended.figures.bookings
22
"""

from __future__ import annotations

from assign_bench.files import CONVERTER, from_json, load, save, to_json
from assign_bench.grid import QUICK_SEEDS, SEEDS, Measured, measure, workloads
from assign_bench.policies import BASELINE, CONTENDERS, ORACLE, Contender, contender
from assign_bench.result import SERIES_STEP, SHAPE, Ended, Figures, Spread, Versus, versus
from assign_bench.run import Run, run
from assign_bench.services import WORKLOADS, workload
from assign_bench.stats import Interval, bootstrap
from assign_bench.summary import FIGURES, WORST, Summary, summarise
from assign_bench.workload import Workload

__all__ = [
    "BASELINE",
    "CONTENDERS",
    "CONVERTER",
    "FIGURES",
    "ORACLE",
    "QUICK_SEEDS",
    "SEEDS",
    "SERIES_STEP",
    "SHAPE",
    "WORKLOADS",
    "WORST",
    "Contender",
    "Ended",
    "Figures",
    "Interval",
    "Measured",
    "Run",
    "Spread",
    "Summary",
    "Versus",
    "Workload",
    "bootstrap",
    "contender",
    "from_json",
    "load",
    "measure",
    "run",
    "save",
    "summarise",
    "to_json",
    "versus",
    "workload",
    "workloads",
]
