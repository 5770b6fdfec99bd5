"""The README's example on PostgreSQL runs as it stands, on a database of the reference schema."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.once
def test_the_readmes_example_on_postgresql_confirms_a_booking(dsn: str) -> None:
    readme = README.read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python postgres\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO restaurants VALUES ('house', 'House', 'UTC', '0')")
        connection.execute("INSERT INTO seating_durations VALUES ('house', NULL, '90 minutes')")
        connection.execute("INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('large', 'house', 4)")
        connection.execute(
            "INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES ('b', 'house', 4, %s)",
            [datetime.now(UTC) + timedelta(hours=7)],
        )
    parts = conninfo_to_dict(dsn)
    url = URL.create(
        "postgresql+psycopg",
        username=str(parts["user"]),
        database=str(parts["dbname"]),
        query={name: str(parts[name]) for name in ("host", "port") if parts.get(name)},
    )
    names = {"dsn": url.render_as_string(hide_password=False), "booking_id": "b"}
    exec(compile(example, str(README), "exec"), names)  # noqa: S102 - our own documentation, run as a reader would
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT status FROM bookings").fetchall() == [("confirmed",)]
        assert connection.execute("SELECT count(*) > 0 FROM observability_events").fetchall() == [(True,)]
