"""What may stand in the column of the stored result: ours, an older writer's, a newer one's, damage, and malice.

A blob comes as the database driver gives it: a ``dict`` (``jsonb`` as psycopg reads it), JSON text, or UTF-8 bytes. The
shapes are written out here key by key, and not made by :func:`assign_wire.dumps`, so that a mistake in writing cannot
hide a mistake in reading.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from hypothesis import strategies as st

from assign_core.reasons import ReasonCode

REQUIRED: Final = ("source", "lastAttemptAt", "success")
"""Keys without which nothing can be read."""
LONGEST: Final = 16_384
"""Characters, of a text or of one string in it, beyond which a blob is not looked at."""

_TIMES: Final = st.sampled_from(
    (
        "2026-01-09T12:00:00Z",
        "2026-01-09T12:00:00.242Z",
        "2026-01-09T12:00:00.242123+00:00",
        "2026-01-09 12:00:00.242123+00",
        "2026-01-09T13:00:00.242123456+01:00",
    )
)
_COUNTS: Final = st.integers(0, 12) | st.just(2**63 - 1)
_TEXTS: Final = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
_NEEDED: Final[dict[str, st.SearchStrategy[object]]] = {
    "source": st.sampled_from(("inline", "job")),
    "lastAttemptAt": _TIMES,
    "success": st.booleans(),
}
# What the system that this one interoperates with has always written, and what came later.
_OLDER: Final[dict[str, st.SearchStrategy[object]]] = {
    "reason": st.none() | st.sampled_from(("INLINE_TIMEOUT", "No suitable tables available")) | _TEXTS,
    "strategy": st.none()
    | st.fixed_dictionaries(
        {}, optional={"requireAdjacency": st.none() | st.booleans(), "maxTables": st.none() | _COUNTS}
    ),
    "trigger": st.none() | st.sampled_from(("creation", "modification", "queue")),
    "alternates": st.none() | _COUNTS,
    "durationMs": st.none() | _COUNTS | st.floats(0, 1e6),
    "attemptId": st.none() | st.uuids().map(str),
    "emailSent": st.none() | st.booleans(),
    "emailVariant": st.none() | st.sampled_from(("standard", "modified")),
}
_LATER: Final[dict[str, st.SearchStrategy[object]]] = {
    "reasonCode": st.none() | st.sampled_from(ReasonCode).map(str),
    "attempt": st.none() | _COUNTS,
    "revision": st.none() | st.integers(0, 2) | _COUNTS,
    "held": st.none() | st.booleans(),
    "capacityVersion": st.none() | st.integers(-1, 2),
    "retryAfter": st.none() | _TIMES,
}
_NEWER: Final[dict[str, st.SearchStrategy[object]]] = {
    "v": st.integers(2, 9),
    "reasonCode": st.just("a_code_to_come"),
    "emailVariant": st.just("a_variant_to_come"),
    "confidence": st.floats(0, 1),
    "planner": st.dictionaries(_TEXTS, st.lists(st.integers())),
}

# By kind of key, what does not fit. All of it can stand in JSON.
_NO_TEXT: Final[tuple[object, ...]] = (5, True, 1.5, ["x"], {"a": 1})
_NO_COUNT: Final[tuple[object, ...]] = ("3", -1, 1.5, True, 2**63, [], {})
_NO_FLAG: Final[tuple[object, ...]] = (0, 1, "true", "", [], {})
_NO_TIME: Final[tuple[object, ...]] = (
    "",
    "yesterday",
    "2026-01-09T12:00:00",
    "2026-02-30T12:00:00Z",
    "9999-12-31T23:59:59-01:00",
    0,
    [],
)
_MISFITS: Final[dict[str, tuple[object, ...]]] = {
    "v": ("1", True, 1.5, 0, [1]),
    "source": ("web", "INLINE", "", *_NO_TEXT),
    "lastAttemptAt": _NO_TIME,
    "success": _NO_FLAG,
    "reason": _NO_TEXT,
    "reasonCode": _NO_TEXT,
    "strategy": ("", 1, [], {"maxTables": -1}, {"requireAdjacency": "yes"}),
    "trigger": _NO_TEXT,
    "alternates": _NO_COUNT,
    "durationMs": ("3", -1, -0.5, True, 2**63, [], {}),
    "attemptId": _NO_TEXT,
    "attempt": _NO_COUNT,
    "revision": _NO_COUNT,
    "emailSent": _NO_FLAG,
    "emailVariant": _NO_TEXT,
    "held": _NO_FLAG,
    "capacityVersion": ("3", 1.5, True, 2**63, []),
    "retryAfter": _NO_TIME,
}


class Trap(Exception):
    """What a hostile object raises when it is touched."""


def _spring(*_: object, **__: object) -> NoReturn:
    raise Trap


class TrappedDict(dict[str, object]):
    """A dict whose content cannot be looked at; what a broken driver or a prankster might hand over."""

    __iter__ = __getitem__ = __contains__ = __len__ = get = keys = values = items = _spring

    def __repr__(self) -> str:
        return "TrappedDict()"


def _shape(optional: Mapping[str, st.SearchStrategy[object]], *, v: bool = False) -> st.SearchStrategy[object]:
    return st.fixed_dictionaries({**_NEEDED, "v": st.just(1)} if v else _NEEDED, optional=dict(optional))


def _readable() -> st.SearchStrategy[object]:
    """As written today (the attempt is always there), by an older writer, by a newer one, by any in between."""
    today = {**_OLDER, **_LATER}
    return st.one_of(_shape(_OLDER), _shape(today, v=True), _shape(today), _shape({**today, **_NEWER}))


def _with_a_misfit(blob: Mapping[str, object]) -> st.SearchStrategy[object]:
    return st.sampled_from(sorted(_MISFITS)).flatmap(
        lambda key: st.sampled_from(_MISFITS[key]).map(lambda misfit: {**blob, key: misfit})
    )


def _without_a_key(blob: Mapping[str, object]) -> st.SearchStrategy[object]:
    return st.sampled_from(REQUIRED).map(lambda gone: {key: value for key, value in blob.items() if key != gone})


def _oversized(blob: Mapping[str, object]) -> st.SearchStrategy[object]:
    return st.sampled_from(("reason", "trigger", "attemptId")).map(lambda key: {**blob, key: "x" * (LONGEST + 1)})


_NO_OBJECT: Final[st.SearchStrategy[object]] = st.sampled_from(([], [{}], 0, 1.5, True, "", "job", {}))


def _damaged(*, oversized: bool) -> st.SearchStrategy[object]:
    """JSON that is no result."""
    ways: tuple[Callable[[Mapping[str, object]], st.SearchStrategy[object]], ...] = (_with_a_misfit, _without_a_key)
    if oversized:
        ways = (*ways, _oversized)
    blobs = _shape({**_OLDER, **_LATER}).map(_as_mapping)
    return st.one_of(_NO_OBJECT, *(blobs.flatmap(way) for way in ways))


def _as_mapping(blob: object) -> Mapping[str, object]:
    if not isinstance(blob, Mapping):
        raise TypeError(f"a blob's shape is an object, not {blob!r}")
    return blob


def _encoded(blobs: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """The same as text or bytes, as an object may come from a driver that leaves JSON to its caller."""
    text = blobs.map(json.dumps)
    return text | text.map(str.encode) | blobs.map(lambda blob: json.dumps(blob, indent=2))


def _no_json() -> st.SearchStrategy[object]:
    """Text and bytes that say nothing: cut off, too long, too deep, not JSON, not UTF-8."""
    good = _readable().map(json.dumps)
    cut_off = good.flatmap(lambda text: st.integers(1, len(text) - 1).map(lambda length: text[:length]))
    odd = ("", "\x00", "\ud800", "NaN", "{} {}", "[" * LONGEST, '{"a":' * 3000, "9" * 5000, b"\xff\xfe{\x00}\x00")
    return st.one_of(cut_off, good.map(lambda text: text + " " * LONGEST), st.sampled_from(odd))


def _hostile() -> st.SearchStrategy[object]:
    """What is no JSON at all, however it got there."""
    return st.one_of(
        st.builds(TrappedDict),
        st.binary(max_size=20).map(bytearray),
        st.sampled_from((float("nan"), (), object)),
    )


def wire_blobs(*, malformed: bool | None = None, jsonb: bool = False) -> st.SearchStrategy[object]:
    """What a database may give for the column of the stored result.

    Args:
        malformed: ``True``: nothing that can be read, so :func:`assign_wire.loads` answers ``Unreadable``. ``False``:
            results, of today's shape, of older writers and of newer ones, so ``loads`` answers a ``LastResult``.
            ``None``: both, and NULL.
        jsonb: only what a ``jsonb`` column can hold, of any size that a small column may have; as the driver gives it,
            not as text. For planting into a store: see :meth:`assign_testing.House.plant_blob`.
    """
    if jsonb:
        good, bad = _readable(), _damaged(oversized=False)
    else:
        good = _readable() | _encoded(_readable())
        damaged = _damaged(oversized=True)
        bad = st.one_of(damaged, _encoded(damaged), _no_json(), _hostile())
    if malformed is None:
        return st.one_of(st.none(), good, bad)
    return bad if malformed else good
