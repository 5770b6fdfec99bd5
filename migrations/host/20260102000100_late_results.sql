-- Whether a result has arrived, during a lease, from an attempt that had lost it.
--
-- What the lease's attempt then decides it decides without that result; so its booking is due as soon as it ends.
-- A column with a constant default changes the catalogue only.

SET LOCAL lock_timeout = '5s';

ALTER TABLE auto_assign_attempts
    ADD COLUMN IF NOT EXISTS overtaken boolean NOT NULL DEFAULT false;
