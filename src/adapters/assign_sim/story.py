"""One booking's evening in words, told from its telemetry and its row.

It is also a check of the telemetry: whatever a person wants to know of a booking has to be in the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from assign_core.booking import SEATED
from assign_core.events import Event, EventName
from assign_core.explain import span_in_words
from assign_sim.evening import Evening, Guest
from assign_sim.service import Ended

_Say = Callable[[Mapping[str, Any]], str | None]


def _quote(context: Mapping[str, Any]) -> str:
    took = f"{context['planner_duration_ms'] / 1000:.1f} s"
    if context["planner_success"]:
        return f"the planner finds tables after {took}"
    return f"the planner finds nothing after {took}: {context['planner_reason']}"


_SENTENCES: Final[Mapping[EventName, _Say]] = {
    EventName.QUOTE: _quote,
    EventName.INLINE_TIMEOUT: lambda context: (
        f"time is up at the deadline of {context['deadlineMs'] / 1000:g} s; "
        + ("the guest is answered, and the search goes on" if context["handedOver"] else "the search is cancelled")
    ),
    EventName.INLINE_CONFIRM_SUCCEEDED: lambda context: f"confirmed at {context['tables']}, e-mail {context['email']}",
    EventName.INLINE_CONFIRM_OVERLAP: lambda _: "the confirm is refused: somebody else was faster",
    EventName.INLINE_CONFIRM_FAILED: lambda context: f"the confirm fails: {context['reason']}",
    EventName.INLINE_SKIP_ATTEMPT: lambda context: (
        f"the job does not repeat the search ({context['reasonCode']}): it waits for news"
    ),
    EventName.ATTEMPT: lambda context: f"the job searches, attempt {context['attempt']} ({context['rules']})",
    EventName.SUCCEEDED: lambda context: f"confirmed by the job at {context['tables']}, e-mail {context['email']}",
    EventName.EXITED_ALREADY_CONFIRMED: lambda context: (
        "the job finds it confirmed; "
        + ("the guest has been written to, so no second e-mail" if context["suppressEmail"] else "it sends the e-mail")
    ),
    EventName.HARD_STOP: lambda context: f"given up at once, no search can help: {context['reason']}",
    EventName.CUTOFF_SKIPPED: lambda _: "given up: the start is too near",
    EventName.FAILED: lambda context: f"given up after {context['attemptsUsed']} attempts: {context['reason']}",
}


def story(workload: Evening, ended: Ended, guest: Guest) -> list[str]:
    """The booking's evening, one line a happening."""
    booking = ended.bookings[guest.booking_id]
    happened = [
        (_moment(workload, guest.books_at), f"asks for {guest.party} at {guest.start_at:%H:%M}"),
        *_told(ended, guest),
    ]
    if guest.cancels_at is not None:
        happened.append((_moment(workload, guest.cancels_at), "the guest cancels"))
    if guest.changes_at is not None:
        happened.append((_moment(workload, guest.changes_at), f"the guest changes the party to {guest.changed_party}"))
    happened.sort(key=lambda happening: happening[0])
    lines = [f"{moment:%H:%M:%S}  {words}" for moment, words in happened]
    if booking.status in SEATED:
        waited = span_in_words(timedelta(seconds=ended.seated_after[guest.booking_id]))
        lines.append(f"In the end: seated, {waited} after {'asking' if guest.changes_at is None else 'the change'}.")
    else:
        searches = _searches(ended, guest)
        lines.append(f"In the end: {booking.status}, with {searches} search{'es' * (searches != 1)} in all.")
    return lines


def _told(ended: Ended, guest: Guest) -> Iterator[tuple[datetime, str]]:
    before = ""
    for event in _events(ended, guest):
        if event.name not in _SENTENCES:
            continue
        said = _SENTENCES[event.name](event.context)
        if said is not None and said != before:
            yield event.at, said
            before = said


def _searches(ended: Ended, guest: Guest) -> int:
    return sum(event.name is EventName.QUOTE for event in _events(ended, guest))


def _events(ended: Ended, guest: Guest) -> Iterator[Event]:
    return (event for event in ended.told if event.booking_id == guest.booking_id)


def _moment(workload: Evening, seconds: float) -> datetime:
    return workload.begins + timedelta(seconds=seconds)


TOLD: Final = 3
"""How many bookings are worth telling."""


def choose(workload: Evening, ended: Ended) -> list[Guest]:
    """Three bookings worth telling: one that had to wait for its table, one seated when it asked, one without.

    A kind that the evening has no example of gives its place to another booking, as long as there is one.
    """
    found: dict[str, Guest] = {}
    for guest in workload.guests:
        found.setdefault(_kind(ended, guest), guest)
    wanted = [found[kind] for kind in ("waited", "at once", "without") if kind in found]
    others = [guest for guest in (*found.values(), *workload.guests) if guest not in wanted]
    # Each once, in this order.
    return list(dict.fromkeys((*wanted, *others)))[:TOLD]


def _kind(ended: Ended, guest: Guest) -> str:
    if guest.cancels_at is not None or guest.changes_at is not None:
        return "changed"
    names: set[EventName] = {event.name for event in _events(ended, guest)}
    if guest.booking_id not in ended.seated:
        return "without" if EventName.INLINE_SKIP_ATTEMPT in names else "without a word"
    return "waited" if EventName.SUCCEEDED in names else "at once"
