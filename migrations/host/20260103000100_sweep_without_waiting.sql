-- A sweep of expired holds waits for nobody.
--
-- Names of the host: table_holds
--
-- Whoever asks for versions sweeps, and may ask for those of several restaurants in one statement, in any order; the
-- others lock the counters in the order of their names, and would wait for him while he waits for them. So a restaurant
-- whose counter somebody has is left alone: its expired holds get their number from the next sweep, and whoever was
-- parked meanwhile hears of that. Those who must have the holds gone lock the counter first, as hold_tables() does.

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

CREATE OR REPLACE FUNCTION sweep_expired_holds(restaurant text, moment timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (SELECT FROM table_holds WHERE restaurant_id = restaurant AND expires_at <= moment) THEN
        -- A restaurant's first counter has to be made; only who makes it at the same time is waited for, once in its life.
        INSERT INTO auto_assign_capacity (restaurant_id)
        SELECT restaurant WHERE NOT EXISTS (SELECT FROM auto_assign_capacity WHERE restaurant_id = restaurant)
        ON CONFLICT DO NOTHING;
        PERFORM FROM auto_assign_capacity WHERE restaurant_id = restaurant FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            DELETE FROM table_holds WHERE (hold_id, table_id) IN (
                SELECT hold_id, table_id FROM table_holds
                WHERE restaurant_id = restaurant AND expires_at <= moment
                FOR UPDATE SKIP LOCKED
            );
        END IF;
    END IF;
END
$$;
