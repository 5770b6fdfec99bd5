"""Workloads and results as JSON: plain attributes, times in ISO 8601, durations in seconds.

A saved workload holds the floor as well, so that running it again does not depend on any sample that may change.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from cattrs.preconf.json import JsonConverter, make_converter

from assign_bench.stats import Interval
from assign_bench.workload import Workload

FORMAT: Final = "assign-core workload 1"


def _converter() -> JsonConverter:
    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(time, time.isoformat)
    converter.register_structure_hook(time, lambda value, _: time.fromisoformat(value))
    converter.register_unstructure_hook(timedelta, timedelta.total_seconds)
    converter.register_structure_hook(timedelta, lambda value, _: timedelta(seconds=value))
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    converter.register_unstructure_hook(ZoneInfo | timezone, _zone_name)
    converter.register_structure_hook(ZoneInfo | timezone, lambda value, _: _zone(value))
    # There are thousands of them in a file of results.
    converter.register_unstructure_hook(Interval, lambda interval: [interval.value, interval.low, interval.high])
    converter.register_structure_hook(Interval, lambda value, _: Interval(value=value[0], low=value[1], high=value[2]))
    return converter


def _zone_name(zone: ZoneInfo | timezone) -> str:
    if zone is UTC:
        return "UTC"
    if isinstance(zone, ZoneInfo) and zone.key:
        return zone.key
    raise ValueError(f"the floor's time zone {zone!r} has no name to save; use UTC or a ZoneInfo")


def _zone(name: str) -> ZoneInfo | timezone:
    return UTC if name == "UTC" else ZoneInfo(name)


CONVERTER: Final = _converter()
"""Of workloads and results, to and from what JSON holds."""


def to_json(workload: Workload) -> dict[str, Any]:
    """A workload as JSON's own types."""
    return {"format": FORMAT} | dict(CONVERTER.unstructure(workload))


def from_json(value: dict[str, Any]) -> Workload:
    """The workload that :func:`to_json` made.

    Raises:
        ValueError: not a workload of this format; what cattrs says about the rest.
    """
    found = value.get("format")
    if found != FORMAT:
        raise ValueError(f"the format is {found!r}, not {FORMAT!r}; save the workload again with this version")
    return CONVERTER.structure({key: each for key, each in value.items() if key != "format"}, Workload)


def save(workload: Workload, path: Path) -> None:
    path.write_text(json.dumps(to_json(workload), indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Workload:
    """Raises ``OSError`` and ``ValueError``, as :func:`from_json`."""
    return from_json(json.loads(path.read_text(encoding="utf-8")))
