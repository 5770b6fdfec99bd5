"""Values and small steps, with only what a test is about."""
# ruff: noqa: S101 - a step that cannot be taken fails the test that takes it

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from assign_core.last_result import LastResult, Source, Strategy, Unreadable
from assign_core.ports import (
    Acquired,
    Confirmation,
    Confirmed,
    Email,
    EmailKind,
    Hold,
    Lease,
    NoHold,
    NotConfirmed,
    Plan,
    Quote,
    QuoteRequest,
)
from assign_core.reasons import ReasonCode
from assign_testing.house import House, T


def lease(house: House, attempt_id: str = "a1", *, seconds: float = 10, source: Source = Source.JOB) -> Lease:
    return Lease(
        attempt_id=attempt_id, source=source, taken_at=house.now, expires_at=house.now + timedelta(seconds=seconds)
    )


def acquire(house: House, attempt_id: str = "a1", booking_id: str = "b", *, seconds: float = 10) -> Acquired:
    found = house.store.acquire(booking_id, lease(house, attempt_id, seconds=seconds), timeout=T)
    assert isinstance(found, Acquired)
    return found


def request(
    booking_id: str = "b",
    attempt_id: str = "a1",
    *,
    hold_seconds: float = 120,
    excluded: Iterable[Plan] = (),
    strategy: Strategy | None = None,
) -> QuoteRequest:
    return QuoteRequest(
        booking_id=booking_id,
        revision=0,
        attempt_id=attempt_id,
        strategy=Strategy() if strategy is None else strategy,
        hold_seconds=hold_seconds,
        excluded=tuple(excluded),
    )


def quote(
    house: House,
    booking_id: str = "b",
    attempt_id: str = "a1",
    *,
    hold_seconds: float = 120,
    excluded: Iterable[Plan] = (),
    strategy: Strategy | None = None,
) -> Quote:
    """A search for an attempt that has the booking's lease, which it takes first unless it has."""
    asked = request(booking_id, attempt_id, hold_seconds=hold_seconds, excluded=excluded, strategy=strategy)
    found = house.planner.quote(asked, timeout=T)
    if isinstance(found, NoHold) and found.reason_code is ReasonCode.BOOKING_CHANGED:
        house.store.acquire(booking_id, lease(house, attempt_id), timeout=T)
        found = house.planner.quote(asked, timeout=T)
    return found


def hold(house: House, booking_id: str = "b", attempt_id: str = "a1", *, hold_seconds: float = 120) -> Hold:
    found = quote(house, booking_id, attempt_id, hold_seconds=hold_seconds)
    assert isinstance(found, Hold)
    return found


def result(
    house: House,
    attempt_id: str = "a1",
    *,
    success: bool = False,
    attempt: int = 1,
    revision: int = 0,
    code: ReasonCode | None = None,
) -> LastResult:
    return LastResult(
        source=Source.JOB,
        recorded_at=house.now,
        success=success,
        reason=None if success else "fetch failed",
        reason_code=None if success else code or ReasonCode.NETWORK_FAILURE,
        attempt_id=attempt_id,
        attempt=attempt,
        revision=revision,
    )


def email(booking_id: str = "b", kind: EmailKind = EmailKind.CONFIRMATION, revision: int = 0) -> Email:
    return Email(booking_id=booking_id, kind=kind, revision=revision)


def confirmation(
    house: House, found: Hold, attempt_id: str = "a1", booking_id: str = "b", *, revision: int = 0, mail: bool = True
) -> Confirmation:
    return Confirmation(
        booking_id=booking_id,
        attempt_id=attempt_id,
        revision=revision,
        hold=found,
        result=result(house, attempt_id, success=True, revision=revision),
        email=email(booking_id, EmailKind.of(revision), revision) if mail else None,
    )


def confirm(house: House, found: Hold, attempt_id: str = "a1", booking_id: str = "b") -> Confirmed | NotConfirmed:
    return house.store.confirm(confirmation(house, found, attempt_id, booking_id), timeout=T)


def confirmed(house: House, booking_id: str = "b", attempt_id: str = "a1") -> Confirmed:
    """From nothing to a confirmed booking."""
    acquire(house, attempt_id, booking_id)
    answer = confirm(house, hold(house, booking_id, attempt_id), attempt_id, booking_id)
    assert isinstance(answer, Confirmed)
    return answer


def stored(house: House, booking_id: str = "b") -> LastResult:
    last = last_of(house, booking_id)
    assert isinstance(last, LastResult)
    return last


def last_of(house: House, booking_id: str = "b") -> LastResult | Unreadable | None:
    found = house.store.read(booking_id, timeout=T)
    assert found is not None
    return found.last


def version(house: House, booking_id: str = "b") -> int:
    found = house.store.capacity_version(booking_id, timeout=T)
    assert found is not None
    return found
