"""The promises, as the tables alone can show them after a fault.

Nothing here believes a flow, an answer or an event buffer. What is true is what the rows say, and beside them two
journals that no crash can touch: the hand-overs to the mail system, and the calls of the planner. Every check names
the promise that it holds to, of ``assign_testing/PROMISES.md``, and all that is broken is told at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, text
from tests.faults.journal import Asked

from assign_core.booking import OPEN, SEATED
from assign_core.events import EventName
from assign_core.last_result import LastResult, Unreadable
from assign_core.ports import EmailKind
from assign_wire import loads

_DOUBLE: Final = """
SELECT one.table_id, one.booking_id, other.booking_id AS other FROM table_assignments AS one
JOIN table_assignments AS other
  ON other.table_id = one.table_id AND other.during && one.during AND other.booking_id > one.booking_id"""
_HELD_AND_TAKEN: Final = """
SELECT hold.table_id, hold.booking_id, seated.booking_id AS other FROM table_holds AS hold
JOIN table_assignments AS seated
  ON seated.table_id = hold.table_id AND seated.during && hold.during AND seated.booking_id <> hold.booking_id
WHERE hold.expires_at > :now"""
_ROWS: Final = """
SELECT booking.id, booking.status, booking.revision, booking.party_size, booking.auto_assign_last_result::text AS blob,
       attempt.attempt_id, attempt.expires_at, attempt.due_at, attempt.confirmed_by, seats.taken
