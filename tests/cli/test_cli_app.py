"""The group: what a stranger sees first, and how any command ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import Result

from assign_cli.__main__ import COMMANDS, cli
from assign_cli.app import READER_GONE, Subcommand

Ask = Callable[..., Result]
Start = Callable[..., subprocess.CompletedProcess[bytes]]
Refusal = Callable[..., str]

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""Output as a program's is, whatever the tests run under: what cannot be written is met again at exit."""

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")


def test_without_a_command_it_says_what_there_is(ask: Ask) -> None:
    result = ask()
    assert (result.exit_code, result.stderr) == (0, "")
    for name, command in COMMANDS.items():
        assert f"  {name}" in result.stdout
        assert command.summary in result.stdout


def test_the_version_is_the_distributions(ask: Ask) -> None:
    assert ask("--version").stdout == f"assign-core {version('assign-core')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(ask: Ask, name: str) -> None:
    result = ask(name, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    usage, _, rest = result.stdout.partition("\n\n")
    assert usage.startswith(f"Usage: assign-core {name} ")
    told, _, options = rest.partition("\nOptions:\n")
    assert told.strip()
    assert "--help" in options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_explained(name: str) -> None:
    command = COMMANDS[name].load()
    assert [option.opts for option in command.params if isinstance(option, click.Option) and not option.help] == []


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = "import sys; from assign_cli.__main__ import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(sorted(name for name in sys.modules if name.startswith(('assign_sim', 'assign_cli.'))))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = done.stdout.splitlines()[-1]
    assert "assign_cli.app" in loaded
    for absent in ("assign_sim", "assign_cli.demo", "assign_cli.replay", "assign_cli.explain"):
        assert absent not in loaded


def test_a_command_loads_only_itself() -> None:
    code = "import sys; from assign_cli.__main__ import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('assign_sim' in sys.modules, 'assign_cli.classify' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "classify", "x"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "False True"


def test_a_target_that_is_no_command_is_told_at_once() -> None:
    with pytest.raises(TypeError, match=r"assign_cli\.app:READER_GONE is no command"):
        Subcommand("assign_cli.app:READER_GONE", "").load()


def test_every_listed_command_can_be_loaded() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
    assert cli.get_command(context, "nonsense") is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "'nonsense'"),
        (["--nonsense"], "'--nonsense'"),
        (["explain", "--nwo", "x"], "'--nwo'"),
        (["explain"], "'--last-result'"),
        (["explain", "--last-result"], "'--last-result'"),
        (["replay"], "FILE"),
        (["classify", "--jsn"], "'--jsn'"),
        (["explain", "--last-result", "x", "more\nlines"], "more"),
    ],
)
def test_a_usage_error_is_one_line_that_names_the_fault_and_the_help(
    refusal: Refusal, arguments: list[str], named: str
) -> None:
    line = refusal(*arguments)
    assert named in line
    assert "--help'" in line


def test_the_script_refuses_like_the_group(start: Start) -> None:
    done = start("explain", "--last-result", "no/such/file")
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(b"assign-core: cannot read --last-result 'no/such/file': No such file or directory; ")


def test_the_module_is_the_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "assign_cli", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("assign-core ")


@posix
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_ends_it_quietly(script: Path, option: list[str]) -> None:
    with subprocess.Popen(
        [script, "classify", *option],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=BUFFERED,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"No capacity\n")
        process.stdin.flush()
        assert b"no_capacity" in process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"No capacity\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == READER_GONE


@posix
def test_a_table_into_a_closed_pipe_ends_quietly_too(script: Path, write: Callable[..., Path]) -> None:
    history = write("h.csv", "booking_id,executed_at,success,reason,duration_ms\na,2026-03-14T12:00:00Z,True,,1\n")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [script, "replay", history], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60, env=BUFFERED
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (READER_GONE, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_an_answer_that_cannot_be_written_is_not_taken_for_one(script: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [script, "classify", "x"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60, env=BUFFERED
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        b"assign-core: the answer could not be written: No space left on device; it is incomplete"
    ]


@posix
def test_a_closed_standard_input_is_one_line(script: Path) -> None:
    shell = ["sh", "-c", 'exec "$0" classify <&-', str(script)]
    done = subprocess.run(shell, capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        b"assign-core: cannot read standard input: it is closed; redirect a file into it"
    ]


def test_a_terminal_without_letters_for_it_gets_an_escape(start: Start) -> None:
    done = start(
        "classify", "Tisch 7 \u2603 belegt", env={**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Tisch 7 \\u2603 belegt" in done.stdout
