"""``assign-core migrate``: apply the migrations that a database lacks, or print them for somebody else to run."""

from __future__ import annotations

import click

from assign_cli.app import Command
from assign_cli.database import connected, dsn_option, groups_option, names_of, names_options
from assign_cli.errors import BadInput, Refusal
from assign_core.errors import InvalidValue
from assign_postgres.migrate import Applied, MigrationError, pending
from assign_postgres.migrate import migrate as apply_missing
from assign_postgres.migration_files import MigrationFile, migration_files, with_frame


@click.command(cls=Command)
@dsn_option
@groups_option
@click.option("--dry-run", is_flag=True, help="Say what would be applied, and change nothing.")
@click.option("--print", "print_", is_flag=True, help="Print the SQL of all files; needs the driver, but no database.")
@names_options
def migrate(dsn: str | None, groups: tuple[str, ...], *, dry_run: bool, print_: bool, **names: str) -> None:
    """Apply the migrations that a database lacks.

    Each file is one transaction, noted in the table assign_core_migrations. Running it again, or twice at a time, does
    nothing more.
    """
    if dry_run and print_:
        raise BadInput("--dry-run looks at a database and --print does not; pass one of them")
    called = names_of(names)
    try:
        files = migration_files(groups, called)
        if print_:
            click.echo("\n".join(with_frame(file, called) for file in files), nl=False)
            return
        with connected(dsn) as connection:
            if dry_run:
                _tell("would apply", pending(connection, groups, called), of=len(files))
            else:
                _tell("applied", apply_missing(connection, groups, called), of=len(files))
    except InvalidValue as error:
        raise BadInput(str(error)) from None
    except MigrationError as error:
        for done in error.applied:
            click.echo(f"applied {done.name}")
        raise Refusal(str(error)) from None


def _tell(verb: str, files: list[MigrationFile] | list[Applied], *, of: int) -> None:
    for file in files:
        click.echo(f"{verb} {file.name}")
    if not files:
        click.echo(f"nothing to apply: all {of} files have been")
