"""What the rows of the store's statements say, as the values that its calls answer with."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from assign_core.booking import Booking, EmailState
from assign_core.last_result import LastResult, Source, Unreadable
from assign_core.ports import Confirmation, Confirmed, Lease, NotConfirmed
from assign_core.reasons import ReasonCode
from assign_wire import dumps, loads


def as_json(value: object) -> str:
    """A value for a statement that reads jsonb."""
    return json.dumps(value, ensure_ascii=False)


def lease_of(row: Row[Any]) -> Lease | None:
    """The lease that was there; ``None``: there was none."""
    if row.attempt_id is None:
        return None
    return Lease(
        attempt_id=row.attempt_id,
        source=Source(row.source),
        taken_at=row.taken_at,
        expires_at=row.expires_at,
        lost_before=row.lost_before,
        lost_first=None if row.lost_first is None else Source(row.lost_first),
    )


def booking_of(row: Row[Any]) -> Booking:
    """The booking as it was read."""
    return Booking(
        id=row.id,
        status=row.status,
        start_at=row.start_at,
        revision=row.revision,
        capacity_version=row.capacity_version,
        email=None if row.email is None else EmailState(row.email),
    )


def confirm_answer(row: Row[Any], confirmation: Confirmation, merged: LastResult) -> Confirmed | NotConfirmed:
    """What became of a confirm."""
    email = None if row.email is None else EmailState(row.email)
    changed = ReasonCode.BOOKING_CHANGED
    match row.verdict:
        case "go":
            last: LastResult | Unreadable | None = loads(as_json(dumps(merged)))
            kept = last if isinstance(last, LastResult) else merged
            return Confirmed(attempt_id=confirmation.attempt_id, last=kept, email=email, events_stored=True)
        case "replay":
            last = loads(row.blob)
            kept = last if isinstance(last, LastResult) else confirmation.result
            return Confirmed(attempt_id=row.confirmed_by or "", last=kept, email=email, events_stored=True)
        case "status":
            return NotConfirmed(status=row.status, reason=f"BOOKING_CHANGED: status {row.status}", reason_code=changed)
        case "lease":
            return NotConfirmed(status=row.status, reason="BOOKING_CHANGED: attempt closed", reason_code=changed)
        case "revision":
            reason = f"BOOKING_CHANGED: revision {row.revision}, not {confirmation.revision}"
            return NotConfirmed(status=row.status, reason=reason, reason_code=changed)
        case _:
            return NotConfirmed(status=row.status, reason="HoldNotFoundError", reason_code=ReasonCode.HOLD_NOT_FOUND)
