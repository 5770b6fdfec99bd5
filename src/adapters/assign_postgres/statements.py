"""The SQL of the booking store: each call of the port is one statement, and so one round trip and one transaction.

What one call must do atomically stands in one ``WITH``. The booking's row is locked first, everywhere, so that two
calls for one booking follow each other and none can deadlock with another. Row and lease are read ``FOR UPDATE``,
which makes PostgreSQL look at their newest version, not at the snapshot's: whoever had to wait for a lock sees what
the winner did.

The stored result is merged in Python, by the very function that every adapter uses, and written only if the row still
holds what it was merged with; otherwise the statement writes nothing and says what is there now. ``{names}`` are the
host's, quoted by :class:`~assign_postgres.names.Names`; everything else is bound.
"""

from __future__ import annotations

from typing import Final

OPEN: Final = "('pending', 'pending_allocation')"
SEATED: Final = "('confirmed', 'checked_in')"

_WANTED: Final = """
WITH wanted AS MATERIALIZED (
    SELECT {id}::text AS id, {status}::text AS status, {start_at} AS start_at, {revision} AS revision,
           {last_result}::text AS blob, {idempotency_key} AS key
    FROM {bookings} AS booking
    WHERE booking.{id} = :booking
    FOR NO KEY UPDATE OF booking
)"""

_EMAIL: Final = """
       (SELECT ledger.state FROM {schema}.auto_assign_emails AS ledger
        WHERE ledger.booking_id = wanted.id AND ledger.revision = wanted.revision
          AND ledger.kind = CASE WHEN wanted.revision = 0 THEN 'confirmation' ELSE 'modification' END) AS email"""

ACQUIRE: Final = (
    _WANTED
    + f""", former AS MATERIALIZED (
    SELECT attempt_id, source, taken_at, expires_at, lost_before, lost_first
    FROM {{schema}}.auto_assign_attempts
    WHERE booking_id = (SELECT id FROM wanted)
    FOR UPDATE
), taken AS (
    INSERT INTO {{schema}}.auto_assign_attempts AS attempt
        (booking_id, attempt_id, source, taken_at, expires_at, lost_before, lost_first, due_at)
    SELECT wanted.id, :attempt, :source, CAST(:now AS timestamptz), CAST(:expires_at AS timestamptz),
           CASE WHEN former.attempt_id <> :attempt THEN former.lost_before + 1 ELSE 0 END,
           CASE WHEN former.attempt_id <> :attempt THEN coalesce(former.lost_first, former.source) END,
           CASE WHEN wanted.status IN {OPEN} THEN CAST(:expires_at AS timestamptz) END
    FROM wanted LEFT JOIN former ON true
    WHERE former.attempt_id IS NULL OR former.expires_at <= CAST(:now AS timestamptz) OR former.attempt_id = :attempt
    ON CONFLICT (booking_id) DO UPDATE
    SET attempt_id = excluded.attempt_id, source = excluded.source, taken_at = excluded.taken_at,
        expires_at = excluded.expires_at, lost_before = excluded.lost_before, lost_first = excluded.lost_first,
        overtaken = false, due_at = excluded.due_at, parked_at_version = NULL,
        confirmed_by = CASE WHEN excluded.due_at IS NULL THEN attempt.confirmed_by END
    WHERE attempt.attempt_id IS NULL OR attempt.expires_at <= CAST(:now AS timestamptz)
       OR attempt.attempt_id = excluded.attempt_id
    RETURNING attempt.booking_id
)
SELECT wanted.id, wanted.status, wanted.start_at, wanted.revision, wanted.blob,
       former.attempt_id, former.source, former.taken_at, former.expires_at, former.lost_before, former.lost_first,
       EXISTS (SELECT FROM taken) AS taken,
       {{version}} AS capacity_version,"""
    + _EMAIL
    + """
FROM wanted LEFT JOIN former ON true"""
)
"""Read the booking and take its lease. ``former`` is the lease that was there."""

READ: Final = (
    """
SELECT wanted.*, {version} AS capacity_version,"""
    + _EMAIL
    + """
FROM (
    SELECT {id}::text AS id, {status}::text AS status, {start_at} AS start_at, {revision} AS revision,
           {last_result}::text AS blob
    FROM {bookings} WHERE {id} = :booking
) AS wanted"""
)
"""The booking as it is, without a lock."""

CAPACITY_VERSION: Final = """
SELECT {version} AS capacity_version
FROM (SELECT {id}::text AS id FROM {bookings} WHERE {id} = :booking) AS wanted"""

