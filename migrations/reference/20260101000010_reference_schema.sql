-- A complete small booking schema, for demonstrations, tests and hosts that start from nothing.
-- What assign-core keeps beside it, holds and assignments too, is the host group's, which this group includes.
--
-- PostgreSQL 15 or newer (NULLS NOT DISTINCT).

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
