"""Reading a stored result by three libraries: the same keys, types, aliases and defaults.

Ours does more than check types (times come in UTC, what cannot be read is a value and not an exception, codes of a
newer version are let pass), and that is part of what its reading costs. That the others take the same from the same
blob is checked before anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from benchmarks.micro.library import library

from assign_core import LastResult
from assign_wire import loads

TYPICAL: Final[Mapping[str, object]] = {
    "v": 1,
    "source": "inline",
    "lastAttemptAt": "2025-11-15T00:40:13.242518Z",
    "success": False,
    "reason": "Hold conflicts prevented all candidates",
    "reasonCode": "hold_conflict",
    "strategy": {"requireAdjacency": True, "maxTables": 3},
    "trigger": "creation",
    "alternates": 2,
    "durationMs": 12005,
    "attemptId": "00ada6f5-b46b-4f67-9e6d-48b589b24d59",
    "attempt": 0,
    "emailSent": False,
    "capacityVersion": 4711,
}

_FIELDS: Final[Mapping[str, tuple[Any, Any]]] = {
    "source": (Literal["inline", "job"], ...),
    "lastAttemptAt": (datetime, ...),
    "success": (bool, ...),
    "v": (int, 1),
    "reason": (str | None, None),
    "reasonCode": (str | None, None),
    "trigger": (str | None, None),
    "alternates": (int | None, None),
    "durationMs": (int | None, None),
    "attemptId": (str | None, None),
    "attempt": (int, 0),
    "revision": (int, 0),
    "emailSent": (bool, False),
    "emailVariant": (str | None, None),
    "held": (bool, False),
    "capacityVersion": (int | None, None),
    "retryAfter": (datetime | None, None),
}
_STRATEGY: Final[Mapping[str, tuple[Any, Any]]] = {
    "requireAdjacency": (bool | None, None),
    "maxTables": (int | None, None),
}

FromObject = Callable[[Mapping[str, object]], Any]
FromText = Callable[[str], Any]


def pydantic() -> tuple[FromObject, FromText]:
    """From an object and from text."""
    module = library("pydantic")
    strict = module.ConfigDict(strict=False, frozen=True)
    strategy = module.create_model("Strategy", __config__=strict, **_STRATEGY)
    model = module.create_model("Blob", __config__=strict, strategy=(strategy | None, None), **_FIELDS)
    return model.model_validate, model.model_validate_json


def msgspec() -> tuple[FromObject, FromText]:
    """From an object and from text."""
    module = library("msgspec")

    def struct(name: str, fields: Mapping[str, tuple[Any, Any]]) -> Any:
        rows = [(key, kind) if default is ... else (key, kind, default) for key, (kind, default) in fields.items()]
        return module.defstruct(name, rows, kw_only=True, frozen=True)

    model = struct("Blob", {**_FIELDS, "strategy": (struct("Strategy", _STRATEGY) | None, None)})
    decoder = module.json.Decoder(model)
    return lambda blob: module.convert(blob, model), decoder.decode


def ours() -> tuple[FromObject, FromText]:
    """From an object and from text."""
    return loads, loads


def check(reader: FromObject | FromText, blob: Any) -> None:
    """Raises ``AssertionError`` if ``reader`` does not take from the typical blob what ours does."""
    expected, found = loads(blob), reader(blob)
    assert isinstance(expected, LastResult)
    if isinstance(found, LastResult):
        return
    pairs = {
        "source": expected.source.value,
        "lastAttemptAt": expected.recorded_at,
        "success": expected.success,
        "reason": expected.reason,
        "durationMs": expected.duration_ms,
        "capacityVersion": expected.capacity_version,
        "attemptId": expected.attempt_id,
        "revision": expected.revision,
    }
    assert {key: getattr(found, key) for key in pairs} == pairs
    assert expected.strategy is not None
    assert (found.strategy.requireAdjacency, found.strategy.maxTables) == (
        expected.strategy.require_adjacency,
        expected.strategy.max_tables,
    )
