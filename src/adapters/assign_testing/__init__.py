"""What to test an adapter, a host or another implementation with.

**Contracts**, one per port: subclass it, supply a house, and your adapter is judged like ours. An adapter is right when
the flows cannot tell it from the others. Each contract is a pytest class that says what they rely on; it needs one
fixture, ``make_house``, which makes a small house with the adapter in it::

    from assign_testing import MakeHouse, StoreContract

    class TestMyStore(StoreContract):
        implementation = MyStore
        capabilities = frozenset()  # what else the house has: see Capability

        @pytest.fixture
        def make_house(self) -> MakeHouse:
            return my_house

What a house is, :class:`House` says, and :class:`MemoryHouse` shows; :class:`EventLoop` and the ``Waited`` classes turn
asynchronous ports into blocking ones for it. What the house cannot do is not declared among the ``capabilities``: the
tests that need it are skipped, and say so. All others have to pass.

**The machine** (:mod:`assign_testing.machine`, a part of the store's contract) compares a store with the one in memory
over random evenings.

**Strategies** (:mod:`assign_testing.strategies`, :func:`wire_blobs`) make every value of the core for Hypothesis, those
included that only damage or malice would write.

**The explorer** (:mod:`assign_testing.explorer`) tells the real flows in every order, with everything that can go
wrong at every step, and holds the design's promises to each schedule: ``explore()``.

**Decision vectors** (:mod:`assign_testing.vectors`) are the decision as JSON, for implementations in other languages.

The pytest plug-in with a clock and an engine is :mod:`assign_pytest`; it needs no import.
"""

from __future__ import annotations

import assign_testing.assertions  # noqa: F401 - has to be done before the contracts are imported
from assign_testing.blobs import wire_blobs
from assign_testing.given import Given
from assign_testing.house import (
    DINNER,
    LUNCH,
    NOON,
    AsyncPostRoom,
    Capability,
    Contract,
    House,
    MakeHouse,
    PostRoom,
    T,
    small_floor,
)
from assign_testing.machine import MachineContract, StoreMachine, store_machine
from assign_testing.mailer import MailerContract
from assign_testing.memory import MEMORY_CAPABILITIES, MemoryHouse, async_memory_house, memory_house
from assign_testing.planner import PlannerContract
from assign_testing.quotes import PlannerBroke
from assign_testing.store import StoreContract
from assign_testing.strategies import (
    bookings,
    knobs,
    last_results,
    moments,
    planner_scripts,
    policies,
    texts,
    unreadables,
)
from assign_testing.telemetry import TelemetryContract
from assign_testing.waiting import (
    EventLoop,
    WaitedMailer,
    WaitedPlanner,
    WaitedStore,
    WaitedTelemetry,
)

__all__ = [
    "DINNER",
    "LUNCH",
    "MEMORY_CAPABILITIES",
    "NOON",
    "AsyncPostRoom",
    "Capability",
    "Contract",
    "EventLoop",
    "Given",
    "House",
    "MachineContract",
    "MailerContract",
    "MakeHouse",
    "MemoryHouse",
    "PlannerBroke",
    "PlannerContract",
    "PostRoom",
    "StoreContract",
    "StoreMachine",
    "T",
    "TelemetryContract",
    "WaitedMailer",
    "WaitedPlanner",
    "WaitedStore",
    "WaitedTelemetry",
    "async_memory_house",
    "bookings",
    "knobs",
    "last_results",
    "memory_house",
    "moments",
    "planner_scripts",
    "policies",
    "small_floor",
    "store_machine",
    "texts",
    "unreadables",
    "wire_blobs",
]
