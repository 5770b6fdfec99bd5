-- Who could be helped by what became free, in the reference schema.
--
-- booking_capacity_version() answers for one booking: the highest number among the tables that are free throughout its
-- window now and that, alone or with all other free tables of their zone, are large enough for its party. A search that
-- failed at version v fails again while the version is at most v: if it succeeded now, one of its tables was not free
-- then, has been freed since, and so has a higher number; and it helps now.
--
-- So whatever lets a search succeed must give a number to the tables it concerns: seats that are given back, and also a
-- rule that changes (a table added, one put beside another, a shorter stay, a zone lock lifted). The triggers see to it.

-- The stay counts in hours that pass, whatever the clock on the wall does that night. Parties beyond the last step stay as
-- long as the last step says.
CREATE OR REPLACE FUNCTION booking_window(restaurant text, party integer, start_at timestamptz)
RETURNS tstzrange
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT tstzrange(start_at, start_at + make_interval(secs => extract(epoch FROM fitting.stay + house.turnover)::float8))
    FROM restaurants AS house
    CROSS JOIN LATERAL (
        SELECT stay FROM seating_durations
        WHERE restaurant_id = house.id
        ORDER BY (max_party < party) IS TRUE, abs(max_party - party) NULLS LAST LIMIT 1
    ) AS fitting
    WHERE house.id = restaurant
$$;

CREATE OR REPLACE FUNCTION booking_capacity_version(booking text, moment timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    wanted record;
    newest bigint;
BEGIN
    SELECT restaurant_id, party_size, booking_window(restaurant_id, party_size, start_at) AS during
    INTO wanted FROM bookings WHERE id = booking;
    IF wanted.during IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM sweep_expired_holds(wanted.restaurant_id, moment);
    WITH free AS (
        SELECT id, seats, movable, sum(seats) FILTER (WHERE movable) OVER (PARTITION BY zone) AS together
        FROM restaurant_tables AS one
        WHERE restaurant_id = wanted.restaurant_id
          AND NOT EXISTS (
              SELECT FROM table_assignments
              WHERE table_id = one.id AND during && wanted.during AND booking_id <> booking
          )
          AND NOT EXISTS (
              SELECT FROM table_holds
              WHERE table_id = one.id AND during && wanted.during AND booking_id <> booking
          )
    )
    SELECT coalesce(max(freed.version), 0) INTO newest
    FROM free
    JOIN auto_assign_freed AS freed
      ON freed.restaurant_id = wanted.restaurant_id
     AND freed.table_id = free.id
     AND coalesce(upper(freed.during), 'infinity'::timestamptz) > lower(wanted.during)
     AND freed.during && wanted.during
    WHERE free.seats >= wanted.party_size OR (free.movable AND free.together >= wanted.party_size);
    RETURN newest;
END
$$;

-- Restaurants in order, here and below, so that two statements that free tables of several never wait for each other.
CREATE OR REPLACE FUNCTION free_changed_tables()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, NULL)
    FROM (
        SELECT restaurant_id, array_agg(id) AS tables FROM changed GROUP BY restaurant_id ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER restaurant_tables_added
    AFTER INSERT ON restaurant_tables REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION free_changed_tables();

CREATE OR REPLACE TRIGGER restaurant_tables_changed
    AFTER UPDATE ON restaurant_tables REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION free_changed_tables();

-- Two tables put beside each other seat parties that neither could.
CREATE OR REPLACE FUNCTION free_joined_tables()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, NULL)
    FROM (
        SELECT restaurant_id, array_agg(id) AS tables FROM restaurant_tables
        WHERE id IN (SELECT table_a FROM changed UNION SELECT table_b FROM changed)
        GROUP BY restaurant_id ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER table_adjacency_added
    AFTER INSERT ON table_adjacency REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION free_joined_tables();

CREATE OR REPLACE TRIGGER table_adjacency_changed
    AFTER UPDATE ON table_adjacency REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION free_joined_tables();

-- Shorter stays fit into gaps that were too short, and longer services end later. Rare, so any change counts, for the
-- whole house and all time.
CREATE OR REPLACE FUNCTION free_whole_house()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    -- The rows as JSON, because the tables call the restaurant differently, and NEW or OLD may be missing.
    houses text[] := ARRAY[
        coalesce(to_jsonb(OLD) ->> 'restaurant_id', to_jsonb(OLD) ->> 'id'),
        coalesce(to_jsonb(NEW) ->> 'restaurant_id', to_jsonb(NEW) ->> 'id')
    ];
BEGIN
    PERFORM auto_assign_free(restaurant_id, tables, NULL)
    FROM (
        SELECT restaurant_id, array_agg(id) AS tables FROM restaurant_tables
        WHERE restaurant_id = ANY (houses) GROUP BY restaurant_id ORDER BY restaurant_id
    ) AS each;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER seating_durations_changed
    AFTER INSERT OR UPDATE OR DELETE ON seating_durations
    FOR EACH ROW EXECUTE FUNCTION free_whole_house();

CREATE OR REPLACE TRIGGER service_periods_changed
    AFTER INSERT OR UPDATE OR DELETE ON service_periods
    FOR EACH ROW EXECUTE FUNCTION free_whole_house();

CREATE OR REPLACE TRIGGER restaurants_changed
    AFTER UPDATE OF turnover, timezone ON restaurants
    FOR EACH ROW WHEN ((NEW.turnover, NEW.timezone) IS DISTINCT FROM (OLD.turnover, OLD.timezone))
    EXECUTE FUNCTION free_whole_house();

-- A zone lock that is lifted or moved: the same search looks elsewhere now. Not a revision, because the guest need not know.
CREATE OR REPLACE FUNCTION free_new_zone()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM auto_assign_free(
        NEW.restaurant_id,
        (
            SELECT array_agg(id) FROM restaurant_tables
            WHERE restaurant_id = NEW.restaurant_id AND (NEW.zone IS NULL OR zone = NEW.zone)
        ),
        booking_window(NEW.restaurant_id, NEW.party_size, NEW.start_at)
    );
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER bookings_rezoned
    AFTER UPDATE OF zone ON bookings
    FOR EACH ROW WHEN (NEW.zone IS DISTINCT FROM OLD.zone)
    EXECUTE FUNCTION free_new_zone();

-- A guest's or the staff's modification is a new revision, to be assigned anew.
CREATE OR REPLACE FUNCTION revise_booking()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF (NEW.restaurant_id, NEW.party_size, NEW.start_at)
        IS DISTINCT FROM (OLD.restaurant_id, OLD.party_size, OLD.start_at) THEN
        NEW.revision := OLD.revision + 1;
        IF NEW.status IN ('confirmed', 'checked_in', 'pending_allocation') THEN
            NEW.status := 'pending';
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER bookings_revised
    BEFORE UPDATE OF restaurant_id, party_size, start_at ON bookings
    FOR EACH ROW EXECUTE FUNCTION revise_booking();
