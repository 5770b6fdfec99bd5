"""``assign-core relay``: hand queued e-mails to the mail system, and show those of which nobody knows.

Any number of relays may run at once, and one may be killed at any moment. An e-mail whose answer was lost is sent again
only if the mail system recognises its key. Otherwise it is for a person to look there, and to say what they found.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from assign_cli.app import Command
from assign_cli.database import dsn_option, names_of, names_options, open_connection
from assign_cli.errors import BadInput, Refusal
from assign_cli.inputs import Seconds
from assign_cli.relayed import Listener, lines
from assign_cli.terminal import printable
from assign_core.booking import EmailState
from assign_core.errors import InvalidValue
from assign_core.outbox import Transport
from assign_core.ports import Email, EmailKind

try:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from assign_cli.booking_values import BookingValues
    from assign_postgres import DatabaseFailure, PostgresMailer, PostgresOutbox
    from assign_postgres.outbox import Unknown
    from assign_runtime import ThreadRuntime
    from assign_smtp import SmtpServer, SmtpTransport, Templates
except ModuleNotFoundError as missing:
    raise BadInput(f"{missing.name} is not installed; pip install 'assign-core[cli,postgres,smtp]'") from None

_SHOWN: Final = 20
"""E-mails of an unknown fate that are listed; the ledger has them all."""
_MOST: Final = 1_000_000
"""E-mails of one round; they are read at once."""
_SECONDS_TO_SETTLE: Final = 60.0


def _zone(_ctx: click.Context, _param: click.Parameter, value: str | None) -> ZoneInfo | None:
    try:
        return None if value is None else ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise BadInput(f"--timezone {value!r} is no time zone; pass one such as Europe/Zurich") from None


@click.command(cls=Command)
@dsn_option
@click.option("--smtp", "url", envvar="ASSIGN_CORE_SMTP", metavar="URL", help="Such as smtp://user@host:587.")
@click.option(
    "--templates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="With --smtp: confirmation.txt, modification.txt and staff_notice.txt. Each has the headers From, To and "
    "Subject, an empty line, and the text; $name is a column of the bookings table, $booking its id.",
)
@click.option(
    "--timezone",
    "zone",
    callback=_zone,
    metavar="ZONE",
    help="Of the times in the e-mails, such as Europe/Zurich. Default: the restaurant's, where the reference schema "
    "says it; else UTC, and the e-mail says so.",
)
@click.option("--deduplicates", is_flag=True, help="With --smtp: the server sends no second e-mail of one Message-ID.")
@click.option("--transport", "factory", metavar="MODULE:NAME", help="Instead of --smtp: what makes your own transport.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, show_default=True, help="E-mails of one round.")
@click.option("--timeout", type=Seconds(1), default=30.0, show_default=True, help="Seconds for one e-mail.")
@click.option("--once", is_flag=True, help="One round, then end. The default.")
@click.option("--every", type=Seconds(0.05), metavar="SECONDS", help="Rounds until SIGTERM or Ctrl-C.")
@click.option("--sent", "known_sent", multiple=True, metavar="KEY", help="Note that an unknown e-mail was sent.")
@click.option("--send-again", "known_lost", multiple=True, metavar="KEY", help="Note that one was not: it is sent.")
@names_options
def relay(
    dsn: str | None,
    url: str | None,
    templates: Path | None,
    zone: ZoneInfo | None,
    factory: str | None,
    limit: int,
    timeout: float,
    every: float | None,
    known_sent: tuple[str, ...],
    known_lost: tuple[str, ...],
    *,
    deduplicates: bool,
    once: bool,
    **names: str,
) -> None:
    """Hand queued e-mails to the mail system.

    Ends with 1 if a database fails, or if there are e-mails whose fate is unknown.
    """
    if dsn is None:
        raise BadInput("no database was named; pass --dsn, or set ASSIGN_CORE_DSN")
    if once and every is not None:
        raise BadInput("--once ends after a round and --every does not; pass one of them")
    if factory is not None and url is not None and _on_the_line("url"):
        raise BadInput("--smtp and --transport both say how to send; pass one of them")
    found = [(_email(key), state) for keys, state in _decided(known_sent, known_lost) for key in keys]
    called, runtime = names_of(names), ThreadRuntime()
    engine = create_engine("postgresql+psycopg://", creator=partial(open_connection, dsn), poolclass=NullPool)
    values = BookingValues(engine, called, zone)
    transport = _by_smtp(url, templates, values, runtime, deduplicates) if factory is None else _made(factory)
    # Longer than a hand-over, so that nobody takes its sender for dead meanwhile.
    lease = timedelta(seconds=timeout + _SECONDS_TO_SETTLE)
    outbox = PostgresOutbox(engine, runtime, names=called, sending_lease=lease)
    try:
        open_connection(dsn).close()
        for email, state in found:
            _decide(outbox, email, state)
        with _until_told_to_end() as ending:
            left = _rounds(outbox, transport, ending, limit, timeout, every)
    except (DatabaseFailure, TimeoutError) as error:
        raise Refusal(str(error)) from None
    if left:
        raise click.exceptions.Exit(1)


def _on_the_line(option: str) -> bool:
    """Whether it was given, and not only in the environment."""
    return click.get_current_context().get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE


def _decided(sent: tuple[str, ...], lost: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], EmailState], ...]:
    return (sent, EmailState.SENT), (lost, EmailState.CLAIMED)


def _rounds(
    outbox: PostgresOutbox,
    transport: Transport,
    ending: threading.Event,
    limit: int,
    timeout: float,
    every: float | None,
) -> bool:
    """Whether there are e-mails of an unknown fate in the end."""
    shown: set[str] = set()
    unknown: list[Unknown] = []
    while True:
        listener = Listener(transport)
        mailer = PostgresMailer(outbox, listener)
        try:
            states = mailer.relay(limit=limit, timeout=timeout, go_on=lambda: not ending.is_set())
            unknown = list(outbox.unknown(limit=_SHOWN))
        except (DatabaseFailure, TimeoutError, BadInput) as error:  # the last: it cannot be reached any more
            if every is None:
                raise
            click.echo(f"assign-core: {printable(str(error))}; trying again", err=True)
        else:
            if states or every is None:
                click.echo("\n".join(lines(states, listener.reasons)))
            fresh = [each for each in unknown if each.email.key not in shown]
            shown = {each.email.key for each in unknown}
            _show(fresh)
        if every is None or ending.wait(every):
            return bool(unknown)


def _show(unknown: list[Unknown]) -> None:
    if not unknown:
        return
    # Not folded to the terminal's width: it is to be copied.
    click.echo("\nWhether these were sent, nobody knows. Look into the mail system, and say what you have found:")
    for each in unknown:
        key = printable(each.email.key)
        click.echo(f"  {key}  since {each.since.astimezone(UTC):%Y-%m-%d %H:%MZ}: {printable(each.error)}")
        click.echo(f"    it was sent:  assign-core relay … --sent '{key}'")
        click.echo(f"    it was not:   assign-core relay … --send-again '{key}'")


@contextmanager
def _until_told_to_end() -> Iterator[threading.Event]:
    """Set by SIGTERM and Ctrl-C, which would otherwise end a hand-over in its middle and leave its outcome unknown."""
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    former = {}
    if threading.current_thread() is threading.main_thread():
        former = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ending
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def _email(key: str) -> Email:
    """Which e-mail a key means."""
    rest, _, revision = key.rpartition(":")
    booking_id, _, kind = rest.rpartition(":")
    try:
        return Email(booking_id=booking_id, kind=EmailKind(kind), revision=int(revision))
    except ValueError:
        raise BadInput(f"{key!r} is no key of an e-mail; it looks like 'b1:confirmation:0'") from None


def _decide(outbox: PostgresOutbox, email: Email, state: EmailState) -> None:
    """Settle an e-mail of an unknown fate as somebody has found it."""
    if not outbox.decide(email, state):
        raise BadInput(f"{email.key!r} is no e-mail of an unknown fate; run without it to see which there are")
    click.echo(f"{printable(email.key)}: {'sent' if state is EmailState.SENT else 'waiting'}")


def _by_smtp(
    url: str | None,
    templates: Path | None,
    values: BookingValues,
    runtime: ThreadRuntime,
    deduplicates: bool,
) -> Transport:
    if url is None:
        raise BadInput("nothing says how to send; pass --smtp smtp://user@host:587 or --transport module:name")
    if templates is None:
        raise BadInput("--smtp needs words to send; pass --templates FOLDER, or --transport module:name instead")
    try:
        return SmtpTransport(SmtpServer.of(url), Templates.of(templates, values), runtime, deduplicates=deduplicates)
    except InvalidValue as error:
        raise BadInput(str(error)) from None


def _made(factory: str) -> Transport:
    """What the host's own function answers."""
    module, colon, name = factory.partition(":")
    if not module or not colon or not name:
        raise BadInput(f"--transport is {factory!r}; pass module:name of a function that makes a transport")
    sys.path.insert(0, "")  # a host's modules stand where it starts its commands
    try:
        made: object = getattr(import_module(module), name)()
    except Exception as error:  # noqa: BLE001 - the host's own function, which may fail in any way
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(f"--transport {factory} cannot be made: {said}") from None
    if not callable(getattr(made, "send", None)) or not isinstance(getattr(made, "deduplicates", None), bool):
        raise BadInput(f"--transport {factory} made {made!r}; a transport has `deduplicates` and `send`")
    transport: Transport = made  # type: ignore[assignment]  # looked at just now
    return transport
