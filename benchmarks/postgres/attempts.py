"""Attempts per second: whole inline attempts and job attempts, each on a booking of its own, by processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import psycopg
from benchmarks.postgres.server import book
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from assign_core import AutoAssign, Policy, Verdict
from assign_core.ports import Planner, Quote, QuoteRequest
from assign_postgres import PostgresPorts, postgres_ports
from assign_runtime import ThreadRuntime

Kind = Literal["inline", "job"]
KINDS: Final[tuple[Kind, ...]] = ("inline", "job")
PATIENT: Final = Policy(inline_deadline=timedelta(seconds=30), grace=timedelta(seconds=30))
"""No attempt is cut short because the machine is busy."""
_WARM: Final = 10
_BLOCK: Final = 4_000
"""Bookings that are added at a time."""


@dataclass(frozen=True)
class Rate:
    """Attempts of one kind by so many workers.

    Attributes:
        outside_planner: share of the time, 0 to 1; the planner's own statements count as planner.
        ran_out: a worker had no booking left before its time was up.
    """

    kind: str
    workers: int
    attempts: int
    confirmed: int
    per_second: float
    p50_ms: float
    p95_ms: float
    outside_planner: float
    ran_out: bool


@dataclass(frozen=True)
class RoundTrips:
    """How often one attempt waits for the server; it is confirmed, and its connection has made attempts before."""

    kind: str
    attempts: int
    beside_planner: float
    planner: float


@dataclass(frozen=True)
class _Share:
    """What one worker did."""

    took: tuple[float, ...]
    confirmed: int
    planner_seconds: float
    elapsed: float
    ran_out: bool


class TimedPlanner:
    """A planner, and the seconds spent in it."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.seconds = 0.0

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        started = time.perf_counter()
        try:
            return self._planner.quote(request, timeout=timeout)
        finally:
            self.seconds += time.perf_counter() - started

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        started = time.perf_counter()
        try:
            self._planner.release(booking_id, attempt_id, timeout=timeout)
        finally:
            self.seconds += time.perf_counter() - started


@cache
def _app(dsn: str) -> tuple[AutoAssign, TimedPlanner]:
    """One for each process. Mail is left to relays, as where guests wait."""
    runtime = ThreadRuntime()
    # Telemetry's thread has the second connection.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), pool_size=2)
    ports = postgres_ports(engine, runtime)
    planner = TimedPlanner(ports["planner"])
    return _engine(ports, planner, runtime), planner


def _engine(ports: PostgresPorts, planner: Planner, runtime: ThreadRuntime) -> AutoAssign:
    return AutoAssign(
        store=ports["store"],
        planner=planner,
        mailer=ports["mailer"],
        telemetry=ports["telemetry"],
        runtime=runtime,
        policy=PATIENT,
        planner_keeps_time=True,
    )


def _work(dsn: str, kind: Kind, numbers: range, seconds: float) -> _Share:
    """Attempt one booking after the other until time is up. Runs in a worker."""
    app, planner = _app(dsn)
    call = app.inline if kind == "inline" else app.job
    planner.seconds = 0.0
    took: list[float] = []
    confirmed, ran_out = 0, True
    began = time.perf_counter()
    for number in numbers:
        started = time.perf_counter()
        if started - began >= seconds:
            ran_out = False
            break
        confirmed += call(f"b{number}").verdict is Verdict.CONFIRMED
        took.append(time.perf_counter() - started)
    return _Share(tuple(took), confirmed, planner.seconds, time.perf_counter() - began, ran_out)


