-- In the reference schema holds and assignments are of tables and bookings that exist.

ALTER TABLE table_assignments
    DROP CONSTRAINT IF EXISTS table_assignments_booking_id_fkey,
    ADD CONSTRAINT table_assignments_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES bookings ON DELETE CASCADE,
    DROP CONSTRAINT IF EXISTS table_assignments_table_id_restaurant_id_fkey,
    ADD CONSTRAINT table_assignments_table_id_restaurant_id_fkey
        FOREIGN KEY (table_id, restaurant_id) REFERENCES restaurant_tables (id, restaurant_id);

ALTER TABLE table_holds
    DROP CONSTRAINT IF EXISTS table_holds_booking_id_fkey,
    ADD CONSTRAINT table_holds_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES bookings ON DELETE CASCADE,
    DROP CONSTRAINT IF EXISTS table_holds_table_id_restaurant_id_fkey,
    ADD CONSTRAINT table_holds_table_id_restaurant_id_fkey
        FOREIGN KEY (table_id, restaurant_id) REFERENCES restaurant_tables (id, restaurant_id);
