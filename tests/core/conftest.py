"""How Hypothesis makes the core's values: registered by type, so a test asks for ``st.from_type(LastResult)``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from hypothesis import strategies as st

from assign_core import Booking, LastResult, Policy, Strategy
from assign_testing import bookings, knobs, last_results, policies

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)

st.register_type_strategy(Strategy, knobs())
st.register_type_strategy(LastResult, last_results(near=NOON))
st.register_type_strategy(Booking, bookings(near=NOON))
st.register_type_strategy(Policy, st.just(Policy()) | policies())
