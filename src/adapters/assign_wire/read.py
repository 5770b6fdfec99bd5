"""What fits: one strict reader for each kind of value that a blob holds.

The types that JSON gives are taken as they are and never converted: ``"3"`` is not 3, ``1`` is not ``true``, and
``True``, an ``int`` to Python, is not 1. A reader returns the value or raises :class:`~assign_wire.misfit.Misfit`.

Values are told apart by ``type(...)``, not ``isinstance``: a value from outside may lie in ``__class__``.
"""

from __future__ import annotations

from json import JSONDecoder
from typing import Final

from assign_core.last_result import EmailVariant, Source
from assign_core.reasons import ReasonCode
from assign_wire.misfit import Misfit, shown

MAX_TEXT: Final = 16_384
"""What is read at most: characters of JSON text (bytes, when given as ``bytes``), and of any one string in a blob.
Sixteen times what :func:`~assign_wire.codec.dumps` writes; longer text is unreadable without being parsed."""
MAX_INT: Final = 2**63 - 1
"""The largest whole number that is read or written: PostgreSQL's ``bigint``."""
MIN_INT: Final = -(2**63)

_SOURCES: Final = {word.value: word for word in Source}
_CODES: Final = {word.value: word for word in ReasonCode}
_VARIANTS: Final = {word.value: word for word in EmailVariant}


def read_text(value: object, _: object = None) -> str:
    """A string of at most :data:`MAX_TEXT` characters."""
    if type(value) is not str:
        raise Misfit(f"is not a text: {shown(value)}")
    if len(value) > MAX_TEXT:
        raise Misfit(f"is longer than {MAX_TEXT} characters: {shown(value)}")
    return value


def read_whole(value: object, _: object = None) -> int:
    """A whole number of 64 bits, of either sign."""
    if type(value) is not int:
        raise Misfit(f"is not a whole number: {shown(value)}")
    if not MIN_INT <= value <= MAX_INT:
        raise Misfit(f"is not a whole number of 64 bits: {shown(value)}")
    return value


def read_count(value: object, _: object = None) -> int:
    """A whole number from 0 to :data:`MAX_INT`."""
    if type(value) is not int:
        raise Misfit(f"is not a whole number: {shown(value)}")
    if not 0 <= value <= MAX_INT:
        raise Misfit(f"is not between 0 and {MAX_INT}: {shown(value)}")
    return value


def read_duration(value: object, _: object = None) -> int:
    """A count; from older writers also a fraction of milliseconds such as ``5541.7``, rounded."""
    if type(value) is not float:
        return read_count(value)
    if not 0 <= value <= MAX_INT:  # NaN is not between any two numbers
        raise Misfit(f"is not between 0 and {MAX_INT}: {shown(value)}")
    return round(value)


def read_flag(value: object, _: object = None) -> bool:
    """``true`` or ``false``."""
    if type(value) is not bool:
        raise Misfit(f"is not true or false: {shown(value)}")
    return value


def read_source(value: object, _: object = None) -> Source:
    """Who made the attempt. A source that is not known may mean anything, so it does not fit."""
    found = _SOURCES.get(value) if type(value) is str else None
    if found is None:
        raise Misfit(f"is not {' or '.join(map(repr, _SOURCES))}: {shown(value)}")
    return found


def read_code(value: object, _: object = None) -> ReasonCode | None:
    """A reason code; ``None`` for one that a newer writer knows, so that the text is classified instead."""
    return _CODES.get(read_text(value))


def read_variant(value: object, _: object = None) -> EmailVariant | None:
    """An e-mail variant; ``None`` for one that a newer writer knows."""
    return _VARIANTS.get(read_text(value))


def _no_constant(name: str) -> object:
    raise Misfit(f"the text cannot be read as JSON: it says {name}")


_DECODER: Final = JSONDecoder(parse_constant=_no_constant)


def read_json(value: object) -> object:
    """What a JSON text says.

    Raises:
        Misfit: ``value`` is neither text nor bytes, is longer than :data:`MAX_TEXT`, or is not JSON in UTF-8. The
            message is a whole sentence here.
    """
    if type(value) is not str and type(value) is not bytes:
        raise Misfit(f"the blob is not a JSON object: {shown(value)}")
    if len(value) > MAX_TEXT:
        raise Misfit(f"the text is longer than {MAX_TEXT}: {shown(value)}")
    try:
        found: object = _DECODER.decode(value.decode() if type(value) is bytes else str(value))
    except Misfit:
        raise
    except RecursionError:
        raise Misfit(f"the text is nested too deeply: {shown(value)}") from None
    except ValueError:  # no JSON, no UTF-8, or a number of thousands of digits
        raise Misfit(f"the text cannot be read as JSON: {shown(value)}") from None
    return found
