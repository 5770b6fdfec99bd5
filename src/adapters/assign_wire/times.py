"""Moments on the wire: ISO 8601, written in UTC with a ``Z``, read with any offset but never without one.

JavaScript writes milliseconds and ``Z``, PostgreSQL microseconds and ``+00:00`` (``+00`` and a space for the ``T`` when
a time is cast to text), Go and Java nanoseconds. ``datetime.fromisoformat`` reads all of these, and week dates, lone
dates and commas besides, differently from one Python to the next; so the form is checked first and is the same
everywhere.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from assign_wire.misfit import Misfit, shown

_FORM: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]"
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
).fullmatch
_OFFSET_OF_UTC: Final = len("+00:00")


def write_time(moment: datetime) -> str:
    """``moment`` (in UTC) as text such as ``2025-11-15T00:40:13.242000Z``; no fraction when it is 0."""
    return datetime.isoformat(moment)[:-_OFFSET_OF_UTC] + "Z"


def read_moment(value: object, _: object = None) -> datetime:
    """The moment that a text names, in UTC, cut to microseconds.

    Raises:
        Misfit: it is no time of the form above, names no day of the calendar, has no zone, or lies outside the years 1
            to 9999 in UTC.
    """
    if type(value) is not str:
        raise Misfit(f"is not a time as text: {shown(value)}")
    try:
        if _FORM(value) is not None:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError:
        raise Misfit(f"is outside the calendar in UTC: {shown(value)}") from None
    except ValueError:  # digits in the right places, but not of any day
        pass
    raise Misfit(f"is not a time with a zone such as 2025-11-15T00:40:13.242Z: {shown(value)}")
