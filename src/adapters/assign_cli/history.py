"""A recorded planner history, read from CSV: all of it, or a list of what is wrong with it.

Two layouts are known here, told apart by their columns. A *planner history* has one row for each whole attempt of a
job. An *inline recording* has one row for each booking made through the web, with the blob that its inline attempt left
and the status the booking ended with. Numbers drawn from half a file would be believed, so a file with damaged
rows gives every damaged row by its line, and no history.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from assign_cli.errors import BadInput
from assign_cli.inputs import moment, shown
from assign_core import ReasonCode, Source

Unit = Literal["line", "row"]
"""What a place in a recording is counted in: the lines of a file, or the rows of a document or table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttempt:
    """A row of a planner history.

    Attributes:
        file, line: where it stands.
        run: which run of the script made it; ``None`` where the file has no such column.
        reported_at: when its outcome was known.
        duration_ms: milliseconds of the whole attempt.
        reason_code: of the failure, where the record names one of ours.
        source: who made it.
        attempt_id: its id, where it has one.
        calls: planner calls in it; a second one follows a refused plan.
        measured: the record says how long its calls took; if not, what it does not say counts as 0 in ``duration_ms``.
        modified: the guest's modification led to it, so what was found before says nothing about it.
        unit: what ``line`` counts.
    """

    file: str
    line: int
    booking_id: str
    reported_at: datetime
    success: bool
    reason: str | None
    duration_ms: int
    run: str | None = None
    reason_code: ReasonCode | None = None
    source: Source = Source.JOB
    attempt_id: str | None = None
    calls: int = 1
    measured: bool = True
    modified: bool = False
    unit: Unit = "line"

    @property
    def began_at(self) -> datetime:
        """When the planner was called."""
        return self.reported_at - timedelta(milliseconds=self.duration_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInline:
    """A row of an inline recording.

    Attributes:
        file, line: where it stands.
        seen_at: when the booking's row was looked at, after the attempt.
        final_status: what it said in the end.
        recorded_at, success, reason, duration_ms, email_sent, attempt_id: the stored blob.
    """

    file: str
    line: int
    booking_id: str
    seen_at: datetime
    final_status: str
    recorded_at: datetime
    success: bool
    reason: str | None
    duration_ms: int
    email_sent: bool
    attempt_id: str | None = None
    unit: Unit = "line"

    @property
    def began_at(self) -> datetime:
        """When the planner was called."""
        return self.recorded_at - timedelta(milliseconds=self.duration_ms)


@dataclass(frozen=True, slots=True)
class MalformedRow:
    """A row that cannot be read, and why."""

    file: str
    line: int
    problem: str
    unit: Unit = "line"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.unit == "line" else f"{self.file}: row {self.line}"
        return f"{where}: {self.problem}"


@dataclass(frozen=True, slots=True)
class History:
    """What one or more files hold, in their order."""

    attempts: tuple[RecordedAttempt, ...] = ()
    inline: tuple[RecordedInline, ...] = ()
    malformed: tuple[MalformedRow, ...] = ()

    def __add__(self, other: History) -> History:
        return History(self.attempts + other.attempts, self.inline + other.inline, self.malformed + other.malformed)


# Readers of one field. Each returns the value or raises ValueError with the predicate of a sentence.

_LONGEST_MS: Final = 10**9
_YEARS: Final = range(1970, 3000)


def _name(field: str) -> str:
    if not field.strip():
        raise ValueError("is empty; every row needs one")
    return field


def _reason(field: str) -> str | None:
    return field or None


def _flag(field: str) -> bool:
    if field.lower() not in {"true", "false"}:
        raise ValueError(f"is {shown(field)}; expected True or False")
    return field.lower() == "true"


def _milliseconds(field: str) -> int:
    if re.fullmatch(r"[0-9]{1,10}(?:\.[0-9]+)?", field) is None or float(field) > _LONGEST_MS:
        raise ValueError(f"is {shown(field)}; expected milliseconds from 0 to {_LONGEST_MS}")
    return round(float(field))


def moment_in_recording(field: object) -> datetime:
    """A time with its zone, in a year that leaves room to reckon.

    Raises:
        ValueError: it is none; the message is the predicate of a sentence.
    """
    found = moment(field)
    # Some years of room on both sides, so that no sum of recorded times and settings can leave the calendar.
    if found.year not in _YEARS:
        raise ValueError(f"is {shown(field)}; expected a year from {_YEARS.start} to {_YEARS.stop - 1}")
    return found


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of a kind of file: those that are read, those of them that may be missing, those that are known."""

    title: str
    row: Callable[..., RecordedAttempt | RecordedInline]
    read: Mapping[str, tuple[str, Callable[[str], object]]]
    optional: frozenset[str]
    ignored: frozenset[str]

    @property
    def known(self) -> list[str]:
        return [*self.read, *sorted(self.ignored)]


_PLANNER_HISTORY: Final = _Layout(
    title="a planner history",
    row=RecordedAttempt,
    read={
        "booking_id": ("booking_id", _name),
        "executed_at": ("reported_at", moment_in_recording),
        "success": ("success", _flag),
        "reason": ("reason", _reason),
        "duration_ms": ("duration_ms", _milliseconds),
        "run": ("run", _name),
    },
    optional=frozenset({"run"}),
    ignored=frozenset({"restaurant", "party", "time", "failure_type", "alternates", "skipped_candidates"}),
)
_INLINE_RECORDING: Final = _Layout(
    title="an inline recording",
    row=RecordedInline,
    read={
        "booking_id": ("booking_id", _name),
        "ts": ("seen_at", moment_in_recording),
        "final_status": ("final_status", _name),
        "blob_success": ("success", _flag),
        "blob_reason": ("reason", _reason),
        "blob_duration_ms": ("duration_ms", _milliseconds),
        "blob_email_sent": ("email_sent", _flag),
        "blob_last_attempt_at": ("recorded_at", moment_in_recording),
        "attempt_id": ("attempt_id", _reason),
    },
    optional=frozenset({"attempt_id"}),
    ignored=frozenset({"party", "booking_date", "start_time", "tables_assigned", "submit_ms", "total_ms"}),
)


def read_history(name: str, content: bytes) -> History:
    """The history in a CSV file's ``content``. A file of columns without rows holds none.

    Args:
        name: the file's, for messages.

    Raises:
        BadInput: it is empty, is no text, or its columns are of no known layout.
    """
    # A byte that is not UTF-8 damages its row, not the file.
    text = content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    if not text.strip():
        # An export that failed leaves a file like this, and must not pass for a quiet day.
        raise BadInput(f"{name} is empty: it has not even the names of its columns; export it again")
    rows = csv_rows(text)
    _, columns = next(rows)
    if isinstance(columns, csv.Error):
        raise BadInput(f"{name}: the header is not CSV: {columns}; save the file as comma-separated UTF-8")
    layout = _layout_of(name, columns)
    found: list[Any] = []
    malformed: list[MalformedRow] = []
    for line, fields in rows:
        try:
            found.append(layout.row(file=name, line=line, **_values(layout, columns, fields)))
        except ValueError as error:
            malformed.append(MalformedRow(name, line, str(error)))
    if malformed:
        return History(malformed=tuple(malformed))
    return History(attempts=tuple(found)) if layout is _PLANNER_HISTORY else History(inline=tuple(found))


def csv_rows(text: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The rows that are not blank, each with the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error
            continue
        if fields:
            yield line, fields


def _layout_of(name: str, columns: list[str]) -> _Layout:
    layout = max((_PLANNER_HISTORY, _INLINE_RECORDING), key=lambda each: len(set(each.known) & set(columns)))
    expected = f"the columns of {layout.title} are {', '.join(layout.known)}"
    for column in columns:
        if column not in layout.known:
            raise BadInput(f"{name}: unknown column {shown(column)}; {expected}")
        if columns.count(column) > 1:
            raise BadInput(f"{name}: column {shown(column)} stands there twice; {expected}")
    for column in layout.read:
        if column not in columns and column not in layout.optional:
            raise BadInput(f"{name}: column {shown(column)} is missing; {expected}")
    return layout


def _values(layout: _Layout, columns: list[str], fields: list[str] | csv.Error) -> dict[str, object]:
    if isinstance(fields, csv.Error):
        raise ValueError(f"the row is not CSV: {fields}")
    if len(fields) != len(columns):
        raise ValueError(f"the row has {len(fields)} fields, the header {len(columns)}")
    values: dict[str, object] = {}
    problems: list[str] = []
    for column, field in zip(columns, fields, strict=True):
        try:
            if not field.isascii() and any("\ud800" <= sign <= "\udfff" for sign in field):
                raise ValueError(f"is {shown(field)}, which is not UTF-8")
            if column in layout.read:
                attribute, read = layout.read[column]
                values[attribute] = read(field)
        except ValueError as error:
            problems.append(f"{column} {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return values
