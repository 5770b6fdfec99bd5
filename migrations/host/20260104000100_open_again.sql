-- A booking that is opened again while an attempt is at it, and who waits for whom meanwhile.
--
-- Names of the host: bookings, id, status, table_holds, table_assignments
--
-- Whoever frees tables has the restaurant's counter until his transaction ends, and may change other bookings before it
-- does. A hold that waits for that counter must not keep him waiting, or the server ends one of the two. So it has
-- the lease's row in a way that nobody minds but who would take the lease.

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
        -- Long ago, and not now(): the clock is the app's. An attempt that has the lease may have found the booking
        -- seated or closed, and then decides that it is never due again: it is overtaken, as by a late result.
        INSERT INTO auto_assign_attempts AS attempt (booking_id, due_at)
        SELECT id, 'epoch' FROM unnest(reopened) AS id
        ON CONFLICT (booking_id) DO UPDATE
        SET overtaken = attempt.attempt_id IS NOT NULL,
            due_at = coalesce(attempt.expires_at, excluded.due_at), parked_at_version = NULL;
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

-- Sweeps what has expired, puts the booking's new hold in the place of an old one that a dead attempt left, and refuses
-- what is assigned or held by others with an exclusion violation, whose constraint tells which. It answers false unless
-- the attempt has the booking's lease still and the booking is open: a search that came back late takes nothing, neither from
-- its successor nor for a booking that has been confirmed or cancelled meanwhile.
CREATE OR REPLACE FUNCTION hold_tables(
    hold text, booking text, attempt text, restaurant text, tables text[], held_during tstzrange,
    moment timestamptz, held_until timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_variable
DECLARE
    wanted bookings.id%TYPE := booking;
    leased_to text;
    taken text;
BEGIN
    -- The booking's row first, as everywhere; so that it is not deleted meanwhile, and no confirm has to wait.
    PERFORM FROM bookings AS asked
    WHERE asked.id = wanted AND asked.status::text IN ('pending', 'pending_allocation')
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- Locked, so that the lease cannot pass on until this hold can be seen, and replaced, by whoever gets it. The store
    -- takes a lease's row FOR UPDATE, and waits; a change of status, which only says when the booking is due, does not.
    SELECT attempt_id INTO leased_to FROM auto_assign_attempts
    WHERE booking_id = booking AND expires_at > moment FOR KEY SHARE;
    IF leased_to IS DISTINCT FROM attempt THEN
        RETURN false;
    END IF;
    -- An exclusion constraint is checked after the row is in, so two holds at once would each find the other's and wait for
    -- it. They queue for the tables instead, in one order everywhere.
    PERFORM pg_advisory_xact_lock(lock)
    FROM (SELECT DISTINCT hashtextextended('assign-core table ' || name, 0) AS lock
          FROM unnest(tables) AS name ORDER BY lock) AS queue;
    PERFORM auto_assign_lock(ARRAY(
        SELECT restaurant_id FROM table_holds
        WHERE booking_id = booking OR (restaurant_id = restaurant AND expires_at <= moment)
    ));
    PERFORM sweep_expired_holds(restaurant, moment);
    DELETE FROM table_holds WHERE booking_id = booking;
    INSERT INTO table_holds (hold_id, table_id, booking_id, attempt_id, restaurant_id, during, expires_at)
    SELECT hold, name, booking, attempt, restaurant, held_during, held_until FROM unnest(tables) AS name;
    -- Afterwards, because the insert may have waited for a confirm whose hold was in its way: its tables are assigned now.
    SELECT table_id INTO taken FROM table_assignments
    WHERE table_id = ANY (tables) AND during && held_during AND booking_id <> booking LIMIT 1;
    IF FOUND THEN
        RAISE EXCLUSION_VIOLATION USING
            MESSAGE = format('table %s is assigned to another booking', taken),
            CONSTRAINT = 'no_overlapping_table_assignments';
    END IF;
    RETURN true;
END
$$;

-- What was closed before the trigger knew that it is never due any more, each poll has stepped over since. A row that is
-- in use is left alone: whoever has it says himself when it is due. The cost is a look at each booking that is due.
DO $$
DECLARE
    waiting text;
    wanted bookings.id%TYPE;
BEGIN
    FOR waiting IN SELECT booking_id FROM auto_assign_attempts WHERE due_at IS NOT NULL LOOP
        wanted := waiting;
        CONTINUE WHEN EXISTS (
            SELECT FROM bookings AS asked WHERE asked.id = wanted AND asked.status::text IN ('pending', 'pending_allocation')
        );
        PERFORM FROM auto_assign_attempts WHERE booking_id = waiting FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        -- Looked at again, because it may have been opened before the row was ours; from now on its trigger waits.
        UPDATE auto_assign_attempts SET due_at = NULL, parked_at_version = NULL
        WHERE booking_id = waiting AND NOT EXISTS (
            SELECT FROM bookings AS asked WHERE asked.id = wanted AND asked.status::text IN ('pending', 'pending_allocation')
        );
    END LOOP;
END
$$;
