-- The attempt lease of each booking, and when its job is due.
--
-- A table of its own: it is written twice for each attempt and polled by due time, and neither may cost the wide bookings
-- row an index or a copy. The low fillfactor leaves room for the next version of a row on its page.

CREATE TABLE IF NOT EXISTS auto_assign_attempts (
    booking_id text PRIMARY KEY,
    attempt_id text,
    source text CHECK (source IN ('inline', 'job')),
    taken_at timestamptz,
    expires_at timestamptz,
    lost_before integer NOT NULL DEFAULT 0 CHECK (lost_before >= 0),
    lost_first text CHECK (lost_first IN ('inline', 'job')),
    due_at timestamptz,
    parked_at_version bigint,
    confirmed_by text,
    CONSTRAINT auto_assign_attempts_lease_whole
        CHECK (num_nulls(attempt_id, source, taken_at, expires_at) IN (0, 4))
) WITH (fillfactor = 70);

CREATE INDEX IF NOT EXISTS auto_assign_attempts_due
    ON auto_assign_attempts (due_at) WHERE due_at IS NOT NULL;
