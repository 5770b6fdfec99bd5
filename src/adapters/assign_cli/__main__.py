"""The console script ``assign-core``, also ``python -m assign_cli``."""

from __future__ import annotations

import io
import sys

try:
    from assign_cli.app import App, Subcommand
except ModuleNotFoundError as missing:
    # The wheel brings this script with every extra and with none.
    sys.stderr.write(f"assign-core: {missing.name} is not installed; install the extra: assign-core[cli]\n")
    raise SystemExit(2) from None

COMMANDS = {
    "demo": Subcommand("assign_cli.demo:demo", "An evening's service, with and without shared results."),
    "explain": Subcommand("assign_cli.explain:explain", "Say what the policy decides for a stored result, and why."),
    "classify": Subcommand("assign_cli.classify:classify", "Give a planner's reasons their code and failure class."),
    "replay": Subcommand("assign_cli.replay:replay", "Say what the policy would have done in a recorded history."),
    "benchmark": Subcommand("assign_cli.benchmark:benchmark", "Measure what sharing saves, and draw a page about it."),
    "migrate": Subcommand("assign_cli.migrate:migrate", "Apply the migrations that a PostgreSQL database lacks."),
    "relay": Subcommand("assign_cli.relay:relay", "Hand queued e-mails to the mail system."),
    "verify": Subcommand("assign_cli.verify:verify", "Say what a PostgreSQL database has, lacks, or has wrong."),
}

cli = App(
    name="assign-core",
    subcommands=COMMANDS,
    help="Decides before every table-assignment attempt whether to attempt, wait or give up, from what the last "
    "attempt found.",
)


def main() -> None:
    """Run the command line; ends the process with 0, 1 (malformed rows) or 2 (bad input)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A booking's name must not stop the output on a terminal that has no letters for it.
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="assign-core")


if __name__ == "__main__":
    main()
