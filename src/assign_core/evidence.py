"""How a LastResult looks from a later moment.

The age of evidence is counted as HTTP caches count it (RFC 9111, section 4.2): ``age = now - recorded_at`` against
a freshness lifetime, inclusive, with a small negative age taken for clock skew. A capacity version is a strong
validator (RFC 9110, section 8.8.1): where it has not grown the evidence is *revalidated* although it is old, up to a
limit in case a change was missed. Every use of a stored result goes through here, so that no branch can forget its
age.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from assign_core.booking import Booking
from assign_core.last_result import LastResult, Unreadable
from assign_core.word import Word

_ZERO: Final = timedelta(0)


class Evidence(Word):
    """What a stored result is worth now. Only ``fresh`` and ``revalidated`` evidence may shrink a budget."""

    ABSENT = "absent"
    FRESH = "fresh"
    REVALIDATED = "revalidated"
    STALE = "stale"
    FUTURE = "future"
    OLDER_REVISION = "older_revision"
    UNREADABLE = "unreadable"


USABLE: Final = frozenset({Evidence.FRESH, Evidence.REVALIDATED})
"""Evidence that may shrink a budget."""
DATED: Final = USABLE | {Evidence.STALE}
"""Evidence of this revision whose time can be trusted: what it says of *then* is true, however old it is."""

# Looking a member up on its class costs more than weighing does.
_ABSENT: Final = Evidence.ABSENT
_FRESH: Final = Evidence.FRESH
_REVALIDATED: Final = Evidence.REVALIDATED
_STALE: Final = Evidence.STALE
_FUTURE: Final = Evidence.FUTURE
_OLDER_REVISION: Final = Evidence.OLDER_REVISION
_UNREADABLE: Final = Evidence.UNREADABLE


def weigh(
    last: LastResult | Unreadable | None,
    booking: Booking,
    now: datetime,
    freshness: timedelta,
    clock_skew: timedelta,
    revalidation_limit: timedelta,
) -> Evidence:
    """What ``last`` is worth for ``booking`` at ``now`` (aware)."""
    if last is None:
        return _ABSENT
    if not isinstance(last, LastResult):
        return _UNREADABLE
    if last.revision != booking.revision:
        # A revision that the row has not reached comes from the future as surely as a time that has not come.
        return _OLDER_REVISION if last.revision < booking.revision else _FUTURE
    age = now - last.recorded_at
    if age < _ZERO:
        if -age > clock_skew:
            return _FUTURE
        age = _ZERO
    if age <= revalidation_limit and version_holds(last, booking):
        return _REVALIDATED
    return _FRESH if age <= freshness else _STALE


def version_holds(last: LastResult, booking: Booking) -> bool:
    """Nothing has become free since the search: both versions are known, and the booking's has not grown.

    A version may fall, when what had become free is taken again; that is no news for a search that found nothing.
    """
    seen, now = last.capacity_version, booking.capacity_version
    return seen is not None and now is not None and now <= seen


def version_grown(last: LastResult, booking: Booking) -> bool:
    """Seats may have become free since the search."""
    seen, now = last.capacity_version, booking.capacity_version
    return seen is not None and now is not None and now > seen
