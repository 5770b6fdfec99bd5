"""Recordings of every kind in files, told apart by what is in them: CSV by its columns, JSON by its first sign.

A file is a planner history or an inline recording (:mod:`assign_cli.history`), or an export of
``observability_events``: a JSON array, one JSON object a line, or CSV. The events of all files are put together at the
end, since an export may be cut in the middle of an attempt.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from assign_cli.assembling import attempts_of
from assign_cli.errors import BadInput
from assign_cli.history import History, MalformedRow, csv_rows, read_history
from assign_cli.inputs import shown
from assign_cli.told import COLUMNS, Place, Told, columns_of, told

_EXPORT: Final = "an export of observability_events"
_CONTEXT: Final = COLUMNS["context"][0]


@dataclass(slots=True)
class Recordings:
    """What has been read so far."""

    history: History = field(default_factory=History)
    events: list[Told] = field(default_factory=list)
    malformed: list[MalformedRow] = field(default_factory=list)

    def add_file(self, name: str, content: bytes) -> None:
        """Read a file.

        Args:
            name: the file's, for messages.

        Raises:
            BadInput: it is of no known kind.
        """
        start = content.removeprefix(codecs.BOM_UTF8).lstrip()
        if start.startswith(b"["):
            self.add_rows(_array(name, content))
            return
        if start.startswith(b"{"):
            self.add_rows(_json_lines(name, content))
            return
        _check_header(name, start, len(content) - len(start))
        if (columns := _event_columns(name, content)) is not None:
            self.add_rows(_csv_lines(name, content, columns))
        else:
            self.history += read_history(name, content)

    def add_rows(self, rows: Iterable[tuple[Place, Mapping[str, object] | ValueError]]) -> None:
        """Read rows of ``observability_events``, each by the names of :data:`assign_cli.told.COLUMNS`."""
        for place, row in rows:
            try:
                if isinstance(row, ValueError):
                    raise row
                event = told(place, row)
            except ValueError as error:
                self.malformed.append(MalformedRow(place.file, place.line, str(error), place.unit))
            else:
                if event is not None:
                    self.events.append(event)

    def finished(self) -> History:
        """All of it; if any row is malformed, those rows and nothing else can be used."""
        return self.history + History(attempts=attempts_of(self.events), malformed=tuple(self.malformed))


_Rows = Iterator[tuple[Place, "Mapping[str, object] | ValueError"]]


def _array(name: str, content: bytes) -> _Rows:
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        cause = f"{error.msg} at line {error.lineno} column {error.colno}"
        raise BadInput(f"{name} is not JSON: {cause}; pass {_EXPORT}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8: byte {content[error.start]:#04x} at {error.start}") from None
    except (ValueError, RecursionError) as error:
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(f"{name} is not JSON: {cause}; pass {_EXPORT}") from None
    for number, row in enumerate(found, 1):
        yield Place(file=name, line=number, unit="row"), _of_object(row)


def _json_lines(name: str, content: bytes) -> _Rows:
    # Not `splitlines`, for which a JSON text may hold further ends of a line.
    for number, line in enumerate(content.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if line.strip():
            yield Place(file=name, line=number), _of_line(line)


def _of_line(line: bytes) -> Mapping[str, object] | ValueError:
    try:
        return _of_object(json.loads(line.decode()))
    except json.JSONDecodeError as error:
        return ValueError(f"the line is not JSON: {error.msg} at column {error.colno}")
    except UnicodeDecodeError as error:
        return ValueError(f"the line is not UTF-8: byte {line[error.start]:#04x} at {error.start}")
    except (ValueError, RecursionError) as error:
        return ValueError(f"the line is not JSON: {error}")


def _of_object(row: Any) -> Mapping[str, object] | ValueError:
    if not isinstance(row, dict):
        return ValueError(f"the row is {shown(row)}; expected a JSON object")
    try:
        columns = columns_of(list(row))
    except ValueError as error:
        return error
    return {wanted: row[column] for wanted, column in columns.items()}


def _check_header(name: str, start: bytes, skipped: int) -> None:
    """A spreadsheet or an archive has a first line too, and what it says there is no column's name."""
    header = start.partition(b"\n")[0]
    try:
        header.decode()
        place = header.find(b"\0")
    except UnicodeDecodeError as error:
        place = error.start
    if place >= 0:
        raise BadInput(f"{name} is not UTF-8 text: byte {header[place]:#04x} at {skipped + place}; pass CSV or JSON")


def _event_columns(name: str, content: bytes) -> list[str] | None:
    """The header of a CSV file, if it is an export of events."""
    header = next(csv_rows(_text(content)), None)
    if header is None or isinstance(header[1], csv.Error) or _CONTEXT not in header[1]:
        return None
    columns = header[1]
    try:
        columns_of(columns)
    except ValueError as error:
        raise BadInput(f"{name}: {error}, as {_EXPORT} has it") from None
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise BadInput(f"{name}: column {shown(twice)} stands there twice")
    return columns


def _csv_lines(name: str, content: bytes, columns: list[str]) -> _Rows:
    places = {wanted: columns.index(column) for wanted, column in columns_of(columns).items()}
    rows = csv_rows(_text(content))
    next(rows)
    for line, fields in rows:
        yield Place(file=name, line=line), _of_fields(places, columns, fields)


def _of_fields(
    places: Mapping[str, int], columns: list[str], fields: list[str] | csv.Error
) -> Mapping[str, object] | ValueError:
    if isinstance(fields, csv.Error):
        return ValueError(f"the row is not CSV: {fields}")
    if len(fields) != len(columns):
        return ValueError(f"the row has {len(fields)} fields, the header {len(columns)}")
    for wanted, place in places.items():
        if not fields[place].isascii() and any("\ud800" <= sign <= "\udfff" for sign in fields[place]):
            return ValueError(f"{wanted} is {shown(fields[place])}, which is not UTF-8")
    return {wanted: fields[place] for wanted, place in places.items()}


def _text(content: bytes) -> str:
    # A byte that is not UTF-8 damages its row, not the file.
    return content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
