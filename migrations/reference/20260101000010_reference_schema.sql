-- A complete small booking schema, for demonstrations, tests and hosts that start from nothing.
--
-- Two bookings never share a table at one time: an exclusion constraint says so, not a check in the program. Holds have
-- their own, which lets a booking's new hold overlap its old one: a booking is never in its own way.
--
-- PostgreSQL 15 or newer (NULLS NOT DISTINCT).

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE IF NOT EXISTS restaurants (
    id text PRIMARY KEY,
    name text NOT NULL,
    timezone text NOT NULL DEFAULT 'UTC',
    turnover interval NOT NULL DEFAULT '0' CHECK (turnover >= '0')
);

CREATE TABLE IF NOT EXISTS service_periods (
    restaurant_id text NOT NULL REFERENCES restaurants,
    name text NOT NULL,
    opens time NOT NULL,
    closes time NOT NULL,
    PRIMARY KEY (restaurant_id, name)
);

CREATE TABLE IF NOT EXISTS seating_durations (
    restaurant_id text NOT NULL REFERENCES restaurants,
    max_party integer CHECK (max_party > 0),
    stay interval NOT NULL CHECK (stay > '0'),
    UNIQUE NULLS NOT DISTINCT (restaurant_id, max_party)
);

CREATE TABLE IF NOT EXISTS restaurant_tables (
    id text PRIMARY KEY,
    restaurant_id text NOT NULL REFERENCES restaurants,
    zone text NOT NULL DEFAULT 'main',
    seats integer NOT NULL CHECK (seats > 0),
    min_party integer NOT NULL DEFAULT 1 CHECK (min_party BETWEEN 1 AND seats),
    movable boolean NOT NULL DEFAULT true,
    UNIQUE (id, restaurant_id)
);

CREATE INDEX IF NOT EXISTS restaurant_tables_restaurant ON restaurant_tables (restaurant_id);

CREATE TABLE IF NOT EXISTS table_adjacency (
    table_a text NOT NULL REFERENCES restaurant_tables ON DELETE CASCADE,
    table_b text NOT NULL REFERENCES restaurant_tables ON DELETE CASCADE,
    PRIMARY KEY (table_a, table_b),
    CHECK (table_a COLLATE "C" < table_b)
);

CREATE TABLE IF NOT EXISTS bookings (
    id text PRIMARY KEY,
    restaurant_id text NOT NULL REFERENCES restaurants,
    party_size integer NOT NULL CHECK (party_size > 0),
    start_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    zone text,
    customer_email text,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);

CREATE TABLE IF NOT EXISTS table_assignments (
    booking_id text NOT NULL REFERENCES bookings ON DELETE CASCADE,
    table_id text NOT NULL,
    restaurant_id text NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    PRIMARY KEY (booking_id, table_id),
    FOREIGN KEY (table_id, restaurant_id) REFERENCES restaurant_tables (id, restaurant_id),
    CONSTRAINT no_overlapping_table_assignments EXCLUDE USING gist (table_id WITH =, during WITH &&)
);

CREATE TABLE IF NOT EXISTS table_holds (
    hold_id text NOT NULL,
    table_id text NOT NULL,
    booking_id text NOT NULL REFERENCES bookings ON DELETE CASCADE,
    attempt_id text NOT NULL,
    restaurant_id text NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (hold_id, table_id),
    FOREIGN KEY (table_id, restaurant_id) REFERENCES restaurant_tables (id, restaurant_id),
    CONSTRAINT no_overlapping_table_holds
        EXCLUDE USING gist (table_id WITH =, during WITH &&, booking_id WITH <>)
);

CREATE INDEX IF NOT EXISTS table_holds_booking ON table_holds (booking_id);
CREATE INDEX IF NOT EXISTS table_holds_expiry ON table_holds (restaurant_id, expires_at);