FROM bookings AS booking LEFT JOIN auto_assign_attempts AS attempt ON attempt.booking_id = booking.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(seats), 0) AS taken FROM table_assignments AS assigned
    JOIN restaurant_tables AS one ON one.id = assigned.table_id WHERE assigned.booking_id = booking.id
) AS seats
ORDER BY booking.id"""
_LEDGER: Final = """
SELECT booking_id || ':' || kind || ':' || revision AS key, state, handed_over, last_error FROM auto_assign_emails"""
_CONFIRMED: Final = {EventName.SUCCEEDED.value, EventName.INLINE_SUCCEEDED.value}
_VISIBLE: Final = {"sent", "unknown", "failed"}


class Broken(AssertionError):
    """Promises that do not hold, one line each."""


def check_invariants(
    engine: Engine,
    *,
    now: datetime,
    handed_over: Sequence[str],
    asked: Sequence[Asked],
    at_rest: bool = True,
    deduplicates: bool = False,
    named: bool = True,
) -> None:
    """Check the tables of a whole database.

    Args:
        now: by the clock that leases and holds go by.
        handed_over: the key of each hand-over to the mail system.
        asked: the calls of the planner.
        at_rest: everything has been restarted and run to its end, so nothing may be under way any more.
        deduplicates: the mail system knows idempotency keys, so that a second hand-over is no second e-mail.
        named: each death of an attempt was followed by an attempt that lived, so each is known by its own name. Where
            two died in a row the first is only counted.

    Raises:
        Broken: with every promise that does not hold.
    """
    with engine.connect() as connection:
        broken = [
            *_tables(connection, now),
            *_truth(connection),
            *_results(connection, asked, at_rest=at_rest, named=named),
            *_mail(connection, Counter(handed_over), at_rest=at_rest, deduplicates=deduplicates),
        ]
        if at_rest:
            broken += _rest(connection, now)
    if broken:
        raise Broken("\n".join(broken))


def _tables(connection: Connection, now: datetime) -> Iterator[str]:
    for row in connection.execute(text(_DOUBLE)):
        yield f"P7 tables: {row.table_id} belongs to {row.booking_id} and to {row.other}"
    for row in connection.execute(text(_HELD_AND_TAKEN), {"now": now}):
        yield f"P7 tables: {row.table_id} is held for {row.booking_id} and belongs to {row.other}"
    for row in _rows(connection):
        if row.status in SEATED and row.taken < row.party_size:
            yield f"P7 tables: {row.id} is {row.status} for {row.party_size} and has {row.taken} seats"
        if row.status not in SEATED and row.taken:
            yield f"P7 tables: {row.id} is {row.status} and has {row.taken} seats"


def _truth(connection: Connection) -> Iterator[str]:
    told = _events(connection)
    for row in _rows(connection):
        last = loads(row.blob)
        current = isinstance(last, LastResult) and last.revision == row.revision
        success = current and isinstance(last, LastResult) and last.success
        if row.status in SEATED and row.confirmed_by is not None:
            if not success:
                yield f"P1 result: {row.id} was confirmed by {row.confirmed_by}, and its result says {row.blob}"
            if (times := told[row.confirmed_by, True]) != 1:
                yield f"P8 events: the confirm of {row.id} by {row.confirmed_by} is told {times} times"
        if row.status in OPEN and success:
            yield f"P2 truth: {row.id} is {row.status}, and its result says {row.blob}"


def _results(connection: Connection, asked: Sequence[Asked], *, at_rest: bool, named: bool) -> Iterator[str]:
    told, leased = _events(connection), {row.attempt_id for row in _rows(connection)}
    found_lost = set(
        connection.scalars(
            text("SELECT context ->> 'lost_attempt_id' FROM observability_events WHERE name = :name"),
            {"name": EventName.ATTEMPT_LOST.value},
        )
    )
    results = {row.id: (row.status, row.revision, loads(row.blob)) for row in _rows(connection)}
    for call in asked if named else ():
        known = told[call.attempt_id, True] + told[call.attempt_id, False] or call.attempt_id in found_lost
        if not known and (at_rest or call.attempt_id not in leased):
            yield f"P1 result: attempt {call.attempt_id} of {call.booking_id} called the planner and left nothing"
    if not at_rest:
        return
    first: dict[tuple[str, int], Asked] = {}
    for call in asked:
        first.setdefault((call.booking_id, call.revision), call)
    calls = Counter((call.booking_id, call.revision) for call in asked)
    for (booking_id, revision), times in calls.items():
        status, current, last = results[booking_id]
        if revision != current or status not in {*SEATED, *OPEN}:
            continue
        counted = last.attempt if isinstance(last, LastResult) and last.revision == revision else -1
        if counted + (first[booking_id, revision].source == "inline") < times:
            yield f"P1 result: {times} attempts have searched for {booking_id}, and its result counts {counted}"


def _mail(connection: Connection, handed: Counter[str], *, at_rest: bool, deduplicates: bool) -> Iterator[str]:
    ledger = {row.key: row for row in connection.execute(text(_LEDGER))}
    for key, times in handed.items():
        row = ledger.get(key)
        if times > 1 and not deduplicates:
            yield f"P4 mail: {key} was handed over {times} times"
        if row is None or row.handed_over < times:
            yield f"P4 mail: {key} was handed over {times} times, and the ledger says {row}"
        elif at_rest and row.state == "failed":
            yield f"P4 mail: {key} was handed over, and the ledger says that it failed"
    for key, row in ledger.items():
        if row.state == "sent" and not handed[key]:
            yield f"P4 mail: {key} is sent by the ledger, and no mail system has it"
        if at_rest and row.state == "claimed":
            yield f"P4 mail: {key} is lost: it is claimed, and nobody sends it"
        if row.state == "unknown" and not row.last_error:
            yield f"P4 mail: {key} is unknown, and nobody can see why"
        if at_rest and deduplicates and row.state == "unknown":
            yield f"P4 mail: {key} stays unknown although the mail system knows keys"
    for row in _rows(connection):
        last = loads(row.blob)
        key = f"{row.id}:{EmailKind.of(row.revision).value}:{row.revision}"
        if isinstance(last, LastResult) and last.email_sent:
            said = f"{row.id}:{EmailKind.of(last.revision).value}:{last.revision}"
            if not handed[said]:
                yield f"P4 flag: the result of {row.id} says that its guest was written to, and {said} never went out"
        elif at_rest and row.status in SEATED and _is_of(last, row.revision) and _state(ledger, key) == "sent":
            yield f"P4 flag: {key} is sent, and the result of {row.id} does not say so"
        if row.status in SEATED and row.confirmed_by is not None and key not in ledger:
            yield f"P4 mail: {key} is lost: {row.id} was confirmed, and nothing was ever queued"


def _is_of(last: LastResult | Unreadable | None, revision: int) -> bool:
    return isinstance(last, LastResult) and last.revision == revision


def _state(ledger: Mapping[str, Row[Any]], key: str) -> str | None:
    row = ledger.get(key)
    return None if row is None else str(row.state)


def _rest(connection: Connection, now: datetime) -> Iterator[str]:
    for row in connection.execute(text("SELECT table_id, booking_id, attempt_id, expires_at FROM table_holds")):
        yield f"P3 holds: {row.table_id} is still held for {row.booking_id} by {row.attempt_id} until {row.expires_at}"
    told = {row.key: row.state for row in connection.execute(text(_LEDGER))}
    for row in _rows(connection):
        if row.attempt_id is not None and row.expires_at > now:
            yield f"rest: {row.id} is still leased to {row.attempt_id} until {row.expires_at}"
        if row.status not in OPEN:
            continue
        if row.due_at is not None:
            yield f"rest: a job of {row.id} is still due at {row.due_at}"
        if told.get(f"{row.id}:staff_notice:{row.revision}") not in _VISIBLE:
            yield f"answer: {row.id} is {row.status}, and nobody has been told"


def _rows(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(text(_ROWS)).all()


def _events(connection: Connection) -> Counter[tuple[str, bool]]:
    """How many events each attempt has left, apart for those that tell of its confirm."""
    rows = connection.execute(
        text("SELECT attempt_id, name, count(*) AS times FROM observability_events GROUP BY attempt_id, name")
    )
    counted: Counter[tuple[str, bool]] = Counter()
    for row in rows:
        counted[row.attempt_id, row.name in _CONFIRMED] += row.times
    return counted
