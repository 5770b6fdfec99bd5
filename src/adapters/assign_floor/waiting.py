"""When a search that found nothing but for holds would succeed: the hint that is worth more than a backoff.

A hold that expires frees its tables, so the longer one waits the more is free, and once a search succeeds it goes on
succeeding. Which hold is the one in the way therefore need not be known: the earliest expiry after which the search
succeeds is found by halving.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from datetime import datetime


def fits_again(held: Mapping[str, datetime], fits: Callable[[Collection[str]], bool]) -> datetime:
    """The earliest expiry after which ``fits`` is true, for a party that fits without any of the holds.

    Args:
        held: the tables that are held, at least one, each with the time at which the last hold on it expires.
        fits: whether a search succeeds while these of the held tables are still held.
    """
    times = sorted(set(held.values()))
    # The last time needs no search: nothing is held then.
    return times[
        bisect_left(times[:-1], True, key=lambda time: fits([name for name, until in held.items() if until > time]))
    ]
