"""Clock, ids, threads and event loop of the process: what the core does not take for itself.

:class:`ThreadRuntime` needs the standard library only, and so does :class:`BackgroundTelemetry`, which takes a slow
telemetry off the guest's time. :class:`AsyncioRuntime` needs ``anyio`` (the extra
``asyncio``), because a host under structured concurrency cancels by scopes, and only a scope shields from those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assign_runtime.background import BackgroundTelemetry
from assign_runtime.threads import ThreadRuntime

if TYPE_CHECKING:
    from assign_runtime.event_loop import AsyncioRuntime

__all__ = ["AsyncioRuntime", "BackgroundTelemetry", "ThreadRuntime"]


def __getattr__(name: str) -> object:
    # Imported when asked for, so that blocking hosts need no anyio.
    if name == "AsyncioRuntime":
        from assign_runtime.event_loop import AsyncioRuntime  # noqa: PLC0415 - see above

        return AsyncioRuntime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
