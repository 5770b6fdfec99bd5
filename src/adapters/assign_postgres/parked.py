"""A walk through the parked bookings, as far as a poll has time, to find those for which seats became free.

What a version costs, and whether it can be told at all, is up to the host's function. So they are asked for in batches,
each a statement of its own. One that does not come in time, or fails, is asked for again in halves, and a booking
whose version alone is to blame is stepped over: neither a slow function nor a bad row keeps the others waiting, and
each has a time, too, at which it is due in any case. What one poll does not reach the next one begins with.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any, Final, Protocol

from attrs import define
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError

from assign_core.ports import Clock
from assign_core.reasons import ReasonCode
from assign_postgres.errors import failure, reason_code
from assign_postgres.statements import OPEN

BATCH: Final = 200
"""Parked bookings of one statement, at most: some 20 ms with the reference schema, and no lock is held for longer."""
BATCHES: Final = 10
"""Batches of one poll, so that it costs no more however many bookings are parked."""
_SPARE: Final = 4
"""A batch that takes less than this part of the time that is left may be twice as large the next time."""
_OUT_OF_TIME: Final = {ReasonCode.TIMEOUT, ReasonCode.LOCK_TIMEOUT}
_PASSED: Final = "the capacity version of booking %r cannot be told; it stays parked until its time comes: %s"
_LOG: Final = logging.getLogger(__name__)

STATUS: Final = """(
      SELECT booking.{status}::text FROM {bookings} AS booking
      WHERE booking.{id} = CAST(attempt.booking_id AS {id_type})
  )"""
"""``{id_type}`` is the type of the host's ids, so that its index serves. The booking is looked up row by row: a join
would be free to read the whole table instead."""

NEXT: Final = """
    SELECT attempt.booking_id, attempt.due_at, attempt.parked_at_version
    FROM {schema}.auto_assign_attempts AS attempt
    WHERE attempt.parked_at_version IS NOT NULL AND attempt.due_at > CAST(:now AS timestamptz)
      AND (attempt.due_at, attempt.booking_id) > (CAST(:after_at AS timestamptz), :after)
    ORDER BY attempt.due_at, attempt.booking_id
    LIMIT :batch"""
"""The next parked bookings, and nothing that is asked of a function."""

WOKEN: Final = f"""
WITH batch AS MATERIALIZED ({NEXT}
)
SELECT attempt.booking_id, attempt.due_at,
       CASE WHEN {STATUS} IN {OPEN}
            THEN coalesce(
                attempt.parked_at_version < (SELECT {{version}} FROM (SELECT attempt.booking_id AS id) AS wanted),
                false
            )
            ELSE false
       END AS woken
FROM batch AS attempt
ORDER BY attempt.due_at, attempt.booking_id"""
"""The next parked bookings, and whether something has become free for them. A version is asked of open ones only."""


class Ask(Protocol):
    """Executes :data:`NEXT` or :data:`WOKEN`."""

    def __call__(self, sql: str, timeout: float, values: Mapping[str, object], /) -> Sequence[Row[Any]]: ...


@define
class _Place:
    """Where the walk is.

    Attributes:
        reached: the booking that was looked at last; ``None``: the walk begins at the front.
        size: of the next batch.
    """

    reached: tuple[datetime, str] | None = None
    size: int = BATCH


class Parked:
    """The walk, which goes on from call to call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._place = _Place()
        self._lock = Lock()

    def woken(self, ask: Ask, now: datetime, limit: int, until: float, *, alone: bool) -> list[str]:
        """At most ``limit`` of the parked bookings that need not wait any longer.

        Args:
            until: when the time is up, by the clock's ``monotonic``.
            alone: these are all that the poll can answer with.

        Raises:
            DBAPIError: a version failed, and there is nothing to answer with. Whose it was the log tells in any case.
        """
        found: list[str] = []
        trouble: DBAPIError | None = None
        half = (until - self._clock.monotonic()) / 2
        with self._lock:
            place = _Place(self._place.reached, self._place.size)
        for _ in range(BATCHES):
            began = self._clock.monotonic()
            left = until - began
            if left <= half:
                break  # a batch that is begun should have the time to end
            try:
                rows = self._batch(ask, now, left, place)
            except DBAPIError as error:
                code = reason_code(error)
                if code in _OUT_OF_TIME:
                    break
                trouble = error
                if code is ReasonCode.NETWORK_FAILURE:
                    break
                continue
            found += [row.booking_id for row in rows if row.woken]
            if len(rows) < place.size or len(found) >= limit:
                # Those beyond the limit wait for their turn, so the next look must not begin behind them.
                place.reached = None
                break
            place.reached = rows[-1].due_at, rows[-1].booking_id
            if (self._clock.monotonic() - began) * _SPARE < left:
                place.size = min(BATCH, place.size * 2)
        with self._lock:
            self._place = place
        if trouble is not None and alone and not found:
            raise trouble
        return found[:limit]

    def _batch(self, ask: Ask, now: datetime, left: float, place: _Place) -> Sequence[Row[Any]]:
        """The next bookings. If they fail, fewer are next; one that fails by itself is behind us."""
        after_at, after = (now, "") if place.reached is None else place.reached
        values = {"now": now, "after_at": after_at, "after": after, "batch": place.size}
        # Who it is that is asked alone must be known before: a statement that fails does not tell.
        single = ask(NEXT, left, values) if place.size == 1 else ()
        try:
            return ask(WOKEN, left, values)
        except DBAPIError as error:
            place.size = max(1, place.size // 2)
            for row in single:
                place.reached = row.due_at, row.booking_id
                _LOG.warning(_PASSED, row.booking_id, failure(error))
            raise
