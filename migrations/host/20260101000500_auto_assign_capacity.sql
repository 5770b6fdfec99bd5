-- Capacity versions: what has become free, in the order in which it was committed.
--
-- A number is taken by updating the restaurant's counter row, so that row's lock makes the order of numbers the order of
-- commits. A sequence would not: number 9 could be committed after a search had already seen number 10, and a booking
-- parked at 10 would never hear of it.
--
-- What is asked is always the highest number that overlaps a window. So a row says nothing any more once a later one for
-- the same table covers its time, and goes; and an index by the end of the time leaves the past alone.

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
          AND earlier.during <@ coalesce(free_during, tstzrange(NULL, NULL))
    ), noted AS (
        INSERT INTO auto_assign_freed (restaurant_id, version, table_id, during)
        SELECT restaurant, counted.version, freed, coalesce(free_during, tstzrange(NULL, NULL))
        FROM counted CROSS JOIN (SELECT DISTINCT unnest(tables) AS freed) AS each
    )
    SELECT version FROM counted
$$;
