"""``assign-core benchmark``: what sharing saves and what it costs, as a page to look at and the numbers behind it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from cattrs import ClassValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from assign_bench import QUICK_SEEDS, SEEDS, WORKLOADS, Interval, Summary, Workload, load, measure, save, workloads
from assign_bench.grid import Progress as Progressing
from assign_bench.policies import CONTENDERS
from assign_bench.results import Results, dumps, results, to_json
from assign_cli.app import Command
from assign_cli.errors import BadInput, Refusal
from assign_cli.terminal import printable, say_json, show

_SIDE_BY_SIDE = 2
"""Processes where the machine has as many; a laptop stays usable."""


_COLUMNS = (
    ("job calls", 9),
    ("saved", 6),
    ("all calls", 9),
    ("guests", 6),
    ("lost", 5),
    ("delay", 7),
    ("answer", 6),
    ("twice", 5),
)
"""Heads and widths; with the policy's name they fill 80 columns and no more."""
_LEGEND = (
    "Means per evening. Saved: of the baseline's job calls. All calls: inline and job, in multiples of the oracle's. "
    "Lost: bookings that the baseline seated and this policy did not, although seats stood free. Delay: from the "
    "request to the table, p95 of all seated, in seconds. Answer: a guest's wait for it, p95, in seconds. "
    "Twice: guests who had the same e-mail twice."
)


@click.command(cls=Command)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where index.html and results.json go.")
@click.option("--quick", is_flag=True, help=f"{QUICK_SEEDS} evenings of each service instead of {SEEDS}.")
@click.option("--seeds", type=click.IntRange(1), help="How many evenings of each service.")
@click.option(
    "--workload",
    "names",
    multiple=True,
    metavar="NAME|FILE",
    help=f"A service ({', '.join(WORKLOADS)}), or a workload saved as JSON; may be repeated. Default: all services.",
)
@click.option(
    "--save-workload",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write each evening as DIR/NAME-SEED.json: to look at, to change, and to run with --workload.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=min(_SIDE_BY_SIDE, os.cpu_count() or 1),
    show_default=True,
    help="How many evenings are simulated at once; the results do not depend on it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object.")
def benchmark(
    *,
    out: Path,
    quick: bool,
    seeds: int | None,
    names: tuple[str, ...],
    folder: Path | None,
    processes: int,
    as_json: bool,
) -> None:
    """Compare ten ways of retrying on the same simulated evenings, and write a page about it."""
    if quick and seeds is not None:
        raise BadInput(f"--quick means {QUICK_SEEDS} seeds and --seeds says {seeds}; pass one of them")
    page = _page()
    evenings = QUICK_SEEDS if quick else seeds or SEEDS
    tasks = [task for name in names or WORKLOADS for task in _evenings(name, evenings)]
    _distinct(tasks)
    _make(out, "--out")
    if folder is not None:
        _make(folder, "--save-workload")
        _save(folder, names or tuple(WORKLOADS), tasks)
    with _progress() as progress:
        step = progress.add_task("evenings", total=len(tasks))
        began = time.perf_counter()
        measured = measure(tasks, processes=processes, progress=lambda done, _of: progress.update(step, completed=done))
        found = results(measured, seconds=time.perf_counter() - began, processes=processes)
        drawing = progress.add_task("plots", total=len(found.workloads))
        html = page(found, lambda done, _of: progress.update(drawing, completed=done))
    _write(out / "results.json", dumps(found))
    _write(out / "index.html", html)
    if as_json:
        say_json(to_json(found))
        return
    show(
        Text(printable(found.ran())),
        *(_table(found, workload) for workload in found.workloads),
        Text(_LEGEND),
        Text(_reading(found)),
        Text(f"The page: {out / 'index.html'}"),
    )


def _page() -> Callable[[Results, Progressing | None], str]:
    """Before the evenings are simulated, so that a missing library does not cost minutes."""
    try:
        from assign_bench.page import page  # noqa: PLC0415 - what draws is an extra, and slow to load
    except ModuleNotFoundError as missing:
        raise BadInput(f"{missing.name} is not installed; install the extra: assign-core[bench]") from None
    return page


def _evenings(name: str, seeds: int) -> Iterable[Workload]:
    if name in WORKLOADS:
        return workloads([name], seeds)
    path = Path(name)
    if not path.exists():
        raise BadInput(f"there is no workload and no file {name!r}; the workloads are {', '.join(WORKLOADS)}")
    try:
        return [load(path)]
    except (OSError, ValueError, ClassValidationError) as error:
        raise BadInput(f"the workload {name!r} cannot be read: {error}; write one with --save-workload") from None


def _distinct(tasks: Sequence[Workload]) -> None:
    seen = Counter((task.name, task.seed) for task in tasks)
    for (name, seed), times in seen.items():
        if times > 1:
            raise BadInput(f"workload {name!r} of seed {seed} is given {times} times; pass each once")


def _make(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"the folder {str(folder)!r} cannot be made: {error.strerror or error}; pass another {option}"
        ) from None


def _save(folder: Path, names: Sequence[str], tasks: Sequence[Workload]) -> None:
    """Those made from a name; the others are files already, and their names may be no file's name."""
    for task in tasks:
        if task.name in WORKLOADS and task.name in names:
            path = folder / f"{task.name}-{task.seed}.json"
            try:
                save(task, path)
            except OSError as error:
                raise Refusal(f"{str(path)!r} could not be written: {error.strerror or error}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{str(path)!r} could not be written: {error.strerror or error}") from None


@contextmanager
def _progress() -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield progress


def _table(found: Results, workload: str) -> Table:
    table = Table(
        title=Text(printable(workload)),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    table.add_column("policy", no_wrap=True, width=max(map(len, CONTENDERS)))
    for head, width in _COLUMNS:
        table.add_column(head, justify="right", no_wrap=True, width=width)
    for each in found.of(workload):
        table.add_row(each.policy, *_row(each))
    return table


def _row(summary: Summary) -> tuple[str, ...]:
    figures = summary.figures
    return (
        f"{figures['job_calls'].value:.1f}",
        _percent(figures.get("job_calls_saved")),
        f"{figures['calls_of_oracle'].value:.2f}",
        f"{figures['guests'].value:.1f}",
        f"{figures['lost_at_cutoff'].value:.2f}",
        f"{figures['delay_p95'].value:.0f}",
        f"{figures['inline_p95'].value:.2f}",
        f"{figures['emails_duplicate'].value:.1f}",
    )


def _percent(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.value:.1%}"


def _reading(found: Results) -> str:
    missed: dict[tuple[str, str, str], list[str]] = {}
    for each in found.claims:
        if not each.met:
            missed.setdefault((each.what, each.target, each.policy), []).append(f"{each.workload} {each.measured}")
    met = sum(each.met for each in found.claims)
    lines = [f"{met} of {len(found.claims)} targets are met{'; the page says why the others are not' * bool(missed)}."]
    lines += [
        printable(f"- {what}, {policy}: {target}, but {', '.join(measured)}")
        for (what, target, policy), measured in missed.items()
    ]
    return "\n".join(lines)
