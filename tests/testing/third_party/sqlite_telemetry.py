"""Telemetry into a table of the adapter's file: each event a row, in the order in which they came."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlite_adapter import Database, moment, number

from assign_core.events import Event, EventName, Severity

SCHEMA = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY, at INTEGER, name TEXT, severity TEXT, booking_id TEXT, attempt_id TEXT, context TEXT)"""


class SqliteTelemetry:
    """:class:`assign_core.ports.Telemetry` on SQLite. The store keeps no events, so none are stored before."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.run(SCHEMA)

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        if stored:
            return
        with self._db.transaction():
            for each in events:
                values = (number(each.at), each.name.value, each.severity.value, each.booking_id, each.attempt_id)
                # JSON escapes what a column cannot hold, such as half a character.
                context = json.dumps(dict(each.context))
                self._db.run("INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?)", *values, context)

    def events(self) -> list[Event]:
        """All of them, the oldest first."""
        return [
            Event(
                EventName(row["name"]),
                Severity(row["severity"]),
                moment(row["at"]),
                row["booking_id"],
                row["attempt_id"],
                json.loads(row["context"]),
            )
            for row in self._db.run("SELECT * FROM events ORDER BY id")
        ]
