"""A pytest plug-in: a clock that stands still until told, and an engine on memory adapters.

It is loaded by pytest wherever assign-core is installed, so it imports nothing but pytest until a fixture is asked for.
The fixtures need the extra ``testing``::

    def test_a_guest_gets_a_table(assign_engine, assign_database, assign_clock, assign_post):
        dinner = assign_clock.now().replace(hour=19)
        assign_database.add_booking("b1", party=2, start_at=dinner)
        assert assign_engine.inline("b1").verdict is Verdict.CONFIRMED
        assert assign_post.accepted == ["b1:confirmation:0"]

Everything is made anew for each test and belongs to one world: the engines, the database, the mail system and the
telemetry of a test see the same bookings at the same time. To change the house or the settings, override
``assign_tables`` or ``assign_policy``, as with any fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from assign_core import AsyncAutoAssign, AutoAssign, Policy
    from assign_floor import Floor
    from assign_memory import MemoryDatabase, MemoryTelemetry, VirtualRuntime
    from assign_testing import PostRoom


@pytest.fixture
def assign_clock() -> VirtualRuntime:
    """The clock of the test: noon, until ``advance(seconds)`` moves it. Sleeping moves it too, and takes no time."""
    from assign_memory import VirtualRuntime  # noqa: PLC0415 - only for those who ask for it

    return VirtualRuntime()


@pytest.fixture
def assign_policy() -> Policy:
    """The settings of the engines: the defaults. Override it for others."""
    from assign_core import Policy  # noqa: PLC0415 - only for those who ask for it

    return Policy()


@pytest.fixture
def assign_tables() -> Floor:
    """Tables and services of the house: the sample restaurant. Override it for another."""
    from assign_floor import sample_floor  # noqa: PLC0415 - only for those who ask for it

    return sample_floor()


@pytest.fixture
def assign_database(assign_tables: Floor, assign_clock: VirtualRuntime) -> MemoryDatabase:
    """The bookings, with the hands of a host: ``add_booking``, ``cancel``, ``modify``, ``seat_by_hand``."""
    from assign_memory import MemoryDatabase  # noqa: PLC0415 - only for those who ask for it

    return MemoryDatabase(assign_tables, assign_clock)


@pytest.fixture
def assign_post() -> PostRoom:
    """The mail system: ``accepted`` are the keys of what went out; ``failures`` are raised by the next hand-overs."""
    from assign_testing import PostRoom  # noqa: PLC0415 - only for those who ask for it

    return PostRoom()


@pytest.fixture
def assign_telemetry() -> MemoryTelemetry:
    """Every event, in order: ``events``, ``named(name)``."""
    from assign_memory import MemoryTelemetry  # noqa: PLC0415 - only for those who ask for it

    return MemoryTelemetry()


@pytest.fixture
def assign_engine(
    assign_database: MemoryDatabase,
    assign_clock: VirtualRuntime,
    assign_policy: Policy,
    assign_post: PostRoom,
    assign_telemetry: MemoryTelemetry,
) -> AutoAssign:
    """The blocking engine on memory adapters."""
    from assign_core import AutoAssign  # noqa: PLC0415 - only for those who ask for it
    from assign_memory import FloorPlanner, MemoryMailer, MemoryStore, Outbox  # noqa: PLC0415 - the same

    return AutoAssign(
        store=MemoryStore(assign_database),
        planner=FloorPlanner(assign_database),
        mailer=MemoryMailer(Outbox(assign_database), assign_post),
        telemetry=assign_telemetry,
        runtime=assign_clock,
        policy=assign_policy,
        planner_keeps_time=True,
    )


@pytest.fixture
def assign_async_engine(
    assign_database: MemoryDatabase,
    assign_clock: VirtualRuntime,
    assign_policy: Policy,
    assign_post: PostRoom,
    assign_telemetry: MemoryTelemetry,
) -> AsyncAutoAssign:
    """The asynchronous engine in the same world. It awaits nothing of an event loop's, so any loop will do."""
    from assign_core import AsyncAutoAssign  # noqa: PLC0415 - only for those who ask for it
    from assign_memory import (  # noqa: PLC0415 - the same
        AsyncFloorPlanner,
        AsyncMemoryMailer,
        AsyncMemoryStore,
        FloorPlanner,
        Outbox,
    )
    from assign_testing.virtual_loop import AsyncVirtualRuntime, PlainPostRoom, PlainTelemetry  # noqa: PLC0415 - the same

    return AsyncAutoAssign(
        store=AsyncMemoryStore(assign_database),
        planner=AsyncFloorPlanner(FloorPlanner(assign_database)),
        mailer=AsyncMemoryMailer(Outbox(assign_database), PlainPostRoom(assign_post)),
        telemetry=PlainTelemetry(assign_telemetry),
        runtime=AsyncVirtualRuntime(assign_clock),
        policy=assign_policy,
    )
