"""An evening of a restaurant, twice: with sharing what attempts find, and without.

Nothing is staged. The bookings come from a seed, the planner searches a real floor, the flows are the ones that a host
runs, and a real PostgreSQL server keeps what they write; only the clock is virtual, so that an evening takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from assign_cli.app import Command
from assign_cli.demo_backend import Backend, backend
from assign_cli.errors import BadInput
from assign_cli.terminal import say_json, show
from assign_core import Policy
from assign_core.explain import span_in_words
from assign_core.last_result import Source
from assign_floor import sample_floor
from assign_sim import Comparison, Ended, Evening, Service, choose, evening, story

_LONGEST = 5_000
"""Bookings of one evening; more do not make a better one, and the search for who sits where grows with its square."""


@click.command(cls=Command)
@click.option("--bookings", type=click.IntRange(1, _LONGEST), default=100, show_default=True, help="How many ask.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Which evening.")
@click.option("--memory", is_flag=True, help="Keep the bookings in memory, not on a PostgreSQL server.")
@click.option(
    "--dsn",
    envvar="ASSIGN_CORE_DSN",
    metavar="DSN",
    help="The server, such as postgresql://user@host:5432/database; the demonstration uses schemas of its own there, "
    "and drops them. Default: ASSIGN_CORE_DSN, else a server that is started for it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.pass_context
def demo(context: click.Context, bookings: int, seed: int, memory: bool, dsn: str | None, as_json: bool) -> None:
    """An evening's service, with and without shared results: planner calls, seats, e-mails.

    It is spent on a real PostgreSQL server, without any set-up.
    """
    if memory and context.get_parameter_source("dsn") is click.core.ParameterSource.COMMANDLINE:
        raise BadInput("--memory uses no server and --dsn names one; pass one of them")
    workload, floor = evening(seed, bookings), sample_floor()
    with _progress() as progress, _opened(progress, dsn or None, memory) as place:
        shared, unshared = (
            _run(Service(workload, floor, sharing, Policy(), opens=place.opens), progress) for sharing in (True, False)
        )
    comparison = Comparison(shared=shared, unshared=unshared)
    explained = {guest.booking_id: story(workload, shared, guest) for guest in choose(workload, shared)}
    if as_json:
        say_json({"backend": place.name, **_figures(workload, comparison), "explained": explained})
        return
    show(
        Text(
            f"A house of {len(floor.tables)} tables and {sum(table.seats for table in floor.tables)} seats is asked by "
            f"{bookings} {_bookings(bookings)} between {workload.begins:%H:%M} and the evening. "
            "A search takes 6 s (median) when it succeeds and 42 s when it does not; a guest waits 1.8 s at most, "
            "and the search goes on behind. Time is virtual. "
            + (
                "Bookings, holds and e-mails are kept in memory."
                if memory
                else f"Every statement is real: bookings, holds, e-mails and events are kept by {place.name}."
            )
        ),
        _table(workload, comparison),
        reading(comparison),
    )
    for booking_id, lines in explained.items():
        show(Text(f"\n{booking_id}"), *_told(lines))


def _progress() -> Progress:
    """On standard error, and only where a person looks at it."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[clock]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def _opened(progress: Progress, dsn: str | None, memory: bool) -> Iterator[Backend]:
    task = progress.add_task("The house opens", total=None, clock="")
    with backend(dsn, memory=memory) as place:
        progress.remove_task(task)
        yield place


def _run(service: Service, progress: Progress) -> Ended:
    guests, description = service.workload.guests, "with sharing" if service.sharing else "without"
    night = (max(guest.start_at for guest in guests) - service.workload.begins).total_seconds()
    task = progress.add_task(f"The evening {description:<12}", total=night, clock="")

    def watch(seconds: float) -> None:
        clock = service.workload.begins + timedelta(seconds=seconds)
        progress.update(task, completed=min(seconds, night), clock=f"{clock:%H:%M}")

    ended = service.run(watch)
    progress.update(task, completed=night)
    return ended


