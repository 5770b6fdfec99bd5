"""How a command refuses: one line on standard error, and an exit code that says whose fault it is.

2 means that the command line, or a file it names, cannot be meant; 1 that a readable history has rows that are
damaged, or that the answer could not be written.
"""

from __future__ import annotations

from typing import IO, Any, ClassVar

import click

from assign_cli.terminal import printable


class Refusal(click.ClickException):
    """Base of every error that ends a command; shown as one line."""

    exit_code: ClassVar[int] = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, on standard error unless told otherwise."""
        click.echo(f"assign-core: {printable(' '.join(self.format_message().splitlines()))}", file=file, err=True)


class BadInput(Refusal):
    """What the command was given cannot be meant; the message says what, which value, and the remedy."""

    exit_code: ClassVar[int] = 2
