"""Workloads: who books, for when, and what happens to the booking afterwards.

A workload is a value, made from a seed and nothing else, so that two policies can be given the very same guests.
Parties, times and lead times follow the usual shape of a dinner service: twos and fours, a peak at half past seven,
most of the bookings made during the afternoon, some of them cancelled or changed again.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import frozen

NOON: Final = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
_PARTIES: Final = ((1, 4), (2, 40), (3, 14), (4, 22), (5, 8), (6, 7), (7, 2), (8, 2), (12, 1))
"""Covers and their weights."""
_TIMES: Final = ((18.0, 10), (18.5, 14), (19.0, 20), (19.5, 24), (20.0, 16), (20.5, 10), (21.0, 6))
"""Start times in hours and their weights."""


@frozen(kw_only=True)
class Guest:
    """One booking's life as the guest leads it. Times are seconds after the workload's start.

    Attributes:
        books_at: when the request arrives.
        start_at: when the party comes.
        cancels_at, changes_at: when the guest cancels, or changes the party to ``changed_party``; ``None``: never.
    """

    booking_id: str
    party: int
    books_at: float
    start_at: datetime
    cancels_at: float | None = None
    changes_at: float | None = None
    changed_party: int | None = None


@frozen(kw_only=True)
class Evening:
    """A service's guests, in the order of their requests."""

    seed: int
    begins: datetime
    guests: tuple[Guest, ...]


def evening(seed: int, bookings: int) -> Evening:
    """A dinner service for about ``bookings`` requests between noon and eight.

    Raises:
        ValueError: not at least one booking.
    """
    if bookings < 1:
        raise ValueError(f"bookings is {bookings}; pass at least 1")
    dice = random.Random(seed)  # noqa: S311 - a workload has to be repeatable, not secret
    guests = sorted((_guest(dice, number) for number in range(bookings)), key=lambda guest: guest.books_at)
    return Evening(seed=seed, begins=NOON, guests=tuple(guests))


def _guest(dice: random.Random, number: int) -> Guest:
    hours = _weighted(dice, _TIMES)
    start_at = NOON.replace(hour=0) + timedelta(hours=hours)
    latest = (start_at - NOON).total_seconds() - 45 * 60
    # Requests thicken towards the evening.
    books_at = latest * dice.betavariate(2.2, 1.6)
    party = int(_weighted(dice, _PARTIES))
    left = latest + 30 * 60 - books_at
    fate = dice.random()
    later = books_at + dice.uniform(0.05, 0.95) * left
    return Guest(
        booking_id=f"b{number:04d}",
        party=party,
        books_at=books_at,
        start_at=start_at,
        cancels_at=later if fate < 0.10 else None,
        changes_at=later if 0.10 <= fate < 0.14 else None,
        changed_party=max(1, party + dice.choice((-1, 1))) if 0.10 <= fate < 0.14 else None,
    )


def _weighted(dice: random.Random, table: tuple[tuple[float, int], ...]) -> float:
    return dice.choices([value for value, _ in table], [weight for _, weight in table])[0]
