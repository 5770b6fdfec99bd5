"""``assign-core verify``: what a database has, lacks, or has in the wrong shape. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import click
from rich.table import Table
from rich.text import Text

from assign_cli.app import Command
from assign_cli.database import connected, dsn_option, groups_option, names_of, names_options
from assign_cli.errors import BadInput
from assign_cli.terminal import printable, say_json, show
from assign_core.errors import InvalidValue
from assign_postgres.errors import DatabaseFailure
from assign_postgres.verify import Finding, State
from assign_postgres.verify import verify as compare

_STYLES = {State.OK: "green", State.MISSING: "yellow", State.WRONG: "red"}


@click.command(cls=Command)
@dsn_option
@groups_option
@click.option("--json", "json_", is_flag=True, help="All findings as one JSON object.")
@names_options
def verify(dsn: str | None, groups: tuple[str, ...], *, json_: bool, **names: str) -> None:
    """Say what a database has, lacks, or has in the wrong shape.

    Reads only. Ends with 0 if all is well, 1 if something is missing or wrong, 2 if the database cannot be read.
    """
    called = names_of(names)
    try:
        with connected(dsn) as connection:
            findings = compare(connection, groups, called)
    except (InvalidValue, DatabaseFailure) as error:
        raise BadInput(str(error)) from None
    well = all(finding.state is State.OK for finding in findings)
    if json_:
        say_json({"ok": well, "findings": [_as_json(finding) for finding in findings]})
    else:
        _show(findings)
    if not well:
        raise click.exceptions.Exit(1)


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "kind": finding.kind,
        "name": finding.name,
        "state": finding.state.value,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


def _show(findings: list[Finding]) -> None:
    """What is there in one table, then a line and a remedy for each thing that is not as it should be.

    Of a table that is missing, not for what it would have: one migration brings them all.
    """
    counts = Counter((finding.kind, finding.state) for finding in findings)
    table = Table("", *(state.value for state in State), box=None, pad_edge=False)
    for kind in dict.fromkeys(finding.kind for finding in findings):
        table.add_row(kind, *(str(counts[kind, state] or "") for state in State))
    show(table)
    tables = {finding.name: finding.state for finding in findings if finding.kind == "table"}
    for finding in findings:
        if finding.state is not State.OK and tables.get(_table_of(finding, tables)) is not State.MISSING:
            words = printable(f"{finding.kind} {finding.name}: {finding.detail}; {finding.remedy}")
            show(
                Text(finding.state.value, style=_STYLES[finding.state]).append(f" {words}", style="default"),
                folds=False,
            )
    if all(finding.state is State.OK for finding in findings):
        show(Text(f"all {len(findings)} things are there and as they should be"))


def _table_of(finding: Finding, tables: Collection[str]) -> str:
    """The table that it would be a part of; a name may hold a dot, so it is the longest that fits."""
    return max((table for table in tables if finding.name.startswith(f"{table}.")), key=len, default="")
