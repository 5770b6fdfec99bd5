"""A replay for people: tables, and the sentences without which their numbers would be misread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from assign_cli.history import RecordedAttempt, RecordedInline
from assign_cli.projection import Repeats
from assign_cli.replaying import Effect, Replayed, ReplayedInline
from assign_cli.summary import ASSUMPTION, Calls, Runs, Summary
from assign_cli.terminal import printable
from assign_core import Decision, Source
from assign_core.explain import span_in_words

MOST_LISTED: Final = 20
_WORDS: Final = {
    Effect.MADE: "made",
    Effect.SAVED: "saved",
    Effect.PUT_OFF: "put off",
    Effect.DELAYED: "success delayed",
    Effect.LOST: "success lost",
}
_WHOSE: Final = {Source.INLINE: "  of inline attempts", Source.JOB: "  of jobs"}
_NEVER_FOLDED: Final = frozenset({"row", "the policy", "the job", "the call"})
"""Columns of words that are known; the others hold foreign text, which is folded before these are."""
_NARROWEST: Final = 8
_WORST_FIRST: Final = (Effect.LOST, Effect.DELAYED, Effect.PUT_OFF, Effect.SAVED, Effect.MADE)


def totals(summary: Summary) -> Iterator[RenderableType]:
    """What the policy would have done with the recorded calls."""
    calls = summary.calls
    table = _table("Recorded calls under the policy", "", "recorded", "made", "of these later", "saved")
    _calls_row(table, "planner calls", calls)
    table.add_row(
        "planner seconds", *map(_whole, (calls.seconds_recorded, calls.seconds_made)), "", _whole(calls.seconds_saved)
    )
    if len(summary.by_source) > 1:
        for source, each in summary.by_source.items():
            _calls_row(table, _WHOSE[source], each)
    for name, each in summary.by_failure_class.items():
        _calls_row(table, f"  failed: {name}", each)
    yield table
    yield Text(f"{_successes(summary)}\n\n{_reading_guide(summary)}")


def _calls_row(table: Table, name: str, calls: Calls) -> None:
    table.add_row(name, *map(str, (calls.recorded, calls.made, calls.put_off, calls.saved)))


def _successes(summary: Summary) -> str:
    told = f"Recorded successes: {summary.successes_recorded}, of these {summary.successes_lost} lost"
    if summary.longest_delay is None:
        return f"{told}, {summary.successes_delayed} delayed."
    longest = span_in_words(summary.longest_delay)
    return f"{told}, {summary.successes_delayed} delayed by at most {longest} (if that search finds the table too)."


def _reading_guide(summary: Summary) -> str:
    """How to read the totals of a planner history, with what the data say about their worth."""
    guide = (
        "Before each recorded attempt the policy is asked, with the results it would have known by then. "
        "A call put off is not saved unless the record has a later one to take its place. "
    )
    if summary.resets:
        guide += (
            f"{summary.resets} times a booking was attempted after it had been reset: it starts afresh, "
            "as a new revision. "
        )
    if summary.unmeasured:
        guide += (
            f"{summary.unmeasured} attempts do not say how long their planner call took, which counts as 0 seconds. "
        )
    if summary.runs is not None:
        guide += _runs(summary.runs)
    return guide + _worth_of_evidence(summary)


def _runs(runs: Runs) -> str:
    otherwise = (
        f"{runs.saved_otherwise} calls ({_whole(runs.seconds_saved_otherwise)} s) would be saved, "
        f"{runs.lost_otherwise} successes lost and {runs.delayed_otherwise} delayed. "
    )
    if runs.are_resets:
        return (
            f"The {runs.number} runs count as resets: neither evidence nor budget carries over from one to the next. "
            f"Read as one history (--runs-continue), {otherwise}"
        )
    return (
        f"The {runs.number} runs are read as one history: evidence and budget carry over from one to the next. "
        f"If the bookings were reset between them (--runs-are-resets), {otherwise}"
    )


def _worth_of_evidence(summary: Summary) -> str:
    pause, freshness = summary.shortest_pause, span_in_words(summary.freshness)
    if pause is None:
        return (
            "No attempt follows another one of the same booking without a reset, so there is no evidence to use. "
            "What sharing saves right after a failure, the projection reckons."
        )
    if pause > summary.freshness:
        return (
            f"The shortest pause between a booking's result and its next attempt is {span_in_words(pause)}, and "
            f"evidence counts for {freshness}: it was always stale here, and could save nothing. "
            + ("The calls saved above were saved by the budget alone. " if summary.calls.saved else "")
            + "What sharing saves right after a failure, the projection reckons."
        )
    used = summary.evidence.get("fresh", 0) + summary.evidence.get("revalidated", 0)
    return f"Evidence counts for {freshness}; it was still fresh before {used} of the recorded attempts."


def projection(summary: Summary) -> Iterator[RenderableType]:
    """What would follow each recorded failure."""
    table = _table(
        "Projection: repeated searches right after a failure",
        "failure class",
        "failures",
        "without sharing",
        "with, meanwhile",
        "with, in all",
    )
    for name, each in summary.projection.items():
        _repeats_row(table, name.value, each)
    table.add_section()
    _repeats_row(table, "all", summary.projected)
    yield table
    yield Text(
        f"Not recorded but reckoned, if {ASSUMPTION}. Searches and their planner seconds: of a job that knows nothing "
        "and repeats the search 3 times, after 5, 15 and 45 s; of the policy, by the time that job has finished; and "
        "of the policy however late. The record has neither capacity versions nor the expiry of blocking holds; where "
        "a host keeps them, the policy waits for that change or that expiry instead of searching again at once."
    )


def _repeats_row(table: Table, name: str, each: Repeats) -> None:
    table.add_row(
        name,
        str(each.failures),
        f"{each.unshared_calls} ({_whole(each.unshared_seconds)} s)",
        f"{each.meanwhile_calls} ({_whole(each.meanwhile_seconds)} s)",
        f"{each.in_all_calls} ({_whole(each.in_all_seconds)} s)",
    )


def after_inline(summary: Summary) -> Iterator[RenderableType]:
    """What follows each inline attempt."""
    told = summary.after_inline
    table = _table("The job after an inline attempt", "", "bookings", "planner seconds")
    table.add_row("inline attempts recorded", str(told.rows), "")
    table.add_row("the stored result says failure", str(told.blob_says_failure), "")
    table.add_row("  but the booking is confirmed", str(told.blob_says_failure_row_confirmed), "")
    table.add_row(
        "searched again if the blob is believed", str(told.searches_by_blob_alone), _whole(told.seconds_by_blob_alone)
    )
    table.add_row("  avoided by the policy", str(told.searches_avoided), _whole(told.seconds_avoided))
    for action, count in told.actions.items():
        table.add_row(f"the policy says {action}", str(count), "")
    table.add_row("  e-mail on record, suppressed", str(told.emails_suppressed), "")
    table.add_row("  e-mail to be seen to", str(told.emails_to_ensure), "")
    yield table
    yield Text(
        "The inline call itself is kept. The job that comes next reads the booking's row before it believes the "
        "stored result: a timeout is an unknown outcome, not a failure. Each avoided search is reckoned to take as "
        "long as the inline one."
    )


def listing(
    replayed: Sequence[Replayed], inline: Sequence[ReplayedInline], *, everything: bool
) -> Iterator[RenderableType]:
    """Attempt by attempt: all, or those that the policy would not have made when they were."""
    rows = [answer for answer in replayed if everything or answer.effect is not Effect.MADE]
    if not everything:
        # What the policy would have cost comes first, so that no limit can hide it.
        rows.sort(key=lambda answer: _WORST_FIRST.index(answer.effect))
        if replayed and not rows:
            yield Text("The policy would have made every recorded attempt when it was made.")
    shown = rows if everything else rows[:MOST_LISTED]
    where = _places([*replayed, *inline])
    if shown:
        title = "Attempt by attempt" if everything else "Attempts that the policy would not have made when they were"
        table = _table(title, "row", "booking", "recorded", "the policy", "the call", numbers=False)
        for answer in shown:
            table.add_row(
                _text(where(answer.row)),
                _text(answer.row.booking_id),
                _text(_recorded(answer.row)),
                _policy(answer.decision, answer.row.began_at),
                _WORDS[answer.effect],
            )
        yield table
    if len(shown) < len(rows):
        yield Text(f"{len(rows) - len(shown)} more like these; --attempts lists every attempt, and so does --json.")
    if everything and inline:
        title = "Inline attempt by inline attempt"
        table = _table(title, "row", "booking", "stored result", "row says", "the job", numbers=False)
        for each in inline:
            table.add_row(
                _text(where(each.row)),
                _text(each.row.booking_id),
                _text(_recorded(each.row)),
                _text(each.row.final_status),
                _policy(each.after, each.row.seen_at),
            )
        yield table


def _places(answers: Sequence[Replayed | ReplayedInline]) -> Callable[[RecordedAttempt | RecordedInline], str]:
    """How to name a row: by its line, with its file where there are several."""
    files = {answer.row.file for answer in answers}
    if len(files) <= 1:
        return lambda row: f"{row.unit} {row.line}"
    if len({os.path.basename(file) for file in files}) < len(files):
        return lambda row: f"{row.file}:{row.line}"
    return lambda row: f"{os.path.basename(row.file)}:{row.line}"


def _recorded(row: RecordedAttempt | RecordedInline) -> str:
    return "success" if row.success else f"failure: {row.reason or 'no reason given'}"


def _policy(decision: Decision, since: datetime) -> str:
    words = decision.action.value
    if decision.not_before is not None:
        words += f" {span_in_words(decision.not_before - since)}"
    # One rule a line, after what it says: names are long, and a terminal is not.
    return "\n".join((words, *(f"  {rule}" for rule in decision.rules)))


def _table(title: str, *columns: str, numbers: bool = True) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if numbers and place else "left",
            overflow="fold",
            no_wrap=column in _NEVER_FOLDED,
            min_width=_NARROWEST if column and not numbers else None,
        )
    return table


def _text(foreign: str) -> Text:
    return Text(printable(foreign), overflow="fold")


def _whole(seconds: float) -> str:
    return f"{seconds:,.0f}"
