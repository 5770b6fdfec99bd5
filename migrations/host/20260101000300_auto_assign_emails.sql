-- The e-mail ledger, which is also the outbox: at most one e-mail of each kind and revision is ever handed over.

CREATE TABLE IF NOT EXISTS auto_assign_emails (
    booking_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('confirmation', 'modification', 'staff_notice')),
    revision integer NOT NULL,
    state text NOT NULL DEFAULT 'claimed' CHECK (state IN ('claimed', 'sent', 'unknown', 'failed')),
    sending_until timestamptz,
    not_before timestamptz,
    handed_over integer NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    last_error text,
    PRIMARY KEY (booking_id, kind, revision)
) WITH (fillfactor = 80);

CREATE INDEX IF NOT EXISTS auto_assign_emails_waiting
    ON auto_assign_emails (queued_at) WHERE state IN ('claimed', 'unknown');
