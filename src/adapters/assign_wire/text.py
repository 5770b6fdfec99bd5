"""Text that can be stored: clean, and no longer than there is room.

PostgreSQL's ``jsonb`` refuses U+0000 and surrogates that stand alone, and a whole row fails with them; so they become
U+FFFD, the sign for "something was here". Room is counted in the bytes of the JSON text as ``jsonb`` prints it (UTF-8,
a space after each comma and colon), since that is what is sent, logged and stored by others: a control character takes
six of them (``\\u0001``), a quote two, an emoji four.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONEncoder
from typing import Final

_AS_JSONB: Final = JSONEncoder(ensure_ascii=False, allow_nan=False)
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_ELLIPSIS: Final = "…"
_QUOTES: Final = 2
LARGEST_CHARACTER: Final = 6
"""Bytes of the most expensive character there is: a control character, escaped."""
SHORTEST_CUT: Final = len(_ELLIPSIS.encode())
"""Bytes of a text of which nothing is left but the ellipsis."""


def json_size(value: object) -> int:
    """Bytes of a JSON value in the text form of ``jsonb``; never less than its compact form takes.

    Strings have to be :func:`storable`.
    """
    return len(_AS_JSONB.encode(value).encode())


def storable(text: str) -> str:
    """``text`` with U+FFFD in place of every U+0000 and every surrogate."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def inner_size(text: str) -> int:
    """Bytes of ``text`` inside its JSON quotes, escapes counted."""
    return json_size(text) - _QUOTES


def cut(text: str, room: int) -> str:
    """The longest beginning of ``text`` that takes at most ``room`` bytes inside its JSON quotes, with an ellipsis.

    Cut between two characters, never inside one. Text that fits is returned as it is; where not even the ellipsis
    fits (``room`` below :data:`SHORTEST_CUT`) the ellipsis alone is returned, or ``text`` if that is shorter still.
    """
    if inner_size(text) <= max(room, SHORTEST_CUT):
        return text
    lengths = range(len(text) + 1)
    kept = bisect_right(lengths, room - SHORTEST_CUT, key=lambda length: inner_size(text[:length])) - 1
    return text[: max(kept, 0)] + _ELLIPSIS
