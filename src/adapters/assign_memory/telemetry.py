"""Telemetry in memory: a list that can be asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from assign_core.events import Event, EventName


class MemoryTelemetry:
    """:class:`assign_core.ports.Telemetry` that keeps every event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        del stored  # the memory store keeps no events, so none can be here twice
        with self._lock:
            self._events += events

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything so far, in order."""
        with self._lock:
            return tuple(self._events)

    def named(self, name: EventName) -> tuple[Event, ...]:
        """The events of one name."""
        return tuple(event for event in self.events if event.name is name)


class AsyncMemoryTelemetry(MemoryTelemetry):
    """:class:`assign_core.ports.AsyncTelemetry` that keeps every event."""

    # An async telemetry is another port; what it keeps is the same.
    async def emit(self, events: Sequence[Event], *, stored: bool) -> None:  # type: ignore[override]
        super().emit(events, stored=stored)
