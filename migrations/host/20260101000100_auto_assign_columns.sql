-- What assign-core keeps on the host's bookings: the last result, the key of the confirm, and the revision.
--
-- Names of the host: bookings, auto_assign_last_result, auto_assign_idempotency_key, revision
-- (If yours are called otherwise, replace these words below, or let `assign-core migrate` do it.)
--
-- A nullable column, or one with a constant default, changes the catalogue only: no rewrite, whatever the size of the
-- table. The CHECK is NOT VALID because the column is born null everywhere; there is nothing to validate, and the scan that
-- validation would make is saved. Rows written from now on are checked all the same. jsonb prints a space after each comma
-- and colon, and assign-core measures its 1 KiB in that form.
--
-- A result makes its row longer. It stays on its page, and touches no index, where the page has room; so a table that gets
-- many keeps some free: ALTER TABLE bookings SET (fillfactor = 90). That is the host's choice, and not made here.
--
-- The lock is held for the catalogue change only, and waited for briefly: whoever queues behind us must not wait long.

SET LOCAL lock_timeout = '5s';

ALTER TABLE bookings
    ADD COLUMN IF NOT EXISTS auto_assign_last_result jsonb,
    ADD COLUMN IF NOT EXISTS auto_assign_idempotency_key text,
    ADD COLUMN IF NOT EXISTS revision integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT IF EXISTS bookings_auto_assign_last_result_size,
    ADD CONSTRAINT bookings_auto_assign_last_result_size
        CHECK (octet_length(auto_assign_last_result::text) <= 1024) NOT VALID;
