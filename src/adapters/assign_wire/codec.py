"""The two directions.

**Writing** leaves out what a reader understands from its absence, and only that: ``null`` for every optional key,
``revision`` 0, ``held`` false. ``v, source, lastAttemptAt, success, emailSent, attempt`` are always there: readers in
other languages rely on the older of them, and the meaning of a missing ``attempt`` depends on the source.

**The size is bounded by proof.** The largest blob with empty texts is made once, at import; what is left of
:data:`MAX_BYTES` is the texts' room. As long as they fit it nothing else needs measuring; when they do not, the blob
is measured as it is and the reason is cut, then the trigger, then the attempt id. The cause of a failure may stand in
the part that is cut off, so the reason is classified first and the code is written with what is left of it: storing a
result never changes what it means.

**Reading** drops nulls first, so that null and missing are one case, and turns every failure into a value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, cast

from assign_core.last_result import EmailVariant, LastResult, Source, Strategy, Unreadable
from assign_core.reasons import ReasonCode
from assign_wire.misfit import Misfit, shown
from assign_wire.read import MAX_INT, MIN_INT, read_json
from assign_wire.shape import JSON, MAX_BYTES, explain, fill, pour, without_nulls
from assign_wire.text import LARGEST_CHARACTER, SHORTEST_CUT, cut, inner_size, json_size

VERSION: Final = 1
"""The version of the format, written as ``v``. A larger one is read as far as it is known."""
_CUT_IN_ORDER: Final = ("reason", "trigger", "attemptId")


def _worst_rest() -> int:
    """Bytes of the largest blob whose texts are empty: what is left of :data:`MAX_BYTES` belongs to the texts."""
    latest = datetime.max.replace(tzinfo=UTC)
    largest = LastResult(
        source=max(Source, key=len),
        recorded_at=latest,
        success=False,
        reason="",
        reason_code=max(ReasonCode, key=len),
        strategy=Strategy(require_adjacency=False, max_tables=MAX_INT),
        trigger="",
        alternates=MAX_INT,
        duration_ms=MAX_INT,
        attempt_id="",
        attempt=MAX_INT,
        revision=MAX_INT,
        email_sent=False,
        email_variant=max(EmailVariant, key=len),
        held=True,
        capacity_version=MIN_INT,
        retry_after=latest,
    )
    return json_size({"v": VERSION} | pour(largest))


ROOM_FOR_TEXTS: Final = MAX_BYTES - _worst_rest()
"""Bytes that reason, trigger and attempt id may take together, whatever else a blob holds."""


def dumps(result: LastResult) -> dict[str, JSON]:
    """The JSON object that is stored for ``result``: a new dict, at most :data:`MAX_BYTES` bytes as JSON.

    ``loads(dumps(result)) == result`` unless something had to be changed to be storable at all:

    * U+0000 and surrogates in texts become U+FFFD;
    * numbers beyond 64 bits become the nearest that fits, and so do negative ones where only a count makes sense;
    * texts that do not fit are cut and end in ``…``: the reason first, then the trigger, then the attempt id. With a
      cut reason its code is written, so that :attr:`~assign_core.last_result.LastResult.classification` stays the same.

    What has been stored once is stable: ``dumps(loads(dumps(result))) == dumps(result)``.
    """
    blob: dict[str, JSON] = {"v": VERSION}
    blob.update(pour(result))
    letters = len(result.reason or "") + len(result.trigger or "") + len(result.attempt_id or "")
    if letters * LARGEST_CHARACTER > ROOM_FOR_TEXTS:
        _make_fit(blob, result)
    return blob


def _make_fit(blob: dict[str, JSON], result: LastResult) -> None:
    taken = sum(json_size(blob[key]) for key in _CUT_IN_ORDER if key in blob)
    if taken <= ROOM_FOR_TEXTS or json_size(blob) <= MAX_BYTES:
        return
    if "reasonCode" not in blob and inner_size(cast("str", blob.get("reason", ""))) > SHORTEST_CUT:
        found = result.classification
        if found is not None:
            blob["reasonCode"] = found.code.value
    for key in _CUT_IN_ORDER:
        excess = json_size(blob) - MAX_BYTES
        if excess > 0 and key in blob:
            text = cast("str", blob[key])
            blob[key] = cut(text, inner_size(text) - excess)


def loads(value: object) -> LastResult | Unreadable | None:
    """The result that a stored value holds. Total: whatever comes in, no exception comes out.

    Args:
        value: what the database gave for the column: a ``dict`` (``jsonb`` as psycopg gives it), JSON text as ``str``
            or UTF-8 ``bytes`` of at most :data:`~assign_wire.read.MAX_TEXT`, or ``None`` for SQL's NULL.

    Returns:
        ``None`` for NULL and for JSON's ``null``; the result; or :class:`~assign_core.last_result.Unreadable` with one
        sentence that names the key and the value at fault. Keys that are not known are ignored, nulls count as
        missing; of the keys only ``source``, ``lastAttemptAt`` and ``success`` have to be there. A missing ``attempt``
        is 0 for an inline attempt and 1 for a job's.
    """
    if value is None:
        return None
    try:
        blob = value if type(value) is dict else _object(value)
        return None if blob is None else _read(blob)
    except Misfit as misfit:
        return Unreadable(str(misfit))
    except Exception as error:  # noqa: BLE001 - a value from outside may raise anything from its own methods
        return Unreadable(f"the blob cannot be read: {type(error).__name__}")


def _object(value: object) -> dict[str, object] | None:
    """The JSON object that text says, or that a dict of another class is."""
    if issubclass(type(value), dict):
        return without_nulls(value)
    found = read_json(value)
    if found is not None and type(found) is not dict:
        raise Misfit(f"the blob is not a JSON object: {shown(found)}")
    return found


def _read(blob: dict[str, object]) -> LastResult:
    version = blob.get("v")
    if type(version) is int and version == VERSION and "attempt" in blob:
        # As dumps writes it, without nulls. If it is not, after all, it is another writer's.
        try:
            return fill(blob, LastResult)
        except (Misfit, KeyError):
            pass
    return _read_from_others(without_nulls(blob))


def _read_from_others(blob: dict[str, object]) -> LastResult:
    """What an older, a newer or a foreign writer left."""
    version = blob.get("v", VERSION)
    if type(version) is not int or not VERSION <= version <= MAX_INT:
        raise Misfit(f"v is not a version of the format, a whole number from {VERSION}: {shown(version)}")
    if "attempt" not in blob:
        blob["attempt"] = 1 if blob.get("source") == Source.JOB.value else 0
    try:
        return fill(blob, LastResult)
    except (Misfit, KeyError):
        raise Misfit(explain(blob)) from None
