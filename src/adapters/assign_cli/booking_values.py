"""What an e-mail's words are made of: the columns of its booking, as they are when it is sent.

Times are the restaurant's, since that is how a guest reads them. Where nothing says what zone that is, they are in UTC
and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, TextClause, text

from assign_core.outbox import EmailNotSent, still_true
from assign_core.ports import Email
from assign_postgres import Names
from assign_postgres.connections import FromEngine
from assign_postgres.rows import statement

_PATIENCE: Final = 10.0
"""Seconds."""
_ROW: Final = "SELECT * FROM {bookings} WHERE {id} = :booking"
_ROW_AND_ZONE: Final = """
SELECT booking.*, house.timezone AS timezone
FROM {bookings} AS booking LEFT JOIN {schema}.restaurants AS house ON house.id = booking.restaurant_id
WHERE booking.{id} = :booking"""
_HAS_ZONES: Final = text("""
SELECT count(*) = 2 FROM information_schema.columns
WHERE table_schema = :schema
  AND (table_name, column_name) IN (('restaurants', 'timezone'), (CAST(:bookings AS text), 'restaurant_id'))""")


class BookingValues:
    """Names and values of an e-mail's booking: its columns, and ``timezone``.

    Args:
        zone: of the times; ``None``: the restaurant's, where the reference schema says it.
    """

    def __init__(self, engine: Engine, names: Names, zone: ZoneInfo | None) -> None:
        self._with = FromEngine(engine).run
        self._names = names
        self._zone = zone

    def __call__(self, email: Email) -> Mapping[str, object]:
        """What can be filled in.

        Raises:
            EmailNotSent: the booking has changed since the e-mail was begun.
            KeyError: its zone is none.
            DatabaseFailure: it cannot be read.
        """
        row = self._one(self._row, {"booking": email.booking_id})
        status, revision = (None, None) if row is None else (row[self._names.status], row[self._names.revision])
        if row is None or not still_true(email, status=status, revision=revision):
            raise EmailNotSent(f"booking {email.booking_id!r} has changed meanwhile; the next look decides anew")
        known = row.get("timezone")
        zone = ZoneInfo(known) if self._zone is None and isinstance(known, str) and known else self._zone
        return {name: _local(value, zone) for name, value in row.items()} | {
            "timezone": "UTC" if zone is None else zone
        }

    @cached_property
    def _row(self) -> TextClause:
        found = self._one(_HAS_ZONES, {"schema": self._names.schema, "bookings": self._names.bookings})
        return statement(self._names, _ROW_AND_ZONE if found is not None and any(found.values()) else _ROW)

    def _one(self, sql: TextClause, values: Mapping[str, object]) -> dict[str, Any] | None:
        def ask(connection: Connection, _left: float) -> dict[str, Any] | None:
            found = connection.execute(sql, values).mappings().one_or_none()
            return None if found is None else {str(name): value for name, value in found.items()}

        return self._with(_PATIENCE, ask)


def _local(value: object, zone: ZoneInfo | None) -> object:
    """A time by the clock on the restaurant's wall; one in UTC keeps its offset, so that nobody takes it for that."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return value
    return value.astimezone(UTC) if zone is None else value.astimezone(zone).replace(tzinfo=None)
