-- Telemetry events. The CHECK admits every severity that the code can emit, and a test compares the two.

CREATE TABLE IF NOT EXISTS observability_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    name text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'notice', 'warning', 'error', 'critical')),
    booking_id text,
    attempt_id text,
    context jsonb NOT NULL
);

CREATE INDEX IF NOT EXISTS observability_events_booking ON observability_events (booking_id, id);
CREATE INDEX IF NOT EXISTS observability_events_at ON observability_events USING brin (at);
