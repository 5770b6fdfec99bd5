"""What comes in from outside: files, standard input, times. Whatever cannot be meant is refused here, in one line."""

from __future__ import annotations

import codecs
import json
import math
import sys
from datetime import datetime
from typing import BinaryIO, Final, NoReturn

import click

from assign_cli.errors import BadInput
from assign_core.errors import InvalidValue, aware

STANDARD_INPUT: Final = "-"
LONGEST_DOCUMENT: Final = 1 << 20
"""Bytes of a JSON file that are read at most; a booking or a policy takes a few hundred."""
_WHOLE_64_BITS: Final = 1 << 63
_LONGEST_SHOWN: Final = 60
_DAY: Final = 86_400.0


def shown(value: object) -> str:
    """A value for an error message: short, on one line."""
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}… ({len(text)} characters)"


def read_bytes(what: str, path: str, limit: int = -1) -> bytes:
    """The content of a file, or of standard input for ``-``; at most ``limit`` bytes of it.

    Args:
        what: how the error message calls the file, such as ``--booking``.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        if path == STANDARD_INPUT:
            _only_once(what)
            return open_standard_input().read(limit)
        with open(path, "rb") as file:
            return file.read(limit)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(
            f"cannot read {what} {path!r}: {cause}; pass the path of a readable file, or - for standard input"
        ) from None


def _only_once(what: str) -> None:
    """The second reader would find nothing, and take that for an answer."""
    readers = click.get_current_context().meta.setdefault(f"{__name__}.readers", [])
    readers.append(what)
    if len(readers) > 1:
        raise BadInput(f"{' and '.join(readers)} both read standard input; give one of them as a file")


def open_standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises:
        BadInput: it is closed.
    """
    stream: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise BadInput("cannot read standard input: it is closed; redirect a file into it")
    return stream


def read_object(what: str, path: str, example: str) -> dict[str, object]:
    """The JSON object that a file holds.

    Args:
        what: how the error message calls the file.
        example: what the file should look like, for the error message.

    Raises:
        BadInput: it cannot be read, is no JSON, or is another kind of JSON.
    """
    content = read_bytes(what, path, LONGEST_DOCUMENT + 1).removeprefix(codecs.BOM_UTF8)
    where, remedy = f"{what} {path!r}", f"pass a JSON object such as {example}"
    if len(content) > LONGEST_DOCUMENT:
        raise BadInput(f"{where} is longer than {LONGEST_DOCUMENT} bytes; {remedy}")
    try:
        found = json.loads(content.decode(), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        cause = f"{error.msg} at line {error.lineno} column {error.colno}"
        raise BadInput(f"{where} is not JSON: {cause}; {remedy}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8: byte {content[error.start]:#04x} at {error.start}; {remedy}") from None
    except (ValueError, RecursionError) as error:
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(f"{where} is not JSON: {cause}; {remedy}") from None
    if not isinstance(found, dict):
        raise BadInput(f"{where} is not a JSON object: {shown(found)}; {remedy}")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it says {name}")


def whole(value: object, least: int | None = None) -> int:
    """A whole number of 64 bits from JSON, not below ``least``.

    Raises:
        ValueError: it is none; the message is the predicate of a sentence.
    """
    if type(value) is not int or not -_WHOLE_64_BITS <= value < _WHOLE_64_BITS or (least is not None and value < least):
        raise ValueError(f"is {shown(value)}; pass a whole number{'' if least is None else f' from {least}'}")
    return value


def text(value: object) -> str:
    """A text that is not empty, from JSON.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"is {shown(value)}; pass a text that is not empty")
    return value


def moment(value: object) -> datetime:
    """The moment that an ISO 8601 text names, in UTC.

    Raises:
        ValueError: it is no time, or has no zone.
    """
    if not isinstance(value, str):
        raise ValueError(f"is {shown(value)}; pass a time such as '2026-03-14T19:30:00Z'")
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is {shown(value)}, which is no time; pass one such as '2026-03-14T19:30:00Z'") from None
    if found.utcoffset() is None:
        raise ValueError(f"is {shown(value)}, without a time zone; add Z or an offset such as +01:00")
    try:
        return aware("the time", found)
    except InvalidValue as error:
        raise ValueError(f"is {shown(value)}: {error}") from None


def moment_option(_ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """For an option's ``callback``: the moment that its value names.

    Raises:
        BadInput: it is no time, or has no zone.
    """
    try:
        return None if value is None else moment(value)
    except ValueError as error:
        raise BadInput(f"{param.opts[0]} {error}") from None


class Seconds(click.FloatRange):
    """For an option's ``type``: from ``least`` seconds to a day, which every clock and every database can add."""

    def __init__(self, least: float) -> None:
        super().__init__(least, _DAY)

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; ``nan`` is none, although it is below no limit and above none."""
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value} is no number of seconds; pass one from {self.min} to {self.max:g}", param, ctx)
        return found
