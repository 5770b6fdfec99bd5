"""The base of every fixed vocabulary: an enumeration whose members are their own strings.

``Enum`` hashes a member by a call into Python, which the decision would pay for at every look-up. A member *is* a
string and equals it, so it may as well hash like one.
"""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """A member of a fixed vocabulary; equal to, hashed like, and stored as its string."""

    __hash__ = str.__hash__
