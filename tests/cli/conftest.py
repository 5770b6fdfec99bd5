"""How the tests call the command line: in this process for most, as the installed script where a process matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assign_cli.__main__ import cli


@pytest.fixture
def ask() -> Callable[..., Result]:
    """Call ``assign-core`` with arguments (and ``stdin``); any exception but an exit is the test's."""

    def call(*arguments: object, stdin: bytes | str | None = None) -> Result:
        result = CliRunner().invoke(cli, [str(each) for each in arguments], input=stdin, prog_name="assign-core")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def ask_json(ask: Callable[..., Result]) -> Callable[..., Any]:
    """The JSON document that a call prints."""

    def call(*arguments: object, stdin: bytes | str | None = None) -> Any:
        result = ask(*arguments, "--json", stdin=stdin)
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout)

    return call


@pytest.fixture
def refusal(ask: Callable[..., Result]) -> Callable[..., str]:
    """The one line with which a call is refused as bad input."""

    def call(*arguments: object, stdin: bytes | str | None = None) -> str:
        result = ask(*arguments, stdin=stdin)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.endswith("\n")
        assert result.stderr.startswith("assign-core: ")
        assert len(result.stderr.splitlines()) == 1
        return result.stderr

    return call


@pytest.fixture
def script() -> Path:
    """The installed console script."""
    return Path(sys.executable).with_name("assign-core" + (".exe" if os.name == "nt" else ""))


@pytest.fixture
def start(script: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the console script as a process."""

    def call(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
        if options["stdin"] is None:
            del options["stdin"]
        command = [str(script), *(str(each) for each in arguments)]
        return subprocess.run(command, capture_output=True, check=False, timeout=60, **options)

    return call


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file: bytes and text as they are, anything else as JSON."""

    def call(name: str, content: object) -> Path:
        path = tmp_path / name
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return call
