"""The shape of the blob, told once to cattrs.

One table of keys and one strict hook for each type make two functions, generated when the module is imported: one fills
a LastResult, one pours it out. The filling one stops at the first value that does not fit and does not know its key.
Only then a second converter, with cattrs' detailed validation, goes over the same blob to find the words for it, so
that good blobs pay nothing for the error messages of bad ones.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, cast, get_args, get_origin

from attrs import evolve
from cattrs import ClassValidationError, Converter
from cattrs.errors import AttributeValidationNote
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from assign_core.last_result import EmailVariant, LastResult, Source, Strategy
from assign_core.reasons import ReasonCode
from assign_core.word import Word
from assign_wire import read
from assign_wire.misfit import Misfit, shown
from assign_wire.read import MAX_INT, MIN_INT
from assign_wire.text import storable
from assign_wire.times import read_moment, write_time

JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"
"""A JSON value as Python's :mod:`json` gives it."""

MAX_BYTES: Final = 1024
"""No blob takes more bytes than this, as compact JSON in UTF-8 or in the text form of ``jsonb``."""

KEYS: Final = {
    "source": "source",
    "recorded_at": "lastAttemptAt",
    "success": "success",
    "reason": "reason",
    "reason_code": "reasonCode",
    "strategy": "strategy",
    "trigger": "trigger",
    "alternates": "alternates",
    "duration_ms": "durationMs",
    "attempt_id": "attemptId",
    "attempt": "attempt",
    "revision": "revision",
    "email_sent": "emailSent",
    "email_variant": "emailVariant",
    "held": "held",
    "capacity_version": "capacityVersion",
    "retry_after": "retryAfter",
}
"""The key of each attribute of :class:`~assign_core.last_result.LastResult`. Besides these a blob has ``v``."""
STRATEGY_KEYS: Final = {"require_adjacency": "requireAdjacency", "max_tables": "maxTables"}
"""The same for :class:`~assign_core.last_result.Strategy`."""
_ALWAYS: Final = {"email_sent", "attempt"}


def _write_text(text: str) -> str:
    # Beyond MAX_BYTES characters it is certain to be cut again, however long it is.
    return storable(text[: MAX_BYTES + 1])


def _write_whole(number: int) -> int:
    return min(max(int(number), MIN_INT), MAX_INT)


def _write_count(number: int) -> int:
    return number if type(number) is int and 0 <= number <= MAX_INT else max(0, _write_whole(number))


def _strip_optional(kind: object) -> object:
    """``T`` of ``T | None``; ``None`` for any other type."""
    arguments = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    inner = [argument for argument in arguments if argument is not NoneType]
    return inner[0] if len(arguments) == 2 and len(inner) == 1 else None


def _converter(*, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed)
    converter.register_structure_hook(str, read.read_text)
    converter.register_structure_hook(int, read.read_count)
    converter.register_structure_hook(bool, read.read_flag)
    converter.register_structure_hook(datetime, read_moment)
    converter.register_structure_hook(Source, read.read_source)
    converter.register_structure_hook(ReasonCode, read.read_code)
    converter.register_structure_hook(EmailVariant, read.read_variant)
    converter.register_unstructure_hook(str, _write_text)
    converter.register_unstructure_hook(int, _write_count)
    converter.register_unstructure_hook(bool, bool)
    converter.register_unstructure_hook(datetime, write_time)
    converter.register_unstructure_hook(Word, str.__str__)  # the plain string that the member is
    # Nulls are dropped before reading and left out in writing, so the hooks of T serve T | None.
    converter.register_structure_hook_factory(
        lambda kind: _strip_optional(kind) is not None,
        lambda kind: converter.get_structure_hook(_strip_optional(kind)),
    )
    converter.register_unstructure_hook_factory(
        lambda kind: _strip_optional(kind) is not None,
        lambda kind: converter.get_unstructure_hook(_strip_optional(kind)),
    )

    names: dict[str, Any] = {name: override(rename=key) for name, key in STRATEGY_KEYS.items()}
    fill_strategy = make_dict_structure_fn(Strategy, converter, **names)

    def read_strategy(value: object, kind: type[Strategy]) -> Strategy:
        clean = value if type(value) is dict and None not in value.values() else without_nulls(value)
        return fill_strategy(clean, kind)

    converter.register_structure_hook(Strategy, read_strategy)
    converter.register_unstructure_hook(
        Strategy, make_dict_unstructure_fn(Strategy, converter, _cattrs_omit_if_default=True, **names)
    )

    names = {name: override(rename=key, omit_if_default=name not in _ALWAYS) for name, key in KEYS.items()}
    names["duration_ms"] = evolve(names["duration_ms"], struct_hook=read.read_duration)
    names["capacity_version"] = evolve(
        names["capacity_version"], struct_hook=read.read_whole, unstruct_hook=_write_whole
    )
    converter.register_structure_hook(LastResult, make_dict_structure_fn(LastResult, converter, **names))
    converter.register_unstructure_hook(LastResult, make_dict_unstructure_fn(LastResult, converter, **names))
    return converter


def without_nulls(value: object) -> dict[str, object]:
    """The keys of a JSON object that have a value."""
    if not issubclass(type(value), dict):
        raise Misfit(f"is not an object: {shown(value)}")
    return {key: item for key, item in cast("dict[str, object]", value).items() if item is not None}


_FAST: Final = _converter(detailed=False)
_DETAILED: Final = _converter(detailed=True)

fill: Final[Callable[[dict[str, object], type[LastResult]], LastResult]] = _FAST.get_structure_hook(LastResult)
"""The result that a blob without nulls holds; stops at the first value that does not fit."""
pour: Final[Callable[[LastResult], dict[str, JSON]]] = _FAST.get_unstructure_hook(LastResult)
"""A result as a blob without ``v``, its texts not yet cut to size."""


def explain(blob: dict[str, object]) -> str:
    """Which key of a blob that :data:`fill` refused does not fit, and why: one sentence."""
    try:
        _DETAILED.structure(blob, LastResult)
    except ClassValidationError as errors:
        return _first_misfit(errors, KEYS)
    return "the blob reads differently each time"


def _first_misfit(errors: ClassValidationError, keys: dict[str, str]) -> str:
    error = errors.exceptions[0]
    note = next(note for note in error.__notes__ if isinstance(note, AttributeValidationNote))
    key = keys[note.name]
    if isinstance(error, ClassValidationError):
        return f"{key}.{_first_misfit(error, STRATEGY_KEYS)}"
    return f"{key} {error}" if isinstance(error, Misfit) else f"{key} is missing"
