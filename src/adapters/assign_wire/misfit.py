"""What to say of a value that does not fit.

The sentence goes into logs and telemetry, so it is short, and it is made of nothing but what is known to be harmless:
a value from outside may raise in ``__len__``, print ten megabytes from ``__repr__``, or be a number of a million
digits.
"""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 40


class Misfit(ValueError):
    """A stored value does not fit. The text is the predicate of a sentence; whoever knows the key puts it in front."""


def shown(value: object) -> str:
    """``value`` for an error message: short, and safe to make of anything."""
    if type(value) is int:
        bits = value.bit_length()
        return repr(value) if bits <= 64 else f"a whole number of {bits} bits"
    if type(value) in (bool, float, type(None)):
        return repr(value)
    if type(value) is str or type(value) is bytes:
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}… ({len(value)} long)"
    if type(value) is list:
        return f"a list of {len(value)}"
    return "an object" if type(value) is dict else f"a {type(value).__name__[:_SHOWN]!r}"
