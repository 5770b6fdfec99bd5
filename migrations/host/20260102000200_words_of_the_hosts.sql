-- What a change of status means. A booking in a status of the host's own keeps its tables: whoever is called "arrived"
-- sits at one. A booking that is open again is due at once, or when the attempt ends that has its lease; one that is not
-- open any more is never due, and no poller has to step over it.
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
    left_open text[] := ARRAY(
        SELECT latter.id::text FROM latter JOIN former ON former.id::text = latter.id::text
        WHERE former.status::text IN ('pending', 'pending_allocation')
          AND coalesce(latter.status::text, '') NOT IN ('pending', 'pending_allocation')
    );
    reopened text[] := ARRAY(
        SELECT latter.id::text FROM latter JOIN former ON former.id::text = latter.id::text
        WHERE coalesce(former.status::text, '') NOT IN ('pending', 'pending_allocation')
          AND latter.status::text IN ('pending', 'pending_allocation')
    );
BEGIN
    IF cardinality(left_open) > 0 THEN
        UPDATE auto_assign_attempts AS attempt SET due_at = NULL, parked_at_version = NULL
        WHERE attempt.booking_id = ANY (left_open) AND attempt.due_at IS NOT NULL;
    END IF;
    IF cardinality(reopened) > 0 THEN
        -- Long ago, and not now(): the clock is the app's.
        INSERT INTO auto_assign_attempts AS attempt (booking_id, due_at)
        SELECT id, 'epoch' FROM unnest(reopened) AS id
        ON CONFLICT (booking_id) DO UPDATE
        SET due_at = coalesce(attempt.expires_at, excluded.due_at), parked_at_version = NULL;
    END IF;
    IF cardinality(unseated) > 0 THEN
        PERFORM auto_assign_lock(ARRAY(
            SELECT assigned.restaurant_id FROM table_assignments AS assigned WHERE assigned.booking_id = ANY (unseated)
        ));
        DELETE FROM table_assignments AS assigned WHERE assigned.booking_id = ANY (unseated);
    END IF;
    RETURN NULL;
END
$$;
