-- Who has which tables, and who holds them for a moment.
--
-- Names of the host: bookings, id, status, table_holds, table_assignments
--
-- Two bookings never share a table at one time: an exclusion constraint says so, not a check in the program. Holds have
-- their own, which lets a booking's new hold overlap its old one: a booking is never in its own way.
--
-- Ids of bookings, tables and restaurants are kept as text, whatever types the host's have, so these tables reference
-- none of the host's. A host that has tables of assignments already keeps them in step by a trigger on ours: it runs in
-- the confirm's transaction, and what it refuses is refused.

-- Everybody's temporary tables come last, instead of first: some functions act with their owner's rights, and must find
-- nothing but our own.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE IF NOT EXISTS table_assignments (
    booking_id text NOT NULL,
    table_id text NOT NULL,
    restaurant_id text NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    PRIMARY KEY (booking_id, table_id),
    CONSTRAINT no_overlapping_table_assignments EXCLUDE USING gist (table_id WITH =, during WITH &&)
);

CREATE TABLE IF NOT EXISTS table_holds (
    hold_id text NOT NULL,
    table_id text NOT NULL,
    booking_id text NOT NULL,
    attempt_id text NOT NULL,
    restaurant_id text NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (hold_id, table_id),
    CONSTRAINT no_overlapping_table_holds
        EXCLUDE USING gist (table_id WITH =, during WITH &&, booking_id WITH <>)
);

CREATE INDEX IF NOT EXISTS auto_assign_holds_booking ON table_holds (booking_id);
CREATE INDEX IF NOT EXISTS auto_assign_holds_expiry ON table_holds (restaurant_id, expires_at);

