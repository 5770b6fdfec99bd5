-- Capacity versions: what has become free, in the order in which it was committed.
--
-- A number is taken by updating the restaurant's counter row, so that row's lock makes the order of numbers the order of
-- commits. A sequence would not: number 9 could be committed after a search had already seen number 10, and a booking
-- parked at 10 would never hear of it.
--
-- What is asked is always the highest number that overlaps a window. So a row says nothing any more once a later one for
-- the same table covers its time, and goes; and so do those whose time is over. Both are found by the end of their time,
-- so what a number costs does not grow with what happened to the table before.

-- Everybody's temporary tables come last, instead of first: some functions act with their owner's rights, and must find
-- nothing but our own.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

CREATE TABLE IF NOT EXISTS auto_assign_capacity (
    restaurant_id text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS auto_assign_freed (
    restaurant_id text NOT NULL,
    version bigint NOT NULL,
    table_id text NOT NULL,
    during tstzrange NOT NULL,
    PRIMARY KEY (restaurant_id, version, table_id)
);

CREATE INDEX IF NOT EXISTS auto_assign_freed_until
    ON auto_assign_freed (table_id, coalesce(upper(during), 'infinity'::timestamptz));

-- Call it in the transaction that frees tables: a cancellation, a table added, a hold given back, a party that shrinks.
-- A time that is not known (NULL) is all time: to search once too often is cheap, to miss a change is not.
CREATE OR REPLACE FUNCTION auto_assign_free(restaurant text, tables text[], free_during tstzrange)
RETURNS bigint
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    WITH counted AS (
        INSERT INTO auto_assign_capacity AS counter (restaurant_id, version)
        SELECT restaurant, 1 WHERE cardinality(tables) > 0
        ON CONFLICT (restaurant_id) DO UPDATE SET version = counter.version + 1
        RETURNING version
    ), covered AS (
        -- Joined with the number, so that no row is touched before the counter's lock is held.
        DELETE FROM auto_assign_freed AS earlier USING counted
        WHERE earlier.restaurant_id = restaurant AND earlier.table_id = ANY (tables)
          AND earlier.version < counted.version
          -- What is covered ends within: the index's way to it.
          AND coalesce(upper(earlier.during), 'infinity'::timestamptz) > coalesce(lower(free_during), '-infinity')
          AND coalesce(upper(earlier.during), 'infinity'::timestamptz) <= coalesce(upper(free_during), 'infinity')
          AND earlier.during <@ coalesce(free_during, tstzrange(NULL, NULL))
    ), past AS (
        -- Nobody books what was over a day ago; by the server's clock, and by the booking's, whichever is behind.
        DELETE FROM auto_assign_freed AS earlier USING counted
        WHERE earlier.restaurant_id = restaurant AND earlier.table_id = ANY (tables)
          AND earlier.version < counted.version
          AND coalesce(upper(earlier.during), 'infinity'::timestamptz)
              < least(now(), lower(free_during)) - interval '1 day'
    ), noted AS (
        INSERT INTO auto_assign_freed (restaurant_id, version, table_id, during)
        SELECT restaurant, counted.version, freed, coalesce(free_during, tstzrange(NULL, NULL))
        FROM counted CROSS JOIN (SELECT DISTINCT unnest(tables) AS freed) AS each
    )
    SELECT version FROM counted
$$;

-- Whoever frees what others may be waiting for locks the counters first, and what it deletes after them: with one order
-- for all, nobody waits for whom he keeps waiting.
CREATE OR REPLACE FUNCTION auto_assign_lock(restaurants text[])
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    restaurant text;
BEGIN
    FOR restaurant IN SELECT DISTINCT name FROM unnest(restaurants) AS name ORDER BY name LOOP
        PERFORM FROM auto_assign_capacity WHERE restaurant_id = restaurant FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            INSERT INTO auto_assign_capacity (restaurant_id) VALUES (restaurant) ON CONFLICT DO NOTHING;
            PERFORM FROM auto_assign_capacity WHERE restaurant_id = restaurant FOR NO KEY UPDATE;
        END IF;
    END LOOP;
END
$$;

-- The store asks for a booking's version here. NULL: none is kept, and the policy goes by the age of a result alone. A
-- host that keeps versions replaces it; the reference schema does. Where nothing finer is known, auto_assign_version() of
-- the booking's restaurant and window is a version that misses nothing.
DO $$
BEGIN
    IF to_regprocedure('booking_capacity_version(text, timestamptz)') IS NULL THEN
        CREATE FUNCTION booking_capacity_version(booking text, moment timestamptz)
        RETURNS bigint LANGUAGE sql AS 'SELECT NULL::bigint';
    END IF;
END
$$;
