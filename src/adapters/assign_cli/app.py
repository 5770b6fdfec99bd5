"""The group of commands, and how any of them ends.

Commands are loaded when they are called, so that ``classify`` in a pipe does not pay for the simulation behind
``demo``. A usage error, wherever the library finds it, leaves as the same one line that our own errors do. A reader
that has seen enough (``| head``) is no error: the command ends without a word, with the status of a program that
SIGPIPE has ended, so that it cannot be taken for a verdict.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from assign_cli.errors import BadInput, Refusal

READER_GONE = 128 + 13
"""What a shell reports of a program that SIGPIPE has ended."""


@dataclass(frozen=True, slots=True)
class Subcommand:
    """Where a command lives, as ``module:attribute``, and its line in the list of commands."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """The command itself.

        Raises:
            TypeError: the target is no command.
        """
        module, _, attribute = self.target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is no command: {command!r}")
        return command


class _OneLine(click.Command):
    """A command whose every error is one line."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        path = info_name or "" if parent is None else f"{parent.command_path} {info_name}"
        with _one_line(path):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line(ctx.command_path), _while_writing():
            return super().invoke(ctx)


class Command(_OneLine):
    """A command of the group, or one that stands alone."""


class App(_OneLine, click.Group):
    """The group: the commands of a table, loaded when they are called."""

    def __init__(self, *, name: str, subcommands: Mapping[str, Subcommand], help: str) -> None:  # noqa: A002 - click's
        super().__init__(name=name, help=help, invoke_without_command=True, callback=_help_unless_called)
        click.version_option(package_name="assign-core", message="%(prog)s %(version)s")(self)
        self.subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The table's names, in its order."""
        return list(self.subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command, loaded now."""
        found = self.subcommands.get(cmd_name)
        return None if found is None else found.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The list of commands, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, subcommand.summary) for name, subcommand in self.subcommands.items()])


@click.pass_context
def _help_unless_called(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@contextmanager
def _one_line(command_path: str) -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        path = command_path if error.ctx is None else error.ctx.command_path
        raise BadInput(f"{error.format_message().rstrip('.')}; see '{path} --help'") from None


@contextmanager
def _while_writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _write_nowhere()
        raise click.exceptions.Exit(READER_GONE) from None
    except OSError as error:
        _write_nowhere()
        raise Refusal(f"the answer could not be written: {error.strerror or error}; it is incomplete") from None


def _write_nowhere() -> None:
    """What is still buffered must not fail once more when the interpreter flushes it."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
