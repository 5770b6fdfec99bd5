"""All four ports in memory: the embedded default, and the model that other adapters are compared with.

>>> from assign_core import AutoAssign
>>> from assign_floor import sample_floor
>>> runtime = VirtualRuntime()
>>> database = MemoryDatabase(sample_floor(), runtime)
>>> row = database.add_booking("b1", party=4, start_at=runtime.now().replace(hour=19))
>>> engine = AutoAssign(runtime=runtime, planner_keeps_time=True, **memory_ports(database))
>>> engine.inline("b1").verdict.value
'confirmed'
"""

from __future__ import annotations

from typing import TypedDict

from assign_core.outbox import AsyncTransport, EmailRefused, Transport
from assign_memory.clock import VirtualClock, VirtualRuntime
from assign_memory.database import Assignment, HoldRow, LedgerRow, MemoryDatabase, Row
from assign_memory.mailer import (
    AsyncCollectingTransport,
    AsyncMemoryMailer,
    CollectingTransport,
    MemoryMailer,
    Outbox,
)
from assign_memory.planner import AsyncFloorPlanner, AsyncScriptedPlanner, Cue, FloorPlanner, ScriptedPlanner
from assign_memory.store import AsyncMemoryStore, MemoryStore, Objection
from assign_memory.telemetry import AsyncMemoryTelemetry, MemoryTelemetry

__all__ = [
    "Assignment",
    "AsyncCollectingTransport",
    "AsyncFloorPlanner",
    "AsyncMemoryMailer",
    "AsyncMemoryStore",
    "AsyncMemoryTelemetry",
    "AsyncScriptedPlanner",
    "AsyncTransport",
    "CollectingTransport",
    "Cue",
    "EmailRefused",
    "FloorPlanner",
    "HoldRow",
    "LedgerRow",
    "MemoryDatabase",
    "MemoryMailer",
    "MemoryPorts",
    "MemoryStore",
    "MemoryTelemetry",
    "Objection",
    "Outbox",
    "Row",
    "ScriptedPlanner",
    "Transport",
    "VirtualClock",
    "VirtualRuntime",
    "memory_ports",
]


class MemoryPorts(TypedDict):
    """The four ports, named as the engine's arguments."""

    store: MemoryStore
    planner: FloorPlanner
    mailer: MemoryMailer
    telemetry: MemoryTelemetry


def memory_ports(database: MemoryDatabase, transport: Transport | None = None) -> MemoryPorts:
    """All four ports over one database. Without a transport, e-mails are collected."""
    return MemoryPorts(
        store=MemoryStore(database),
        planner=FloorPlanner(database),
        mailer=MemoryMailer(Outbox(database), CollectingTransport() if transport is None else transport),
        telemetry=MemoryTelemetry(),
    )
