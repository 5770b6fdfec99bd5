-- Taking and giving back a hold, each in one statement. That a hold which is gone frees its tables is its trigger's business.
--
-- hold_tables() sweeps what has expired, puts the booking's new hold in the place of an old one that a dead attempt left,
-- and refuses what is assigned or held by others with an exclusion violation, whose constraint tells which. It answers
-- false for an attempt that no longer has the booking's lease: a search that came back late takes nothing from its
-- successor.

CREATE OR REPLACE FUNCTION release_holds(booking text, attempt text)
RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    released integer;
BEGIN
    DELETE FROM table_holds WHERE booking_id = booking AND attempt_id = attempt;
    GET DIAGNOSTICS released = ROW_COUNT;
    RETURN released;
END
$$;

CREATE OR REPLACE FUNCTION hold_tables(
    hold text, booking text, attempt text, restaurant text, tables text[], held_during tstzrange,
    moment timestamptz, held_until timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    leased_to text;
    taken text;
BEGIN
    -- Locked, so that the lease cannot pass on until this hold can be seen, and replaced, by whoever gets it.
    SELECT attempt_id INTO leased_to FROM auto_assign_attempts WHERE booking_id = booking FOR SHARE;
    IF leased_to <> attempt THEN
        RETURN false;
    END IF;
    -- An exclusion constraint is checked after the row is in, so two holds at once would each find the other's and wait for
    -- it. They queue for the tables instead, in one order everywhere.
    PERFORM FROM restaurant_tables WHERE id = ANY (tables) ORDER BY id COLLATE "C" FOR NO KEY UPDATE;
    PERFORM sweep_expired_holds(restaurant, moment);
    DELETE FROM table_holds WHERE booking_id = booking;
    INSERT INTO table_holds (hold_id, table_id, booking_id, attempt_id, restaurant_id, during, expires_at)
    SELECT hold, wanted, booking, attempt, restaurant, held_during, held_until FROM unnest(tables) AS wanted;
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
