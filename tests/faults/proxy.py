"""A TCP proxy on loopback that cuts a connection at a chosen round trip.

A client of PostgreSQL ends every round trip with Sync, or with a simple Query; the server ends its answer with
ReadyForQuery, and by then has committed what it was going to commit. So the two moments that matter can be told
exactly: *before*, when the server has not seen the end of the trip and never will, and *after*, when it has done
everything and only its answer is lost. A third, *between*, cuts as soon as the trip is on its way, and leaves the rest
to chance.

The proxy knows as much of the protocol as it takes to find the ends of messages, and the text of the statements.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

Moment = Literal["before", "between", "after"]
_ENDS: Final = {b"S", b"Q"}
_READY: Final = b"Z"


@dataclass
class Proxy:
    """Cuts the first connection whose trip is to be cut, once.

    Attributes:
        cuts: whether to cut at this trip: its number, counted from 1 over all connections, and its statements.
        trips: the statements of each trip so far. Those that the driver has prepared before are told as well.
        done: how many cuts were made.
    """

    cuts: Callable[[int, str], bool] = lambda _number, _statements: False
    moment: Moment = "before"
    trips: list[str] = field(default_factory=list)
    done: int = 0
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, cuts: Callable[[int, str], bool], moment: Moment) -> None:
        """Forget what was, and cut there next."""
        with self._lock:
            self.trips.clear()
            self.cuts, self.moment, self.done = cuts, moment, 0

    def at_end_of(self, statements: str) -> Moment | None:
        """A trip has come to its end; the moment to cut it, if it is to be cut."""
        with self._lock:
            self.trips.append(statements)
            if self.done or not self.cuts(len(self.trips), statements):
                return None
            self.done += 1
            return self.moment


class _Line:
    """One client's connection, and ours to the server for it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._prepared: dict[bytes, str] = {}
        self._answer_is_lost = threading.Event()

    def up(self) -> None:
        """From the client to the server."""
        try:
            self._server.sendall(_startup(self._client))
            trip: list[bytes] = []
            statements: list[str] = []
            while True:
                kind, body = _message(self._client)
                statements += self._statements(kind, body)
                trip.append(kind + struct.pack("!i", len(body) + 4) + body)
                if kind not in _ENDS:
                    continue
                moment = self._proxy.at_end_of("; ".join(statements))
                if moment == "before":
                    # The server gets all but the end, so there is something for it to undo.
                    self._server.sendall(b"".join(trip[:-1]))
                    return
                if moment == "after":
                    self._answer_is_lost.set()
                self._server.sendall(b"".join(trip))
                if moment == "between":
                    return
                trip, statements = [], []
        except OSError:
            pass
        finally:
            if not self._answer_is_lost.is_set():
                self.cut()

    def down(self) -> None:
        """From the server to the client."""
        try:
            while True:
                kind, body = _message(self._server)
                if self._answer_is_lost.is_set():
                    if kind == _READY:
                        return
                    continue
                self._client.sendall(kind + struct.pack("!i", len(body) + 4) + body)
        except OSError:
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Once nobody uses them any more."""
        self._client.close()
        self._server.close()

    def _statements(self, kind: bytes, body: bytes) -> list[str]:
        """The text that a message brings, or brings back."""
        if kind == b"Q":
            return [body.rstrip(b"\0").decode()]
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text.decode()
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            return [self._prepared.get(name, "?")]
        return []


@contextmanager
def proxy_to(server: Path) -> Iterator[Proxy]:
    """A proxy to the server whose socket this is."""
    proxy = Proxy()
    lines: list[_Line] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                upstream = socket.socket(socket.AF_UNIX)
                try:
                    upstream.connect(str(server))
                except OSError:
                    client.close()
                    upstream.close()
                    continue
                line = _Line(proxy, client, upstream)
                lines.append(line)
                pair = [threading.Thread(target=line.up), threading.Thread(target=line.down)]
                threads.extend(pair)
                for thread in pair:
                    thread.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
            accepting.join()
            for line in lines:
                line.cut()
            for thread in threads:
                thread.join()
            for line in lines:
                line.close()


def _startup(client: socket.socket) -> bytes:
    """The first message has no kind. The client must not ask for encryption, which this proxy has no part in."""
    length = _exactly(client, 4)
    return length + _exactly(client, struct.unpack("!i", length)[0] - 4)


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(source, 5)
    kind, length = head[:1], struct.unpack("!i", head[1:])[0]
    return kind, _exactly(source, length - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = source.recv(size - len(data))
        if not part:
            raise ConnectionError("the other end has hung up")
        data += part
    return bytes(data)