_TELL: Final = """, intent AS MATERIALIZED (
    SELECT judged.id AS booking_id, notice.kind, notice.revision
    FROM judged
    CROSS JOIN jsonb_to_recordset(CAST(:staff_notice AS jsonb)) AS notice(kind text, revision integer)
    WHERE judged.tells AND judged.may_tell_staff AND notice.revision = judged.revision
    UNION ALL
    SELECT judged.id, CASE WHEN judged.revision = 0 THEN 'confirmation' ELSE 'modification' END, judged.revision
    FROM judged
    WHERE judged.tells AND judged.may_tell_guest AND CAST(:tell_guest AS boolean)
), queued AS (
    INSERT INTO {schema}.auto_assign_emails AS ledger (booking_id, kind, revision, queued_at)
    SELECT booking_id, kind, revision, CAST(:now AS timestamptz) FROM intent
    ON CONFLICT (booking_id, kind, revision) DO UPDATE SET queued_at = ledger.queued_at
    RETURNING state
), witnessed AS (
    INSERT INTO {schema}.observability_events (at, name, severity, booking_id, attempt_id, context)
    SELECT event.at, event.name, event.severity, event.booking_id, event.attempt_id, event.context
    FROM judged
    CROSS JOIN jsonb_to_recordset(CAST(:events AS jsonb))
        AS event(at timestamptz, name text, severity text, booking_id text, attempt_id text, context jsonb)
    WHERE judged.go AND (judged.first OR NOT EXISTS (
        SELECT FROM {schema}.observability_events AS known
        WHERE known.booking_id = event.booking_id AND known.attempt_id IS NOT DISTINCT FROM event.attempt_id
          AND known.name = event.name AND known.at = event.at AND known.context = event.context
    ))
)"""

_TOLD: Final = """
       (SELECT state FROM queued) AS email"""
"""The ledger's newest state, be it younger than the snapshot: hence the update above, which changes nothing."""

CONFIRM: Final = (
    _WANTED
    + f""", lease AS MATERIALIZED (
    SELECT attempt_id, expires_at, confirmed_by FROM {{schema}}.auto_assign_attempts
    WHERE booking_id = (SELECT id FROM wanted)
    FOR UPDATE
), held AS MATERIALIZED (
    SELECT table_id, during, restaurant_id FROM {{holds}}
    WHERE hold_id = :hold AND attempt_id = :attempt AND booking_id = (SELECT id FROM wanted)
      AND expires_at > CAST(:now AS timestamptz)
    FOR UPDATE
), weighed AS MATERIALIZED (
    SELECT wanted.*, lease.confirmed_by, CASE
        WHEN wanted.status IN {SEATED} AND wanted.key = :key AND (
            SELECT array_agg(table_id ORDER BY table_id COLLATE "C")
            FROM {{assignments}} WHERE booking_id = wanted.id
        ) = CAST(:tables AS text[]) THEN 'replay'
        WHEN wanted.status NOT IN {OPEN} THEN 'status'
        WHEN lease.attempt_id IS DISTINCT FROM :attempt OR lease.expires_at <= CAST(:now AS timestamptz) THEN 'lease'
        WHEN wanted.revision <> CAST(:revision AS integer) THEN 'revision'
        WHEN (SELECT count(*) FROM held) <> cardinality(CAST(:tables AS text[])) THEN 'hold'
        WHEN wanted.blob IS DISTINCT FROM CAST(:expected AS text) THEN 'again'
        ELSE 'go'
    END AS verdict
    FROM wanted LEFT JOIN lease ON true
), judged AS MATERIALIZED (
    SELECT *, verdict = 'go' AS go, verdict IN ('go', 'replay') AS tells,
           true AS first, false AS may_tell_staff, true AS may_tell_guest
    FROM weighed
), consumed AS (
    DELETE FROM {{holds}} AS hold USING judged
    WHERE judged.go AND hold.hold_id = :hold
), assigned AS (
    INSERT INTO {{assignments}} (booking_id, table_id, restaurant_id, during)
    SELECT judged.id, held.table_id, held.restaurant_id, held.during FROM judged CROSS JOIN held WHERE judged.go
), flipped AS (
    UPDATE {{bookings}} AS booking
    SET {{status}} = 'confirmed', {{last_result}} = CAST(:result AS jsonb), {{idempotency_key}} = :key
    FROM judged
    WHERE booking.{{id}} = :same_booking AND judged.go
), closed AS (
    UPDATE {{schema}}.auto_assign_attempts AS attempt
    SET attempt_id = NULL, source = NULL, taken_at = NULL, expires_at = NULL, lost_before = 0, lost_first = NULL,
        due_at = NULL, parked_at_version = NULL, confirmed_by = :attempt
    FROM judged WHERE judged.go AND attempt.booking_id = judged.id
)"""
    + _TELL
    + """
SELECT judged.verdict, judged.status, judged.revision, judged.blob, judged.confirmed_by,
       judged.key IS NOT DISTINCT FROM :key AS same_key,"""
    + _TOLD
    + """
FROM judged"""
)
"""Commit a hold, or say what stands against it."""

