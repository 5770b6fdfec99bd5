"""What a strategy of this package takes for an attribute: nothing (any value), a value, or a strategy of values.

``...`` stands for "not said", as in Hypothesis itself, because ``None`` is a value that most attributes can have.
"""

from __future__ import annotations

from types import EllipsisType
from typing import TypeAlias, TypeVar

from hypothesis import strategies as st

V = TypeVar("V")

Given: TypeAlias = V | st.SearchStrategy[V] | EllipsisType
"""A value, a strategy of values, or ``...``: any value."""


def chosen(given: Given[V], otherwise: st.SearchStrategy[V]) -> st.SearchStrategy[V]:
    """The strategy that was given, the one value that was given, or the other strategy."""
    if given is ...:
        return otherwise
    if isinstance(given, st.SearchStrategy):
        return given
    return st.just(given)
