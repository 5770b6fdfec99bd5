"""assign_wire: a LastResult as the JSON object that is stored on its booking, and back.

Two programs share the column: a TypeScript inline flow and a Python job, each in several versions at once. So the
format is read liberally in what may be *absent* (keys of later versions, keys of versions to come) and strictly in
what is *there* (a string is not a number, a bool is not an int), because a guess about a stored value would become
a decision about a guest. What does not fit is :class:`~assign_core.last_result.Unreadable`, a value like any other:
one bad row never stops a queue.

The rooms: :mod:`~assign_wire.codec` (the two directions), :mod:`~assign_wire.shape` (the keys, for cattrs),
:mod:`~assign_wire.read` and :mod:`~assign_wire.times` (what fits), :mod:`~assign_wire.misfit` (what is said of the
rest), :mod:`~assign_wire.text` (what can be stored), :mod:`~assign_wire.schema` (the published JSON Schema).
"""

from __future__ import annotations

from assign_wire.codec import VERSION, dumps, loads
from assign_wire.read import MAX_TEXT
from assign_wire.schema import schema
from assign_wire.shape import JSON, KEYS, MAX_BYTES

__all__ = ["JSON", "KEYS", "MAX_BYTES", "MAX_TEXT", "VERSION", "dumps", "loads", "schema"]
