"""A worker as a process of its own, which stops at a boundary and is killed there.

The worker runs the real engine over the real adapter. When it comes to its boundary it says so and blocks; the test
then kills it, or does something first and lets it go on. Nobody sleeps, and nobody guesses where it was.

Processes are forked from a server that has imported everything once, has no threads and no connections, and costs some
milliseconds for each.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Literal, Self

import psycopg
from psycopg.conninfo import make_conninfo
from tests.faults.boundaries import gated
from tests.faults.journal import JournalPost
from tests.faults.restaurant import App, Restaurant, engine_for, runtime_at

from assign_postgres import PostgresMailer

CONTEXT: Final = get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", __name__])
# A worker has no log, so warnings would go to stderr; that its connections break is the very purpose.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
NAME: Final = "assign-worker"
LIMIT: Final = 60.0
"""Seconds after which something is taken for stuck. Never reached."""
_ENDED: Final = "ended"
_ACTIVE: Final = "SELECT FROM pg_stat_activity WHERE application_name = %s AND (wait_event_type = 'Lock' OR NOT %s)"
Kind = Literal["inline", "job", "relay"]


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What a worker is sent to do.

    Attributes:
        now: the worker's clock, which stands still.
        loses: the planner's answer does not arrive.
    """

    dsn: str
    folder: Path
    now: datetime
    kind: Kind
    booking_id: str = "b"
    loses: bool = False
    deduplicates: bool = False

    @classmethod
    def of(cls, house: Restaurant, kind: Kind, *, loses: bool = False) -> Errand:
        return cls(
            dsn=make_conninfo(house.dsn, application_name=NAME),
            folder=house.folder,
            now=house.now,
            kind=kind,
            loses=loses,
            deduplicates=house.deduplicates,
        )


def work(errand: Errand, stop_at: str, test: Connection) -> None:
    """In the worker: do the errand, and stop at the boundary the first time."""
    stopped = False

    def reached(name: str) -> None:
        nonlocal stopped
        if name == stop_at and not stopped:
            stopped = True
            test.send(name)
            test.recv()

    post = JournalPost(errand.folder / "post", deduplicates=errand.deduplicates)
    app = App.over(engine_for(errand.dsn), runtime_at(errand.now), post, errand.folder, source=errand.kind)
    gated(app, reached, loses=errand.loses)
    if errand.kind == "relay":
        PostgresMailer(app.outbox, app.transport).relay()
    elif errand.kind == "inline":
        app.engine().inline(errand.booking_id)
    else:
        app.engine().job(errand.booking_id)
    app.flushed()
    app.buffer.close()
    test.send(_ENDED)


class Worker:
    """A running worker. Use it as a context manager; it is dead afterwards."""

    def __init__(self, errand: Errand, stop_at: str) -> None:
        self._here, there = CONTEXT.Pipe()
        self._stop_at = stop_at
        self._process = CONTEXT.Process(target=work, args=(errand, stop_at, there))
        self._process.start()
        there.close()

    def stops(self) -> None:
        """Wait until it has come to its boundary.

        Raises:
            AssertionError: it did not.
        """
        self._says(self._stop_at)

    def go_on(self) -> None:
        """Let it go on from its boundary."""
        self._here.send(None)

    def ends(self) -> None:
        """Wait until it has done its errand."""
        self._says(_ENDED)

    def _says(self, wanted: str) -> None:
        said = self._here.recv() if self._here.poll(LIMIT) else "nothing"
        assert said == wanted, f"the worker was to say {wanted!r}, and said {said!r}"

    def waits(self) -> None:
        """Wait until it sleeps, with a statement at the server.

        The server can be at work on a statement before the client has sent the end of its round trip, without which
        nothing is committed. A client that sleeps has sent that, too, and waits for its answer. Where there is no
        ``/proc`` this is left to chance.
        """
        state = Path(f"/proc/{self._process.pid}/stat")
        if state.exists():
            until(lambda: state.read_text().rpartition(") ")[2][0] == "S")

    def kill(self) -> None:
        """SIGKILL: no handler, no ``finally``, nothing flushed."""
        assert self._process.is_alive(), "it has ended by itself"
        self._process.kill()
        self._process.join(LIMIT)
        assert self._process.exitcode == -signal.SIGKILL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join(LIMIT)
        self._process.close()
        self._here.close()


def until(condition: Callable[[], bool]) -> None:
    """Look until it is so."""
    pause, end = threading.Event(), time.monotonic() + LIMIT
    while time.monotonic() < end:
        if condition():
            return
        pause.wait(0.002)
    raise AssertionError("it has not come to that")


def until_it_waits(host: psycopg.Connection) -> None:
    """Until a worker's statement has reached the server, and waits for a lock there."""
    until(lambda: bool(host.execute(_ACTIVE, [NAME, True]).fetchall()))


def until_it_is_gone(host: psycopg.Connection) -> None:
    """Until the server has done all that dead workers had sent, and has noticed that they are dead."""
    until(lambda: not host.execute(_ACTIVE, [NAME, False]).fetchall())
