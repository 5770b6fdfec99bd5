"""A table, and tables put together for one party."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Table:
    """One table as it stands on the floor.

    ``seats`` is how many guests it seats, ``min_party`` the smallest party that may have it for itself.
    Only a ``movable`` table may be put together with others, and only within its ``zone``.

    Raises:
        ValueError: an empty id or zone, no seats, or a ``min_party`` that is not between 1 and ``seats``.
    """

    id: str
    seats: int
    min_party: int = 1
    zone: str = "main"
    movable: bool = True

    def __attrs_post_init__(self) -> None:
        if not self.id:
            raise ValueError("A table's id is empty; give every table a name of its own.")
        if self.seats < 1:
            raise ValueError(f"Table {self.id!r} has {self.seats} seats; give it at least 1.")
        if self.min_party < 1:
            raise ValueError(f"Table {self.id!r} has min_party {self.min_party}; use 1 for a table open to any party.")
        if self.min_party > self.seats:
            raise ValueError(
                f"Table {self.id!r} has min_party {self.min_party} but only {self.seats} seats; "
                "no party could have it. Lower min_party or add seats."
            )
        if not self.zone:
            raise ValueError(f"Table {self.id!r} has an empty zone; name it, or leave out zone to get 'main'.")


@attrs.frozen(kw_only=True)
class Candidate:
    """A table, or several put together, that can seat the party that was asked about.

    ``tables`` are ids in sorted order, ``seats`` their sum, and ``waste`` the seats that would stay empty.
    """

    tables: tuple[str, ...]
    zone: str
    seats: int
    waste: int