-- What is given back gets a number. Restaurants in order, so that two statements that free tables of several never wait
-- for each other. Who deletes or moves a row needs no rights on the numbers, so this is done with the owner's; hence
-- nobody may put these functions on a table of his own.
CREATE OR REPLACE FUNCTION free_former_assignments()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, during)
    FROM (
        SELECT restaurant_id, during, array_agg(table_id) AS tables
        FROM former
        GROUP BY restaurant_id, during ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION free_former_assignments() FROM PUBLIC;

CREATE OR REPLACE TRIGGER table_assignments_deleted
    AFTER DELETE ON table_assignments REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION free_former_assignments();

-- What a change keeps or lengthens gives nothing back.
CREATE OR REPLACE FUNCTION free_moved_assignments()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, during)
    FROM (
        SELECT restaurant_id, during, array_agg(table_id) AS tables
        FROM former
        WHERE NOT EXISTS (
            SELECT FROM latter
            WHERE latter.booking_id = former.booking_id AND latter.table_id = former.table_id
              AND latter.restaurant_id = former.restaurant_id AND latter.during @> former.during
        )
        GROUP BY restaurant_id, during ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION free_moved_assignments() FROM PUBLIC;

CREATE OR REPLACE TRIGGER table_assignments_moved
    AFTER UPDATE ON table_assignments REFERENCING OLD TABLE AS former NEW TABLE AS latter
    FOR EACH STATEMENT EXECUTE FUNCTION free_moved_assignments();

-- Before, because afterwards nobody knows what there was.
CREATE OR REPLACE FUNCTION free_all_assignments()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, during)
    FROM (
        SELECT restaurant_id, during, array_agg(table_id) AS tables
        FROM table_assignments
        GROUP BY restaurant_id, during ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION free_all_assignments() FROM PUBLIC;

CREATE OR REPLACE TRIGGER table_assignments_truncated
    BEFORE TRUNCATE ON table_assignments
    FOR EACH STATEMENT EXECUTE FUNCTION free_all_assignments();

-- A hold that a confirm has consumed frees nothing: the tables are the booking's now.
CREATE OR REPLACE FUNCTION free_former_holds()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, during)
    FROM (
        SELECT restaurant_id, during, array_agg(table_id) AS tables
        FROM former
        WHERE NOT EXISTS (
            SELECT FROM table_assignments AS assigned
            WHERE assigned.booking_id = former.booking_id AND assigned.table_id = former.table_id
              AND assigned.during @> former.during
        )
        GROUP BY restaurant_id, during ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION free_former_holds() FROM PUBLIC;

CREATE OR REPLACE TRIGGER table_holds_deleted
    AFTER DELETE ON table_holds REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION free_former_holds();

CREATE OR REPLACE FUNCTION free_moved_holds()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, during)
    FROM (
        SELECT restaurant_id, during, array_agg(table_id) AS tables
        FROM former
        WHERE NOT EXISTS (
            SELECT FROM table_assignments AS assigned
            WHERE assigned.booking_id = former.booking_id AND assigned.table_id = former.table_id
              AND assigned.during @> former.during
        ) AND NOT EXISTS (
            SELECT FROM latter
            WHERE latter.booking_id = former.booking_id AND latter.table_id = former.table_id
              AND latter.restaurant_id = former.restaurant_id AND latter.during @> former.during
        )
        GROUP BY restaurant_id, during ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION free_moved_holds() FROM PUBLIC;

CREATE OR REPLACE TRIGGER table_holds_moved
    AFTER UPDATE ON table_holds REFERENCING OLD TABLE AS former NEW TABLE AS latter
    FOR EACH STATEMENT EXECUTE FUNCTION free_moved_holds();

CREATE OR REPLACE FUNCTION free_all_holds()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, during)
    FROM (
        SELECT restaurant_id, during, array_agg(table_id) AS tables
        FROM table_holds AS held
        WHERE NOT EXISTS (
            SELECT FROM table_assignments AS assigned
            WHERE assigned.booking_id = held.booking_id AND assigned.table_id = held.table_id
              AND assigned.during @> held.during
        )
        GROUP BY restaurant_id, during ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION free_all_holds() FROM PUBLIC;

CREATE OR REPLACE TRIGGER table_holds_truncated
    BEFORE TRUNCATE ON table_holds
    FOR EACH STATEMENT EXECUTE FUNCTION free_all_holds();

-- Expired holds are nobody's: whoever needs to know what is free sweeps them first, and their tables count as freed.
CREATE OR REPLACE FUNCTION sweep_expired_holds(restaurant text, moment timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (SELECT FROM table_holds WHERE restaurant_id = restaurant AND expires_at <= moment) THEN
        PERFORM auto_assign_lock(ARRAY[restaurant]);
        DELETE FROM table_holds WHERE (hold_id, table_id) IN (
            SELECT hold_id, table_id FROM table_holds
            WHERE restaurant_id = restaurant AND expires_at <= moment
            FOR UPDATE SKIP LOCKED
        );
    END IF;
END
$$;

-- Giving a hold back, and taking one, each in one statement.
CREATE OR REPLACE FUNCTION release_holds(booking text, attempt text)
RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    released integer;
BEGIN
    PERFORM auto_assign_lock(ARRAY(
        SELECT restaurant_id FROM table_holds WHERE booking_id = booking AND attempt_id = attempt
    ));
    DELETE FROM table_holds WHERE booking_id = booking AND attempt_id = attempt;
    GET DIAGNOSTICS released = ROW_COUNT;
    RETURN released;
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
    -- Locked, so that the lease cannot pass on until this hold can be seen, and replaced, by whoever gets it.
    SELECT attempt_id INTO leased_to FROM auto_assign_attempts
    WHERE booking_id = booking AND expires_at > moment FOR SHARE;
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

-- The highest number of whatever has become free in a restaurant for a part of this time.
CREATE OR REPLACE FUNCTION auto_assign_version(restaurant text, wanted tstzrange, moment timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM sweep_expired_holds(restaurant, moment);
    RETURN coalesce((
        SELECT version FROM auto_assign_freed
        WHERE restaurant_id = restaurant AND during && wanted
        ORDER BY version DESC LIMIT 1
    ), 0);
END
$$;
