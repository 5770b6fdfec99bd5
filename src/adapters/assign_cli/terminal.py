"""What is safe to print, and how.

A stored reason is somebody else's text. It may hold escape sequences that repaint a terminal, line breaks that forge
a second row, or half a character that no encoding can write. So text from outside is made :func:`printable` first, and
nothing of it is ever read as markup. JSON is written in ASCII, so that it survives every pipe.
"""

from __future__ import annotations

import json
import unicodedata

import click
from rich.console import Console, RenderableType


def printable(text: str) -> str:
    """``text`` with every character that is not seen (controls, line breaks, surrogates) as its escape."""
    if text.isprintable():
        return text
    return "".join(
        sign
        if sign.isprintable() or unicodedata.category(sign) == "Zs"
        else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


def say_json(value: object) -> None:
    """One JSON document, indented for people who look at it all the same."""
    click.echo(json.dumps(value, indent=2))


def say_json_line(value: object) -> None:
    """One JSON document on one line."""
    click.echo(json.dumps(value))


def show(*parts: RenderableType, folds: bool = True) -> None:
    """Tables and paragraphs, as wide as the terminal, or 80 columns where there is none.

    Args:
        folds: a line that is longer goes on in the next one; not where each line is to be found by itself.
    """
    console = Console(markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        for part in parts:
            console.print(part, soft_wrap=not folds)
    # Trailing blanks come from padded cells, and make every diff of two outputs noisy.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
