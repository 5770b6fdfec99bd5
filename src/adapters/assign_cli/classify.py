"""``assign-core classify``: what a planner's own words are taken for.

For people who tune their planner's reasons, so it works like ``grep``: texts as arguments, or lines on standard input,
answered one by one as they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from assign_cli.app import Command
from assign_cli.inputs import open_standard_input
from assign_cli.terminal import printable, say_json_line
from assign_core import FailureClass, ReasonCode, classify_reason

_CODE_WIDTH: Final = max(map(len, ReasonCode))
_CLASS_WIDTH: Final = max(map(len, FailureClass))


def _lines() -> Iterator[str]:
    for line in open_standard_input():
        yield line.decode(errors="replace").rstrip("\r\n")


@click.command(cls=Command)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--json", "json_", is_flag=True, help="One JSON object a line.")
def classify(texts: tuple[str, ...], *, json_: bool) -> None:
    """Give a planner's reasons their code and failure class.

    One line for each TEXT: code, class, text. Without TEXT it reads standard input line by line; an empty line is an
    empty reason, and an input without lines has no answers.
    """
    for reason in texts or _lines():
        code, failure_class = classify_reason(reason)
        if json_:
            say_json_line({"text": reason, "reason_code": code.value, "failure_class": failure_class.value})
        else:
            columns = click.style(f"{code:<{_CODE_WIDTH}}", bold=True), f"{failure_class:<{_CLASS_WIDTH}}"
            click.echo("  ".join((*columns, printable(reason))).rstrip())
