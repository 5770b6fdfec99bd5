"""Values as PostgreSQL takes them: events as JSON that jsonb accepts whatever the texts in it are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from sqlalchemy import TextClause, text

from assign_core.events import Event
from assign_postgres.names import Names
from assign_wire.text import storable


def _clean(value: object) -> object:
    if isinstance(value, str):
        return storable(str(value))
    if isinstance(value, Mapping):
        return {storable(str(key)): _clean(each) for key, each in value.items()}
    return value


def event_rows(events: Sequence[Event]) -> str:
    """The events as a JSON array of ``observability_events`` rows."""
    return json.dumps(
        [
            {
                "at": event.at.isoformat(),
                "name": event.name.value,
                "severity": event.severity.value,
                "booking_id": _clean(event.booking_id),
                "attempt_id": _clean(event.attempt_id),
                "context": _clean(event.context),
            }
            for event in events
        ],
        ensure_ascii=False,
    )


def statement(names: Names, template: str) -> TextClause:
    """A statement with the host's names in it. Only what the template binds is bound, whatever the names look like."""
    marked = names.sql(re.sub(r"(?<![:\w]):(?=\w)", "\0", template))  # no name can contain the mark
    return text(marked.replace(":", "\\:").replace("\0", ":"))


def is_storable(identifier: str) -> bool:
    """Whether PostgreSQL can hold it at all; if not, no row has it."""
    return storable(identifier) == identifier