RECORD: Final = (
    _WANTED
    + f""", lease AS MATERIALIZED (
    SELECT attempt_id, expires_at, lost_before, overtaken, confirmed_by FROM {{schema}}.auto_assign_attempts
    WHERE booking_id = (SELECT id FROM wanted)
    FOR UPDATE
), judged AS MATERIALIZED (
    SELECT wanted.*, lease.lost_before, lease.confirmed_by, timely.go, timely.go AS tells,
           coalesce(lease.attempt_id = :attempt, false) AS ours,
           coalesce(lease.attempt_id = :attempt AND lease.expires_at > CAST(:now AS timestamptz), false) AS first,
           lease.overtaken,
           wanted.status IN {OPEN} AS open,
           wanted.status IN {OPEN} AND coalesce(lease.attempt_id = :attempt, false) AS may_tell_staff,
           wanted.status IN {SEATED} AS may_tell_guest
    FROM wanted LEFT JOIN lease ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(lease.attempt_id = :attempt, false) <> CAST(:late AS boolean) AND (
            CAST(:result AS jsonb) IS NULL OR (
                wanted.blob IS NOT DISTINCT FROM CAST(:expected AS text)
                AND wanted.revision = CAST(:merged_at_revision AS integer)
            )
        ) AS go
    ) AS timely
), kept AS (
    UPDATE {{bookings}} AS booking SET {{last_result}} = CAST(:result AS jsonb)
    FROM judged
    WHERE booking.{{id}} = :same_booking AND judged.go AND CAST(:result AS jsonb) IS NOT NULL
), closed AS (
    UPDATE {{schema}}.auto_assign_attempts AS attempt
    SET attempt_id = CASE WHEN leaves.unrecorded THEN attempt.attempt_id END,
        source = CASE WHEN leaves.unrecorded THEN coalesce(attempt.lost_first, attempt.source) END,
        taken_at = CASE WHEN leaves.unrecorded THEN attempt.taken_at END,
        expires_at = CASE WHEN leaves.unrecorded THEN CAST(:now AS timestamptz) END,
        lost_before = CASE WHEN leaves.unrecorded THEN attempt.lost_before - 1 ELSE 0 END,
        lost_first = CASE WHEN leaves.unrecorded THEN attempt.lost_first END,
        due_at = CASE
            WHEN NOT judged.open THEN NULL
            WHEN judged.overtaken OR CAST(:read_revision AS integer) <> judged.revision THEN CAST(:now AS timestamptz)
            ELSE CAST(:retry_at AS timestamptz)
        END,
        parked_at_version = CASE
            WHEN judged.open AND NOT judged.overtaken
                AND (CAST(:read_revision AS integer) <> judged.revision) IS NOT TRUE
            THEN CAST(:parked_at_version AS bigint)
        END
    FROM judged
    CROSS JOIN LATERAL (
        SELECT judged.open AND CAST(:result AS jsonb) IS NULL AND judged.lost_before > 0 AS unrecorded
    ) AS leaves
    WHERE judged.go AND judged.ours AND attempt.booking_id = judged.id
), overtaken AS (
    UPDATE {{schema}}.auto_assign_attempts AS attempt
    SET overtaken = attempt.attempt_id IS NOT NULL,
        due_at = CASE
            WHEN attempt.expires_at > CAST(:now AS timestamptz) THEN attempt.due_at
            ELSE CAST(:now AS timestamptz)
        END,
        parked_at_version = NULL
    FROM judged
    WHERE judged.go AND judged.open AND NOT judged.ours AND CAST(:news AS boolean) AND attempt.booking_id = judged.id
)"""
    + _TELL
    + """
SELECT judged.go, judged.ours, judged.status, judged.revision, judged.blob, judged.confirmed_by,"""
    + _TOLD
    + """
FROM judged"""
)
"""Close an attempt: merge its result, give its lease back, queue what the row calls for. One that comes after its lease
(``NOT ours``), with ``news``, is not what was decided on; so the booking is due now, or when the attempt at it ends.

It may also be the very same call again (``NOT first``), whose events are there already. One that has waited for the
other does not see them, so it answers ``NOT go``, and is made again with ``late``."""