def _table(workload: Evening, comparison: Comparison) -> Table:
    table = Table(title=f"Evening {workload.seed}", title_justify="left")
    table.add_column("")
    table.add_column("with sharing", justify="right")
    table.add_column("without", justify="right")
    one, other = comparison.shared, comparison.unshared
    rows: list[tuple[str, object, object]] = [
        ("bookings", len(workload.guests), len(workload.guests)),
        ("confirmed", len(one.seated), len(other.seated)),
        ("guests seated", one.guests_seated, other.guests_seated),
        ("planner calls, inline", one.planner_calls[Source.INLINE], other.planner_calls[Source.INLINE]),
        ("planner calls, job", one.planner_calls[Source.JOB], other.planner_calls[Source.JOB]),
        ("planner time", _hours(one.planner_seconds), _hours(other.planner_seconds)),
        ("guest's wait, p95", f"{one.inline_percentile(95):.2f} s", f"{other.inline_percentile(95):.2f} s"),
        ("time to a table, p95", _minutes(one.delay_percentile(95)), _minutes(other.delay_percentile(95))),
        ("seatings lost", len(comparison.lost), "-"),
        ("double bookings", one.double_booked, other.double_booked),
        ("e-mails to guests", one.emails_handed_over, other.emails_handed_over),
        ("  since cancelled or changed", one.emails_outlived, other.emails_outlived),
        ("e-mails suppressed", one.emails_suppressed, other.emails_suppressed),
        ("e-mails twice", one.emails_duplicate, other.emails_duplicate),
        ("staff told", one.staff_notices, other.staff_notices),
    ]
    for name, with_sharing, without in rows:
        table.add_row(name, str(with_sharing), str(without))
    return table


def reading(comparison: Comparison) -> Text:
    """What the figures say, and what they must not be taken for."""
    one, other, lost = comparison.shared, comparison.unshared, len(comparison.lost)
    told = [
        f"The job calls the planner {comparison.job_calls_saved:.0%} less."
        if other.planner_calls[Source.JOB]
        else "No job had to search."
    ]
    if lost:
        told.append(
            f"{lost} bookings that were seated without sharing went without a table that stood empty: a defect."
        )
    else:
        told.append("No booking that was seated without sharing went without a table that stood empty.")
    only_with, only_without = len(one.seated - other.seated), len(other.seated - one.seated)
    if only_with or only_without:
        told.append(
            f"Not the same guests sit: {only_with} {_bookings(only_with)} only with sharing, {only_without} only "
            "without, since a table that becomes free goes to whoever searches next."
        )
    if comparison.fewer_guests and not lost:
        told.append(
            f"With sharing {comparison.fewer_guests} guest{'s' * (comparison.fewer_guests != 1)} fewer sit in all: "
            "their tables went to other parties."
        )
    return Text(" ".join(told))


def _bookings(count: int) -> str:
    return "booking" if count == 1 else "bookings"


def _told(lines: Sequence[str]) -> tuple[Table, Text]:
    """The hours, what happened beside them, and the end."""
    happenings = Table.grid(padding=(0, 2))
    for line in lines[:-1]:
        hour, _, happened = line.partition("  ")
        happenings.add_row("", hour, happened)
    return happenings, Text(f"  {lines[-1]}")


def _minutes(seconds: float) -> str:
    return span_in_words(timedelta(seconds=seconds))


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _figures(workload: Evening, comparison: Comparison) -> Mapping[str, object]:
    return {
        "seed": workload.seed,
        "bookings": len(workload.guests),
        "with_sharing": _ended(comparison.shared),
        "without_sharing": _ended(comparison.unshared),
        "job_calls_saved": round(comparison.job_calls_saved, 4),
        "seatings_lost": len(comparison.lost),
        "seated_only_with_sharing": len(comparison.shared.seated - comparison.unshared.seated),
        "seated_only_without": len(comparison.unshared.seated - comparison.shared.seated),
        "fewer_guests": comparison.fewer_guests,
    }


def _ended(ended: Ended) -> Mapping[str, object]:
    return {
        "confirmed": len(ended.seated),
        "guests_seated": ended.guests_seated,
        "planner_calls_inline": ended.planner_calls[Source.INLINE],
        "planner_calls_job": ended.planner_calls[Source.JOB],
        "planner_seconds": round(ended.planner_seconds, 3),
        "capacity_looks": ended.capacity_looks,
        "inline_p50_seconds": ended.inline_percentile(50),
        "inline_p95_seconds": ended.inline_percentile(95),
        "time_to_table_p50_seconds": ended.delay_percentile(50),
        "time_to_table_p95_seconds": ended.delay_percentile(95),
        "emails_handed_over": ended.emails_handed_over,
        "emails_since_cancelled_or_changed": ended.emails_outlived,
        "emails_suppressed": ended.emails_suppressed,
        "emails_duplicate": ended.emails_duplicate,
        "emails_unknown": ended.emails_unknown,
        "staff_notices": ended.staff_notices,
        "double_booked": ended.double_booked,
    }
