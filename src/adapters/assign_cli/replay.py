"""``assign-core replay``: what the policy would have done in a recorded planner history, from files or a database."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from itertools import chain

import click
from rich.console import RenderableType
from rich.text import Text

from assign_cli.app import Command
from assign_cli.errors import BadInput, Refusal
from assign_cli.history import History
from assign_cli.inputs import STANDARD_INPUT, moment_option, read_bytes
from assign_cli.projection import project
from assign_cli.recordings import Recordings
from assign_cli.replaying import Replayed, ReplayedInline, replay_attempts, replay_inline
from assign_cli.report import after_inline, listing, projection, totals
from assign_cli.settings import policy_option
from assign_cli.summary import Runs, Summary, span_in_json, summarise
from assign_cli.terminal import printable, say_json, show
from assign_core import Decision, Policy, Source
from assign_wire.times import write_time

LONGEST_RECORDING = 64 * 2**20
"""Bytes of a recording. A larger one is said to be too large; an endless one would otherwise end in the memory."""


@click.command(cls=Command)
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option(
    "--dsn", metavar="DSN", help="Read observability_events from this PostgreSQL database; nothing is written."
)
@click.option("--schema", metavar="NAME", help="With --dsn: the table's schema. Default: as the database finds it.")
@click.option("--since", callback=moment_option, metavar="TIME", help="With --dsn: no earlier events.")
@click.option("--until", callback=moment_option, metavar="TIME", help="With --dsn: only events before this time.")
@policy_option
@click.option(
    "--runs-are-resets/--runs-continue",
    "runs_are_resets",
    default=None,
    help="With a column run: whether bookings were reset between runs, so that neither evidence nor budget carries "
    "over. Default: they were, and the summary says what the other reading would change.",
)
@click.option(
    "--attempts/--no-attempts",
    "attempts",
    default=None,
    help="List every attempt, or none. Default: those that the policy would not have made when they were.",
)
@click.option("--json", "json_", is_flag=True, help="Everything as one JSON object.")
def replay(
    files: tuple[str, ...],
    policy: Policy,
    *,
    dsn: str | None,
    schema: str | None,
    since: datetime | None,
    until: datetime | None,
    runs_are_resets: bool | None,
    attempts: bool | None,
    json_: bool,
) -> None:
    """Say what the policy would have done in a recorded history.

    The history is the telemetry table observability_events, with its rows auto_assign.quote: read with --dsn from the
    database, or exported to FILE (- for standard input) as a JSON array, JSON lines or CSV, with the columns name, at,
    booking_id, attempt_id and context.

    FILE may also be CSV of a planner history, one row for each attempt of a job (booking_id, executed_at, success,
    reason, duration_ms, and run if there are several), or of an inline recording, one row for each booking with its
    stored result (booking_id, ts, final_status, blob_success, blob_reason, blob_duration_ms, blob_email_sent,
    blob_last_attempt_at).

    Rows that cannot be read are named, and then nothing is computed. A file with columns and no rows is a history
    without attempts; an empty one is none, since an export that failed looks like that.
    """
    if dsn is None:
        for option, value in {"--schema": schema, "--since": since, "--until": until}.items():
            if value is not None:
                raise BadInput(f"{option} belongs to --dsn; leave it out, or cut the files")
        if not files:
            raise click.UsageError("no history was named; pass a FILE or --dsn")
        history = _read(files, runs_are_resets)
    else:
        if files or runs_are_resets is not None:
            what = f"{files[0]!r}" if files else "--runs-are-resets" if runs_are_resets else "--runs-continue"
            raise BadInput(f"--dsn and {what} cannot be meant together; leave one of them out")
        history = _read_table(dsn, schema, since, until)
        files = ("observability_events",)
    if history.malformed:
        for row in history.malformed:
            click.echo(printable(str(row)), err=True)
        count = len(history.malformed)
        rows = "1 malformed row" if count == 1 else f"{count} malformed rows"
        raise Refusal(f"{rows}, so nothing was computed; correct them or take them out")
    # No saving may rest on a budget that a reset has renewed, so runs are resets unless they are said not to be.
    resets = runs_are_resets is not False
    replayed = replay_attempts(history.attempts, policy, runs_are_resets=resets)
    runs = Runs.of(resets, replay_attempts(history.attempts, policy, runs_are_resets=not resets))
    inline = replay_inline(history.inline, policy)
    summary = summarise(replayed, inline, project(history.attempts, policy), policy, runs)
    if json_:
        told = [] if attempts is False else [*map(_attempt_as_json, replayed), *map(_inline_as_json, inline)]
        say_json({"files": list(files), "attempts": told, "summary": summary.as_json()})
    elif not replayed and not inline:
        click.echo(printable(f"Nothing to replay: no attempts in {', '.join(files)}."))
    else:
        _say(replayed, inline, summary, attempts)


def _read(files: tuple[str, ...], runs_are_resets: bool | None) -> History:
    recordings = Recordings()
    _no_file_twice(files)
    for name in files:
        content = read_bytes("the recording", name, LONGEST_RECORDING + 1)
        if len(content) > LONGEST_RECORDING:
            size = LONGEST_RECORDING // 2**20
            raise BadInput(f"the recording {name!r} is larger than {size} MiB; split it, bookings kept together")
        recordings.add_file(name, content)
    history = recordings.finished()
    without = next((row.file for row in history.attempts if row.run is None), None)
    if runs_are_resets is not None and without is not None:
        option = "--runs-are-resets" if runs_are_resets else "--runs-continue"
        raise BadInput(f"{without!r} has no column 'run', so {option} cannot be meant; leave it out")
    return history


def _no_file_twice(files: tuple[str, ...]) -> None:
    """Refuse a file that is named by two paths as well as by one: its attempts would count twice."""
    names: dict[object, str] = {}
    for name in files:
        identity = _identity(name)
        if identity in names:
            first = names[identity]
            what = f"{name!r} is given twice" if first == name else f"{first!r} and {name!r} are the same file"
            raise BadInput(f"{what}; its attempts would count twice")
        names[identity] = name


def _identity(name: str) -> object:
    if name == STANDARD_INPUT:
        return name
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        # Whoever reads it says what is wrong.
        return name
    return found.st_dev, found.st_ino


def _read_table(dsn: str, schema: str | None, since: datetime | None, until: datetime | None) -> History:
    from assign_cli.telemetry_table import event_rows  # noqa: PLC0415 - files are read without a database's driver

    recordings = Recordings()
    recordings.add_rows(event_rows(dsn, schema, since, until))
    return recordings.finished()


def _say(
    replayed: tuple[Replayed, ...], inline: tuple[ReplayedInline, ...], summary: Summary, attempts: bool | None
) -> None:
    jobs = sum(answer.row.source is Source.JOB for answer in replayed)
    bookings = f"{summary.bookings} booking{'' if summary.bookings == 1 else 's'}"
    sections: list[Iterable[RenderableType]] = [
        [Text(f"{jobs} recorded attempts of jobs, {len(replayed) - jobs + len(inline)} inline attempts, {bookings}.")]
    ]
    if replayed:
        sections += [totals(summary), projection(summary)]
    if inline:
        sections.append(after_inline(summary))
    if attempts is not False:
        sections.append(listing(replayed, inline, everything=attempts is True))
    parts = [[*section] for section in sections]
    show(*chain.from_iterable([*part, ""] for part in parts[:-1] if part), *parts[-1])


def _decision_as_json(decision: Decision) -> dict[str, object]:
    return {
        "action": decision.action.value,
        "not_before": None if decision.not_before is None else write_time(decision.not_before),
        "rules": list(decision.rules),
        "evidence": decision.evidence.value,
    }


def _attempt_as_json(answer: Replayed) -> dict[str, object]:
    row = answer.row
    return {
        "file": row.file,
        "line": row.line,
        "booking_id": row.booking_id,
        "source": row.source.value,
        "at": write_time(answer.asked_at),
        "recorded": {"success": row.success, "reason": row.reason, "duration_ms": row.duration_ms},
        **_decision_as_json(answer.decision),
        "effect": answer.effect.value,
        "delay_seconds": span_in_json(answer.delay),
        "then": None,
    }


def _inline_as_json(each: ReplayedInline) -> dict[str, object]:
    row = each.row
    return {
        "file": row.file,
        "line": row.line,
        "booking_id": row.booking_id,
        "source": "inline",
        "at": write_time(row.began_at),
        "recorded": {"success": row.success, "reason": row.reason, "duration_ms": row.duration_ms},
        **_decision_as_json(each.before),
        "effect": "made",
        "delay_seconds": None,
        "then": {
            "at": write_time(row.seen_at),
            "final_status": row.final_status,
            **_decision_as_json(each.after),
            "suppress_email": each.after.suppress_email,
        },
    }
