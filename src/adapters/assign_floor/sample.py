"""A believable restaurant for demonstrations: 24 tables, 80 seats, three zones, lunch and dinner."""

from __future__ import annotations

from datetime import UTC, time, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

from assign_floor.floor import Floor
from assign_floor.hours import Service
from assign_floor.tables import Table

_TWOS = ("M01", "M02", "M03", "M04")
_FOURS = ("M05", "M06", "M07", "M08")
_SIXES = ("M09", "M10")
_TERRACE_TWOS = ("T01", "T02", "T03", "T04")
_TERRACE_FOURS = ("T05", "T06")


def sample_floor(tz: ZoneInfo | timezone = UTC) -> Floor:
    """The sample restaurant, in the given time zone.

    The main room has three rows of movable tables (twos, fours, sixes) and four fixed booths along the wall, the
    terrace two rows of small tables, and the bar four fixed high tables. Lunch is 12:00 to 15:00, dinner 18:00 to
    23:00; a table is free again 15 minutes after its guests have left.
    """
    tables = [
        *(Table(id=name, seats=2, zone="main") for name in _TWOS),
        *(Table(id=name, seats=4, min_party=2, zone="main") for name in _FOURS),
        *(Table(id=name, seats=6, min_party=3, zone="main") for name in _SIXES),
        *(Table(id=name, seats=4, min_party=2, zone="main", movable=False) for name in ("B01", "B02")),
        *(Table(id=name, seats=6, min_party=4, zone="main", movable=False) for name in ("B03", "B04")),
        *(Table(id=name, seats=2, zone="terrace") for name in _TERRACE_TWOS),
        *(Table(id=name, seats=4, min_party=2, zone="terrace") for name in _TERRACE_FOURS),
        *(Table(id=name, seats=2, zone="bar", movable=False) for name in ("H01", "H02", "H03", "H04")),
    ]
    adjacent = [
        *(pair for row in (_TWOS, _FOURS, _SIXES, _TERRACE_TWOS, _TERRACE_FOURS) for pair in pairwise(row)),
        *zip(_TWOS, _FOURS, strict=True),
        ("M06", "M09"),
        ("M07", "M10"),
        ("T02", "T05"),
        ("T03", "T06"),
    ]
    return Floor(
        tables=tables,
        adjacent=adjacent,
        services=[
            Service(name="lunch", opens=time(12), closes=time(15)),
            Service(name="dinner", opens=time(18), closes=time(23)),
        ],
        turnover=timedelta(minutes=15),
        tz=tz,
    )
