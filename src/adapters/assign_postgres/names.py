"""How a host calls its things.

Identifiers cannot be bound like values, so each is quoted here, once, by PostgreSQL's rule: wrapped in double quotes,
with those inside doubled. A name may then hold anything that a host has dared to put into one, and never ends the
identifier.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import field, fields, frozen

_LONGEST: Final = 63
"""Bytes of an identifier; PostgreSQL cuts longer ones silently, and two long names would become one."""

TABLES: Final = ("bookings", "holds", "assignments")
"""Those of the names that are tables'."""


def quoted(name: str) -> str:
    """An identifier for use in SQL text."""
    return '"' + name.replace('"', '""') + '"'


def _identifier(_: object, attribute: object, value: str) -> None:
    label = getattr(attribute, "name", "name")
    if not value or "\x00" in value:
        raise ValueError(f"Names.{label} is {value!r}; pass a PostgreSQL identifier of 1 to {_LONGEST} bytes")
    if len(value.encode("utf-8", "replace")) > _LONGEST:
        raise ValueError(f"Names.{label} is {value!r}, {len(value)} characters; PostgreSQL keeps {_LONGEST} bytes only")


@frozen(kw_only=True)
class Names:
    """The host's schema, its bookings table, and the columns that assign-core reads and writes.

    ``holds`` and ``assignments`` are tables of assign-core's own, in the same schema; they can be called otherwise
    because a host may have tables of those names.

    Raises:
        ValueError: a name that PostgreSQL would not keep.
    """

    schema: str = field(default="public", validator=_identifier)
    bookings: str = field(default="bookings", validator=_identifier)
    id: str = field(default="id", validator=_identifier)
    status: str = field(default="status", validator=_identifier)
    start_at: str = field(default="start_at", validator=_identifier)
    revision: str = field(default="revision", validator=_identifier)
    last_result: str = field(default="auto_assign_last_result", validator=_identifier)
    idempotency_key: str = field(default="auto_assign_idempotency_key", validator=_identifier)
    holds: str = field(default="table_holds", validator=_identifier)
    assignments: str = field(default="table_assignments", validator=_identifier)

    def sql(self, template: str) -> str:
        """``template`` with ``{bookings}``, ``{id}``, ``{schema}`` and so on replaced by quoted identifiers.

        Tables are qualified; the columns are not. Other braces stay as they are.
        """
        known = {attribute.name: quoted(getattr(self, attribute.name)) for attribute in fields(Names)}
        for table in TABLES:
            known[table] = f"{known['schema']}.{known[table]}"
        return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), template)