class Attempts:
    """Workers on a furnished database. Use it as made by :func:`attempting`."""

    def __init__(self, dsn: str, pool: ProcessPoolExecutor) -> None:
        self._dsn = dsn
        self._pool = pool
        self._booked = 0
        self._warm: set[int] = set()

    def rate(self, kind: Kind, workers: int, seconds: float, block: int = _BLOCK) -> Rate:
        """Attempts by ``workers`` at a time, for so many seconds."""
        if workers not in self._warm:
            self._shares(kind, workers, 60.0, workers * _WARM)
            self._warm.add(workers)
        shares = self._shares(kind, workers, seconds, block)
        took = sorted(each for share in shares for each in share.took)
        if not took:
            raise RuntimeError(f"no attempt ended within {seconds} s; pass more --seconds")
        return Rate(
            kind=kind,
            workers=workers,
            attempts=len(took),
            confirmed=sum(share.confirmed for share in shares),
            per_second=round(sum(len(share.took) / share.elapsed for share in shares), 1),
            p50_ms=round(took[len(took) // 2] * 1000, 2),
            p95_ms=round(took[int(len(took) * 0.95)] * 1000, 2),
            outside_planner=round(1 - sum(share.planner_seconds for share in shares) / sum(took), 3),
            ran_out=any(share.ran_out for share in shares),
        )

    def _shares(self, kind: Kind, workers: int, seconds: float, block: int) -> list[_Share]:
        first, last = self._booked + 1, self._booked + block
        book(self._dsn, first, last)
        self._booked = last
        pending = [
            self._pool.submit(_work, self._dsn, kind, range(first + each, last + 1, workers), seconds)
            for each in range(workers)
        ]
        return [each.result() for each in pending]

    def round_trips(self, kind: Kind, attempts: int) -> RoundTrips:
        """Counted by the protocol's own trace, one attempt at a time."""
        first, last = self._booked + 1, self._booked + attempts + _WARM
        book(self._dsn, first, last)
        self._booked = last
        runtime = ThreadRuntime()
        with _traced(self._dsn) as (own, own_trips), _traced(self._dsn) as (planners, planner_trips):
            ports = postgres_ports(own, runtime)
            # Telemetry writes behind the attempt's back, on a connection that is not counted.
            aside = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(self._dsn))
            ports["telemetry"] = postgres_ports(aside, runtime)["telemetry"]
            app = _engine(ports, postgres_ports(planners, runtime)["planner"], runtime)
            call = app.inline if kind == "inline" else app.job
            before = (0, 0)
            for number in range(first, last + 1):
                if number == first + _WARM:
                    before = own_trips(), planner_trips()
                outcome = call(f"b{number}")
                if outcome.verdict is not Verdict.CONFIRMED:
                    raise RuntimeError(f"the house is too full to count round trips: {outcome.verdict.value}")
            found = own_trips() - before[0], planner_trips() - before[1]
            ports["telemetry"].close()
            aside.dispose()
        return RoundTrips(kind, attempts, round(found[0] / attempts, 2), round(found[1] / attempts, 2))

    def confirmed(self) -> int:
        """Bookings that the table says are confirmed."""
        with psycopg.connect(self._dsn) as connection:
            row = connection.execute("SELECT count(*) FROM bookings WHERE status = 'confirmed'").fetchone()
            return 0 if row is None else int(row[0])


@contextmanager
def _traced(dsn: str) -> Iterator[tuple[Engine, _Trips]]:
    """An engine with one connection, and a count of the times it has asked and waited."""
    with TemporaryDirectory() as folder, (Path(folder) / "trace").open("w+") as file:
        connection = psycopg.connect(dsn)
        connection.pgconn.trace(file.fileno())
        engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
        try:
            yield engine, _Trips(connection, Path(file.name))
        finally:
            engine.dispose()
            connection.close()


@dataclass(frozen=True)
class _Trips:
    """Of a traced connection, whose every message is a line: when, who sent it (F or B), what."""

    connection: psycopg.Connection
    trace: Path

    def __call__(self) -> int:
        senders = [line.split("\t")[1] for line in self.trace.read_text(errors="replace").splitlines() if "\t" in line]
        return sum(now == "B" and before == "F" for before, now in pairwise(senders))


@contextmanager
def attempting(dsn: str, workers: int) -> Iterator[Attempts]:
    """Worker processes for a furnished database, started once."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield Attempts(dsn, pool)
