-- What is left of a booking that has lost its tables, or that is no more.
--
-- Names of the host: bookings, id, status, table_holds, table_assignments
--
-- The lock is held for the catalogue change only, and waited for briefly: whoever queues behind us must not wait long.

SET LOCAL lock_timeout = '5s';

-- Everybody's temporary tables come last, instead of first: these functions act with their owner's rights, and must find
-- nothing but our own.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Both triggers run once a statement, however many bookings it changes, so that the restaurants' counters are locked in
-- one order; and with the owner's rights, because whoever may change a booking need not know our tables.

-- Whoever is not seated has no tables, whoever it was that changed the status.
CREATE OR REPLACE FUNCTION unassign_booking()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    -- As text, which the host's ids and words can be compared as, whatever their types.
    unseated text[] := ARRAY(
        SELECT latter.id::text FROM latter JOIN former ON former.id::text = latter.id::text
        WHERE latter.status::text NOT IN ('confirmed', 'checked_in')
          AND latter.status::text IS DISTINCT FROM former.status::text
    );
BEGIN
    IF cardinality(unseated) > 0 THEN
        PERFORM auto_assign_lock(ARRAY(
            SELECT assigned.restaurant_id FROM table_assignments AS assigned WHERE assigned.booking_id = ANY (unseated)
        ));
        DELETE FROM table_assignments AS assigned WHERE assigned.booking_id = ANY (unseated);
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION unassign_booking() FROM PUBLIC;

CREATE OR REPLACE TRIGGER bookings_unseated
    AFTER UPDATE ON bookings REFERENCING OLD TABLE AS former NEW TABLE AS latter
    FOR EACH STATEMENT EXECUTE FUNCTION unassign_booking();

-- A booking that is deleted leaves nothing but its events, which are history. A foreign key would say so too, if our
-- text could reference the host's ids.
CREATE OR REPLACE FUNCTION forget_booking()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    gone text[] := ARRAY(SELECT former.id::text FROM former);
BEGIN
    IF cardinality(gone) > 0 THEN
        DELETE FROM auto_assign_attempts AS attempt WHERE attempt.booking_id = ANY (gone);
        DELETE FROM auto_assign_emails AS email WHERE email.booking_id = ANY (gone);
        PERFORM auto_assign_lock(ARRAY(
            SELECT held.restaurant_id FROM table_holds AS held WHERE held.booking_id = ANY (gone)
            UNION ALL
            SELECT assigned.restaurant_id FROM table_assignments AS assigned WHERE assigned.booking_id = ANY (gone)
        ));
        DELETE FROM table_holds AS held WHERE held.booking_id = ANY (gone);
        DELETE FROM table_assignments AS assigned WHERE assigned.booking_id = ANY (gone);
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION forget_booking() FROM PUBLIC;

CREATE OR REPLACE TRIGGER bookings_deleted
    AFTER DELETE ON bookings REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION forget_booking();
