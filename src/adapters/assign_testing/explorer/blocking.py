"""A mailer that blocks, made one that is awaited, so that a schedule can stop it in the middle too.

Each sender has a thread, and the two take turns: the thread runs while its schedule waits for it, up to where it gives
an e-mail to the mail system, and then waits itself for what the schedule says became of that. So there is never more
than one at work, and a schedule with threads is as repeatable as one without.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from assign_core.booking import EmailState
from assign_core.outbox import AsyncTransport, Transport
from assign_core.ports import Email

T = TypeVar("T")


class BlockingPostOffice(Protocol):
    """:class:`~assign_testing.explorer.world.PostOffice` that blocks."""

    def deliver(self, email: Email, *, timeout: float) -> EmailState: ...
    def relay(self) -> Any: ...


class _Ended(NamedTuple):
    value: Any
    error: BaseException | None


class _Turns:
    """What a sender's thread and its schedule say to each other."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[Callable[[], Awaitable[None]] | _Ended] = SimpleQueue()
        self.answered: SimpleQueue[BaseException | None] = SimpleQueue()


class Awaited:
    """:class:`~assign_testing.explorer.world.PostOffice` over one that blocks, and the transport of that one.

    Args:
        make: makes the mailer, given its transport.
    """

    def __init__(self, transport: AsyncTransport, make: Callable[[Transport], BlockingPostOffice]) -> None:
        self._transport = transport
        self._here = threading.local()
        self._mailer = make(self)

    @property
    def deduplicates(self) -> bool:
        return self._transport.deduplicates

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        """In the sender's thread."""
        turns: _Turns = self._here.turns
        turns.asked.put(partial(self._transport.send, email, idempotency_key=idempotency_key, timeout=timeout))
        error = turns.answered.get()
        if error is not None:
            raise error

    async def deliver(self, email: Email, *, timeout: float) -> EmailState:
        return await self._in_turns(partial(self._mailer.deliver, email, timeout=timeout))

    async def relay(self) -> Any:
        return await self._in_turns(self._mailer.relay)

    async def _in_turns(self, call: Callable[[], T]) -> T:
        turns = _Turns()
        threading.Thread(target=self._work, args=(turns, call), daemon=True).start()
        while not isinstance(said := turns.asked.get(), _Ended):
            try:
                await said()
            except GeneratorExit as thrown_away:
                # Nothing is awaited any more; the thread hears it until it has ended.
                turns.answered.put(thrown_away)
                while not isinstance(turns.asked.get(), _Ended):
                    turns.answered.put(thrown_away)
                raise
            except BaseException as error:  # noqa: BLE001 - the mailer's to handle
                turns.answered.put(error)
            else:
                turns.answered.put(None)
        if said.error is not None:
            raise said.error
        value: T = said.value
        return value

    def _work(self, turns: _Turns, call: Callable[[], object]) -> None:
        self._here.turns = turns
        try:
            turns.asked.put(_Ended(call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            turns.asked.put(_Ended(None, error))
