"""``python -m assign_cli.readme README.md [--check]``: the tables of the documentation, written from the code.

A table that is copied by hand is wrong after the next change, and nobody notices. So the README marks where a table
belongs, this module writes it there from the value that the program itself uses, and ``--check`` fails when the two
have drifted apart. A part is everything between two lines::

    <!-- generated: decision-table -->
    <!-- end generated -->

A measurement is such a part as well: it is written from the results that are kept beside the document, so that no
figure is typed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import timedelta
from inspect import cleandoc
from pathlib import Path
from typing import Final

import click

from assign_cli.__main__ import COMMANDS
from assign_cli.app import Command
from assign_cli.errors import BadInput
from assign_cli.inputs import STANDARD_INPUT, read_bytes
from assign_cli.measured import MEASURED
from assign_cli.reference import (
    BLOB_HEAD,
    COMMANDS_HEAD,
    DECISION_HEAD,
    blob_rows,
    command_rows,
    decision_rows,
)
from assign_core import CATALOGUE, Policy, Strategy


def decision_table() -> str:
    """The rules in order, the first that has an answer decides; and below them what may change a rule's answer."""
    return _table(DECISION_HEAD, decision_rows())


def policy_table() -> str:
    """Every setting with its default."""
    meanings = _attributes(Policy.__doc__ or "")
    return _table(
        ("setting", "default", "meaning"),
        ((f"`{field.name}`", _in_words(field.default), meanings[field.name]) for field in fields(Policy)),
    )


def events_table() -> str:
    """Every telemetry event."""
    return _table(
        ("event", "severity", "meaning", "context keys"),
        (
            (f"`{name}`", spec.severity, spec.meaning, ", ".join(f"`{key}`" for key in spec.keys))
            for name, spec in CATALOGUE.items()
        ),
    )


PARTS: Final[Mapping[str, Callable[[Path], str]]] = {
    "decision-table": lambda _: decision_table(),
    "policy-table": lambda _: policy_table(),
    "events-table": lambda _: events_table(),
    "blob": lambda _: _table(BLOB_HEAD, blob_rows()),
    "commands": lambda _: _table(COMMANDS_HEAD, command_rows(COMMANDS)),
    **MEASURED,
}
"""Each part, given the folder that the document is in."""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _attributes(docstring: str) -> dict[str, str]:
    """The meanings in a docstring's section ``Attributes``, without what they say of defaults: the value says that."""
    section = re.search(r"^Attributes:\n((?:[ ]+.*\n|\n)*)", cleandoc(docstring) + "\n", re.MULTILINE)
    meanings: dict[str, str] = {}
    for entry in re.finditer(r"^ {4}(\w+): (.*\n(?: {5,}.*\n)*)", section[1] if section else "", re.MULTILINE):
        words = " ".join(entry[2].split())
        # A sentence ends at a full stop that is not a decimal point.
        words = re.sub(r"(?:[,;] default| Default):? (?:[^.]|\.(?=\d))*\.", lambda found: _end(found[0]), words)
        meanings[entry[1]] = words[:1].upper() + words[1:]
    return meanings


def _end(default: str) -> str:
    """What is left of a remark on the default: the full stop, unless the remark was a sentence of its own."""
    return "" if default.startswith(" ") else "."


def _in_words(value: object) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case timedelta():
            seconds = value.total_seconds()
            if value and not value % timedelta(days=1):
                return f"{value.days} days"
            return f"{seconds / 60:g} min" if seconds >= 60 and not seconds % 60 else f"{seconds:g} s"
        case tuple():
            return ", ".join(map(_in_words, value))
        case Strategy(require_adjacency=None, max_tables=None):
            return "the planner's own"
        case _:
            return str(value)


_MARKER: Final = re.compile(
    r"^[ \t]*<!--[ \t]*(?:generated:[ \t]*(?P<part>\S+)|(?P<end>end generated))[ \t]*-->[ \t]*$"
)


def rewrite(document: str, folder: Path) -> tuple[str, list[str]]:
    """The document with every part as it should be, and the names of those that were not.

    Args:
        folder: the document's, where measurements are kept.

    Raises:
        ValueError: a part that is not known, is not closed, or whose measurements are not there.
    """
    newline = "\r\n" if "\r\n" in document else "\n"
    written: list[str] = []
    drifted: list[str] = []
    part: str | None = None
    body: list[str] = []
    for number, line in enumerate(document.split(newline), 1):
        marker = _MARKER.match(line)
        if marker is None:
            (written if part is None else body).append(line)
            continue
        if (marker["end"] is None) is not (part is None):
            opened = "no part is open" if part is None else f"part {part!r} is still open"
            raise ValueError(f"line {number} says {line.strip()!r} while {opened}")
        if marker["part"] is not None:
            part, body = marker["part"], []
            if part not in PARTS:
                raise ValueError(f"line {number} names an unknown part {part!r}; the parts are {', '.join(PARTS)}")
        elif part is not None:
            wanted = ["", *PARTS[part](folder).split("\n"), ""]
            if body != wanted:
                drifted.append(part)
            written += wanted
            part = None
        written.append(line)
    if part is not None:
        raise ValueError(f"part {part!r} is not closed; write <!-- end generated --> after it")
    return newline.join(written), drifted


@click.command(cls=Command)
@click.argument("file")
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 and name the parts that have drifted.")
@click.pass_context
def readme(ctx: click.Context, file: str, *, check: bool) -> None:
    """Write the generated parts of FILE."""
    if file == STANDARD_INPUT:
        raise BadInput("the document is rewritten in place, so it cannot be standard input; pass its path")
    try:
        document, drifted = rewrite(read_bytes("the document", file).decode(), Path(file).parent)
    except ValueError as error:
        raise BadInput(f"{file!r}: {error}") from None
    if check and drifted:
        click.echo(f"{file}: {', '.join(drifted)} out of date; run python -m assign_cli.readme {file}", err=True)
        ctx.exit(1)
    if drifted:
        with open(file, "wb") as target:
            target.write(document.encode())
    click.echo(f"{file}: {'wrote ' + ', '.join(drifted) if drifted else 'up to date'}")


if __name__ == "__main__":
    readme(prog_name="assign_cli.readme")
