"""All of it, or a part, told as tables and kept as JSON.

A million results take most of an hour, and rates need an idle machine, so each part can be measured by itself: the
others stay as they were kept, each with the machine and its load when it was begun.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import psycopg
from benchmarks.machine import RESULTS, machine
from benchmarks.postgres.attempts import KINDS, attempting
from benchmarks.postgres.migration import migration
from benchmarks.postgres.results import bloat, growth, wal
from benchmarks.postgres.server import book, database, furnish, server
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

WORKERS: Final = (1, 2, 4, 8)
SIZES: Final = (10_000, 100_000, 1_000_000)
_SETTINGS: Final = ("fsync", "synchronous_commit", "shared_buffers", "autovacuum")


def measure(where: str, options: argparse.Namespace, progress: Progress) -> dict[str, object]:
    """Each part that is wanted, on a server. The keys are those of the JSON, which says where each was measured."""
    found: dict[str, object] = {"server": _about(where)}
    for part in options.only:
        found |= PARTS[part](where, options, progress)
    return found


def _attempts(where: str, options: argparse.Namespace, progress: Progress) -> dict[str, object]:
    step = progress.add_task("Attempts", total=len(options.workers) * len(KINDS) + 1)
    with database(where) as dsn, attempting(dsn, max(options.workers)) as attempts:
        furnish(dsn)
        rates = []
        for many in options.workers:
            for kind in KINDS:
                rates.append(asdict(attempts.rate(kind, many, options.seconds)))
                progress.advance(step)
        trips = [asdict(attempts.round_trips(kind, 20)) for kind in KINDS]
        progress.advance(step)
    with database(where) as dsn:
        furnish(dsn)
        book(dsn, 1, 500)
        written = wal(dsn, 500)
    return {"rates": rates, "round_trips": trips, "wal": asdict(written)}


def _results(where: str, options: argparse.Namespace, progress: Progress) -> dict[str, object]:
    workers = tuple(options.workers)
    step = progress.add_task(f"{options.results:,} results", total=options.results)
    with database(where) as dsn, ProcessPoolExecutor(max(workers), mp_context=get_context("spawn")) as pool:
        furnish(dsn)
        bookings = min(options.bookings, options.results)
        recorded = bloat(dsn, pool, workers, options.results, bookings, lambda more: progress.advance(step, more))
    return {"bloat": asdict(recorded)}


def _growth(where: str, options: argparse.Namespace, progress: Progress) -> dict[str, object]:
    sizes = (*(size for size in SIZES if size < options.rows), options.rows)
    step = progress.add_task(f"Tables up to {sizes[-1]:,} rows", total=2)
    with database(where) as dsn:
        furnish(dsn)
        grown = [asdict(each) for each in growth(dsn, sizes, options.measured)]
        progress.advance(step)
    with database(where, groups=()) as dsn:
        migrated = migration(dsn, sizes[-1])
        progress.advance(step)
    return {"growth": grown, "migration": asdict(migrated)}


PARTS: Final[Mapping[str, Callable[[str, argparse.Namespace, Progress], dict[str, object]]]] = {
    "attempts": _attempts,
    "results": _results,
    "growth": _growth,
}


def _about(where: str) -> dict[str, str]:
    """The server's version and what its durability and memory are set to."""
    with psycopg.connect(where) as connection:
        names = ["server_version", *_SETTINGS]
        rows = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [names]).fetchall()
        return dict(sorted(rows))


def show(found: Mapping[str, Any]) -> None:
    """For people."""
    console = Console()
    columns = {
        "rates": ("kind", "workers", "attempts", "confirmed", "per_second", "p50_ms", "p95_ms", "outside_planner"),
        "round_trips": ("kind", "attempts", "beside_planner", "planner"),
        "growth": ("rows", "measured", "load_p50_ms", "load_p95_ms", "record_p50_ms", "record_p95_ms", "table_mib"),
    }
    titles = {"rates": "Attempts", "round_trips": "Round trips of an attempt", "growth": "As bookings grow"}
    for key, names in columns.items():
        _print(console, titles[key], names, found[key])
    recorded, written, migrated = found["bloat"], found["wal"], found["migration"]
    names = ("workers", "results", "per_second", "p50_ms", "p95_ms", "wal_bytes", "hot", "table_mib", "dead")
    _print(console, f"{recorded['results']:,} results on {recorded['bookings']:,} bookings", names, recorded["stages"])
    console.print(
        f"The table: {recorded['empty_mib']} MiB before, {recorded['filled_mib']} MiB after, "
        f"{recorded['after_vacuum_mib']} MiB after a vacuum.\n"
        f"WAL of a lease taken: {written['acquire_bytes']} bytes; of a result recorded: "
        f"{written['record_bytes']} bytes.\n"
        f"The columns on {migrated['rows']:,} rows ({migrated['table_mib']} MiB): {migrated['columns_ms']} ms, "
        f"{'rewritten' if migrated['rewritten'] else 'nothing rewritten'}; "
        f"all of the host's migrations {migrated['all_files_ms']} ms."
    )


def _print(console: Console, title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(*(name.replace("_", " ") for name in names), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """The script."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description=__doc__)
    parser.add_argument("--dsn", default=os.environ.get("ASSIGN_CORE_DSN"), help="a server where databases may be made")
    parser.add_argument("--volatile", action="store_true", help="start the server without fsync")
    parser.add_argument("--out", type=Path, default=RESULTS / "postgres.json", help="default: %(default)s")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, metavar="N", help="default: 1 2 4 8")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each rate; default: %(default)s")
    parser.add_argument("--results", type=int, default=40_000, help="to record; default: %(default)s")
    parser.add_argument("--bookings", type=int, default=10_000, help="to record them on; default: %(default)s")
    parser.add_argument("--rows", type=int, default=SIZES[-1], help="of the largest table; default: %(default)s")
    parser.add_argument("--measured", type=int, default=1_000, help="loads at each size; default: %(default)s")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS), help="what to measure anew")
    options = parser.parse_args(arguments)
    too_small = [name for name in ("results", "bookings", "rows", "measured") if getattr(options, name) < 40]
    if too_small or min(options.workers) < 1 or options.results < len(options.workers):
        parser.error(f"{', '.join(too_small) or 'workers'}: too few to measure; pass at least 40, and 1 worker")
    kept: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    missing = [part for part in PARTS if part not in {*options.only, *kept.get("machines", ())}]
    if missing:
        parser.error(f"{options.out} keeps no figures of {', '.join(missing)}; leave --only out, to measure everything")
    machines = kept.get("machines", {}) | dict.fromkeys(options.only, machine())
    with server(options.dsn, volatile=options.volatile) as where, Progress(console=Console(stderr=True)) as progress:
        found = kept | {"machines": machines} | measure(where, options, progress)
    show(found)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
