"""A server for one command: it comes up empty, and leaves nothing behind however the command ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from assign_postgres import embedded
from assign_postgres.embedded import EmbeddedServerError, embedded_cluster, embedded_server

COMMAND = """
import signal
# Whoever runs the tests may ignore signals, as nohup and a shell's background do, and a child would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from assign_postgres.embedded import embedded_server
with embedded_server() as dsn:
    print(dsn, flush=True)
    signal.pause()
"""


def home_of(dsn: str) -> Path:
    return Path(parse_qs(urlsplit(dsn).query)["host"][0])


def assert_gone(dsn: str) -> None:
    assert not home_of(dsn).exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)


def test_it_runs_within_the_block_and_is_gone_after_it() -> None:
    with embedded_server(settings={"work_mem": "5MB"}) as dsn, psycopg.connect(dsn) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert_gone(dsn)


def test_it_comes_back_after_a_crash_with_what_was_committed() -> None:
    with embedded_cluster(settings={"synchronous_commit": "on"}) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
            connection.commit()
            server.crash()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT")
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (1,)
        server.crash()
    assert_gone(server.url)


def test_it_is_gone_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), embedded_server() as dsn:
        raise ZeroDivisionError
    assert_gone(dsn)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_is_gone_after_a_signal(sent: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        dsn = command.stdout.readline().decode().strip()
        with psycopg.connect(dsn):
            command.send_signal(sent)
        try:
            assert command.wait(60) != 0
        finally:
            command.kill()
    assert_gone(dsn)


def test_a_handler_of_the_programs_own_is_left_alone() -> None:
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with embedded_server():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, former)
    assert signal.getsignal(signal.SIGTERM) is former


def test_without_binaries_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)  # as where the package is not installed
    with pytest.raises(EmbeddedServerError, match=r"assign-core\[demo\]"), embedded_server():
        pass


def test_a_setting_that_the_server_refuses_is_told_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)  # the server's user may be another one
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        with pytest.raises(EmbeddedServerError, match="pg_ctl"), embedded_server(settings={"no_such_setting": "1"}):
            pass
        assert list(Path(temporary).iterdir()) == []
