"""Workers killed with SIGKILL at every boundary: nothing is lost, nothing happens twice, and everybody has an answer.

Each round opens the house anew, sends a worker for one booking, kills it where the boundary says, and restarts
everything. *Sent* means that the statement has reached the server and waits there for a lock that the test holds; the
worker dies, and the server does what it was asked, for nobody.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import psycopg
import pytest
from tests.faults.restaurant import Restaurant
from tests.faults.worker import Errand, Kind, Worker, until_it_is_gone, until_it_waits

from assign_core.events import EventName

EACH: Final = 2
EACH_IN_SOAK: Final = 50
MAIL: Final = (
    *(f"{moment} claim" for moment in ("before", "sent", "uncommitted", "after")),
    *("before send", "after send"),
    *(f"{moment} settle" for moment in ("before", "sent", "uncommitted", "after")),
)
FLOW: Final = (
    *(f"{moment} acquire" for moment in ("before", "sent", "after")),
    *("before quote", "before hold", "sent quote", "uncommitted hold", "after quote"),
    *(f"{moment} confirm" for moment in ("before", "sent", "after")),
    *MAIL,
    *(f"{moment} flush" for moment in ("before", "sent", "uncommitted", "after")),
)
FULL: Final = tuple(f"{moment} record" for moment in ("before", "sent", "after"))
RELEASE: Final = tuple(f"{moment} release" for moment in ("before", "sent", "uncommitted", "after"))

LOSES_ATTEMPT: Final = {
    *("sent acquire", "after acquire", "before quote", "before hold", "sent quote", "uncommitted hold", "after quote"),
    *("before confirm", "before record"),
}
"""The lease was taken, and nothing was recorded: the next attempt must find that this one was lost."""
LEAVES_UNKNOWN: Final = {
    "after claim",
    "before send",
    "after send",
    "before settle",
    "sent settle",
    "uncommitted settle",
}
"""The e-mail was claimed and not settled: whether the mail system has it, nobody can know."""
IN_THE_WAY: Final = {
    "release": "SELECT FROM table_holds WHERE booking_id = 'b' FOR UPDATE",
    "flush": "LOCK TABLE observability_events IN SHARE MODE",
}
"""The lock that keeps a step's statement waiting at the server; for any other it is the booking's row."""


def kill(house: Restaurant, errand: Errand, boundary: str) -> None:
    """Send a worker, and kill it at the boundary."""
    moment, step = boundary.split(" ")
    with psycopg.connect(house.dsn, autocommit=True) as host:
        stop_at = f"before {step}" if moment == "sent" else boundary
        with Worker(errand, stop_at) as worker:
            worker.stops()
            if moment != "sent":
                worker.kill()
            else:
                with psycopg.connect(house.dsn) as blocker:
                    blocker.execute(IN_THE_WAY.get(step, "SELECT FROM bookings WHERE id = 'b' FOR UPDATE").encode())
                    worker.go_on()
                    until_it_waits(host)
                    worker.waits()
                    worker.kill()
        until_it_is_gone(host)


def rounds(soak: bool) -> range:
    return range(EACH_IN_SOAK if soak else EACH)


def varied(house: Restaurant, number: int) -> Kind:
    """Another host, and another mail system, every round."""
    house.reopen()
    house.deduplicates = number % 2 == 1
    return "job" if number % 4 in {1, 2} else "inline"


def check_mail(house: Restaurant, boundary: str, key: str = "b:confirmation:0") -> None:
    """What became of the e-mail."""
    unknown = boundary in LEAVES_UNKNOWN and not house.deduplicates
    assert house.ledger()[key] == ("unknown" if unknown else "sent")
    handed = house.post.handed_over().count(key)
    sent = boundary in MAIL[MAIL.index("after send") :]
    assert handed == (2 if boundary in LEAVES_UNKNOWN and sent and house.deduplicates else not unknown or sent)


@pytest.mark.parametrize("boundary", FLOW)
def test_a_worker_killed_in_an_attempt(house: Restaurant, boundary: str, soak: bool, counted: Counter[str]) -> None:
    for number in rounds(soak):
        kind = varied(house, number)
        if boundary.endswith("flush"):
            kind = "job"  # an inline success has no event that is not stored with its commit
        house.book("b")
        house.book("other", party=4)
        kill(house, Errand.of(house, kind), boundary)
        counted[f"kills: {boundary}"] += 1
        house.check(at_rest=False)
        house.settle()
        house.check()
        assert (house.status("b"), house.status("other")) == ("confirmed", "confirmed")
        assert house.events(EventName.ATTEMPT_LOST) == (boundary in LOSES_ATTEMPT)
        check_mail(house, boundary)


@pytest.mark.parametrize("boundary", FULL)
def test_a_worker_killed_with_bad_news(house: Restaurant, boundary: str, soak: bool, counted: Counter[str]) -> None:
    """There is no table. Every other time one comes free after the worker has died."""
    for number in rounds(soak):
        kind = varied(house, number)
        house.book("b")
        house.book("big", party=6)
        house.seat("big", ["small1", "large1"])
        kill(house, Errand.of(house, kind), boundary)
        counted[f"kills: {boundary}"] += 1
        house.check(at_rest=False)
        if number % 2:
            house.cancel("big")
        house.settle()
        house.check()
        assert house.status("b") == ("confirmed" if number % 2 else "pending")
        assert house.events(EventName.ATTEMPT_LOST) == (boundary in LOSES_ATTEMPT)


@pytest.mark.parametrize("boundary", MAIL)
def test_a_worker_killed_telling_the_staff(house: Restaurant, boundary: str, soak: bool, counted: Counter[str]) -> None:
    """There is no table, and none comes free: the staff is told once, whoever lives to do it."""
    for number in rounds(soak):
        kind = varied(house, number)
        house.book("b")
        house.book("big", party=6)
        house.seat("big", ["small1", "large1"])
        kill(house, Errand.of(house, kind), boundary)
        counted[f"kills: staff notice, {boundary}"] += 1
        house.check(at_rest=False)
        house.settle()
        house.check()
        assert (house.status("b"), house.last("b").success) == ("pending", False)
        check_mail(house, boundary, "b:staff_notice:0")


@pytest.mark.parametrize("boundary", RELEASE)
def test_a_worker_killed_giving_a_hold_back(
    house: Restaurant, boundary: str, soak: bool, counted: Counter[str]
) -> None:
    """The planner took a hold and its answer was lost. A release that is not committed leaves it to the expiry."""
    for number in rounds(soak):
        kind = varied(house, number)
        house.book("b", party=4)
        house.book("other", party=4)
        kill(house, Errand.of(house, kind, loses=True), boundary)
        counted[f"kills: {boundary}"] += 1
        house.check(at_rest=False)
        held = house.value("SELECT count(*) FROM table_holds WHERE booking_id = 'b'")
        assert held == (boundary != "after release")
        house.settle()
        house.check()
        assert sorted(map(house.status, ("b", "other"))) == ["confirmed", "pending"]
        assert house.events(EventName.ATTEMPT_LOST) == 0


@pytest.mark.parametrize("boundary", MAIL)
def test_a_relay_killed(house: Restaurant, boundary: str, soak: bool, counted: Counter[str]) -> None:
    for number in rounds(soak):
        varied(house, number)
        house.book("b")
        house.book("other", party=4)
        with house.app(source="inline", sends=False) as engine:
            engine.inline("b")
            engine.inline("other")
        kill(house, Errand.of(house, "relay"), boundary)
        counted[f"kills: relay, {boundary}"] += 1
        house.check(at_rest=False)
        house.settle()
        house.check()
        check_mail(house, boundary)
        assert house.ledger()["other:confirmation:0"] == "sent"
