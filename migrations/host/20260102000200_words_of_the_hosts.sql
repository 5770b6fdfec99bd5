-- A booking in a status of the host's own keeps its tables: whoever is called "arrived" sits at one.
--
-- Names of the host: bookings, id, status, table_assignments

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

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
        WHERE latter.status::text IN ('pending', 'pending_allocation', 'cancelled', 'no_show', 'completed')
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
