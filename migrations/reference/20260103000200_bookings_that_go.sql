-- Holds and assignments of a booking that is deleted go by its trigger alone, which locks the restaurants' counters first.
--
-- ON DELETE CASCADE was faster: it deleted them in the order of the rows, before the trigger had the counters, and so could
-- wait for somebody who waited for it. The keys are checked at the end of the transaction now, when the trigger has been.

SET LOCAL lock_timeout = '5s';

ALTER TABLE table_assignments
    DROP CONSTRAINT IF EXISTS table_assignments_booking_id_fkey,
    ADD CONSTRAINT table_assignments_booking_id_fkey
        FOREIGN KEY (booking_id) REFERENCES bookings DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE table_holds
    DROP CONSTRAINT IF EXISTS table_holds_booking_id_fkey,
    ADD CONSTRAINT table_holds_booking_id_fkey
        FOREIGN KEY (booking_id) REFERENCES bookings DEFERRABLE INITIALLY DEFERRED;
