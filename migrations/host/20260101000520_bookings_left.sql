-- What is left of a booking that has lost its tables, or that is no more.
--
-- Names of the host: bookings, id, status, table_holds, table_assignments
--
-- The lock is held for the catalogue change only, and waited for briefly: whoever queues behind us must not wait long.

SET LOCAL lock_timeout = '5s';

-- Whoever is not seated has no tables, whoever it was that changed the status.
CREATE OR REPLACE FUNCTION unassign_booking()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM table_assignments WHERE booking_id = NEW.id::text;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER bookings_unseated
    AFTER UPDATE ON bookings
    FOR EACH ROW
    WHEN (NEW.status::text NOT IN ('confirmed', 'checked_in') AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION unassign_booking();

-- A booking that is deleted leaves nothing but its events, which are history. A foreign key would say so too, if our
-- text could reference the host's ids.
CREATE OR REPLACE FUNCTION forget_booking()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM auto_assign_attempts WHERE booking_id = OLD.id::text;
    DELETE FROM auto_assign_emails WHERE booking_id = OLD.id::text;
    DELETE FROM table_holds WHERE booking_id = OLD.id::text;
    DELETE FROM table_assignments WHERE booking_id = OLD.id::text;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER bookings_deleted
    AFTER DELETE ON bookings
    FOR EACH ROW EXECUTE FUNCTION forget_booking();
