"""``assign-core explain``: what the policy decides for one booking and one stored result, and why.

The two files are not alike. The *booking* is what the caller tells us, and a booking that cannot be meant is refused.
The *stored result* is evidence: whatever a column may hold has a decision, so damage in it is an answer (unreadable),
not an error.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click

from assign_cli.app import Command
from assign_cli.errors import BadInput
from assign_cli.inputs import moment, moment_option, read_bytes, read_object, shown, text, whole
from assign_cli.settings import policy_option
from assign_cli.terminal import printable, say_json
from assign_core import Booking, Decision, EmailState, InvalidValue, LastResult, Policy, Unreadable, decide
from assign_core.explain import explain as in_words
from assign_wire import MAX_TEXT, loads
from assign_wire.times import write_time

_EXAMPLE: Final = '{"id": "b-1", "status": "pending", "start_at": "2026-03-14T19:30:00Z"}'
_NAMELESS: Final = "(unnamed)"


def _email(value: object) -> EmailState:
    states = [state.value for state in EmailState]
    if value not in states:
        raise ValueError(f"is {shown(value)}; pass null or one of {', '.join(states)}")
    return EmailState(str(value))


def _optional(read: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if value is None else read(value)


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "id": text,
    "status": text,
    "start_at": _optional(moment),
    "revision": lambda value: whole(value, least=0),
    "capacity_version": _optional(whole),
    "email": _optional(_email),
}


def read_booking(path: str | None) -> Booking:
    """The booking that a file holds, or a pending one of revision 0.

    Raises:
        BadInput: the file cannot be read, or names a key or value that does not exist.
    """
    given: dict[str, Any] = {"id": _NAMELESS}
    if path is None:
        return Booking(**given)
    where = f"--booking {path!r}"
    for key, value in read_object("--booking", path, _EXAMPLE).items():
        if key not in _READERS:
            raise BadInput(f"{where}: unknown key {shown(key)}; the keys are {', '.join(_READERS)}")
        try:
            given[key] = _READERS[key](value)
        except ValueError as error:
            raise BadInput(f"{where}: {key} {error}") from None
    try:
        return Booking(**given)
    except InvalidValue as error:
        raise BadInput(f"{where}: {error}") from None


def read_last_result(path: str) -> LastResult | Unreadable | None:
    """What a file says is stored. Damage in it is unreadable evidence; an empty file is NULL, as ``psql`` prints it.

    Raises:
        BadInput: the file itself cannot be read.
    """
    # One byte past what is read at all is enough to know that it is too long.
    content = read_bytes("--last-result", path, MAX_TEXT + len(codecs.BOM_UTF8) + 1).removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        return None
    try:
        return loads(content.decode())
    except UnicodeDecodeError:
        return loads(content)


def as_json(decision: Decision) -> dict[str, object]:
    """A decision as ``--json`` prints it."""
    return {
        "action": decision.action.value,
        "max_attempts": decision.max_attempts,
        "attempts_used": decision.attempts_used,
        "not_before": None if decision.not_before is None else write_time(decision.not_before),
        "strategy": {
            "requireAdjacency": decision.strategy.require_adjacency,
            "maxTables": decision.strategy.max_tables,
        },
        "suppress_email": decision.suppress_email,
        "evidence": decision.evidence.value,
        "failure_class": None if decision.failure_class is None else decision.failure_class.value,
        "reason_code": None if decision.reason_code is None else decision.reason_code.value,
        "rules": list(decision.rules),
    }


@click.command(cls=Command)
@click.option("--last-result", metavar="FILE", required=True, help="The stored result (JSON), or - for standard input.")
@click.option(
    "--booking", metavar="FILE", help="The booking (JSON), or -. Without it: pending, revision 0, start not known."
)
@click.option(
    "--now", metavar="ISO", callback=moment_option, help="The moment to decide at, with a zone. Default: the clock's."
)
@policy_option
@click.option("--json", "json_", is_flag=True, help="The decision as one JSON object.")
def explain(last_result: str, booking: str | None, now: datetime | None, policy: Policy, *, json_: bool) -> None:
    """Say what the policy decides for a stored result, and why.

    The stored result may be any blob: null or an empty file means that nothing is stored, and a damaged one counts for
    nothing. The booking is a JSON object of id, status, start_at, revision, capacity_version and email; what is missing
    takes its default.
    """
    last, row = read_last_result(last_result), read_booking(booking)
    at = datetime.now(UTC) if now is None else now
    decision = decide(row, last, policy=policy, now=at)
    if json_:
        say_json(as_json(decision))
        return
    for line in in_words(row, last, decision, now=at):
        click.echo(printable(line))
