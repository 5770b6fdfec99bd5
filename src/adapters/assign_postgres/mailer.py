"""The mailer on PostgreSQL: a relay that empties the outbox, and a hand-over at once where the host wants one.

Handing an e-mail over is usually somebody else's work than the flow's: a relay's, in a process of its own, so that no
request waits for mail. Where the host gives the mailer a transport, the flow hands over itself. Both go by the same
three steps of :mod:`assign_postgres.outbox`, so it does not matter who comes first, nor how often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from assign_core.booking import EmailState
from assign_core.errors import InvalidValue
from assign_core.outbox import AsyncTransport, MailSystemAway, Transport, end_of
from assign_core.ports import Email
from assign_postgres.errors import ConnectionLost, DatabaseTimeout
from assign_postgres.outbox import AsyncPostgresOutbox, PostgresOutbox

_NO_TRANSPORT: Final = "this mailer has no transport; give it one to relay"
_NOT_IN_A_TRANSACTION: Final = (
    "an e-mail that is handed over in a transaction of the host's cannot be called back when that is rolled back; "
    "pass no transport, and leave the e-mails to a relay"
)


class PostgresMailer:
    """:class:`assign_core.ports.Mailer` on the outbox.

    Args:
        transport: hands e-mails over at once. ``None``: the flow leaves them to a relay, and no request waits for mail.

    Raises:
        InvalidValue: a transport, and an outbox in a transaction of the host's.
    """

    def __init__(self, outbox: PostgresOutbox, transport: Transport | None = None) -> None:
        if transport is not None and not outbox.commits:
            raise InvalidValue(_NOT_IN_A_TRANSACTION)
        self._outbox = outbox
        self._transport = transport

    def deliver(self, email: Email, *, timeout: float) -> EmailState:
        if self._transport is None:
            return EmailState.CLAIMED
        try:
            return hand_over(self._outbox, self._transport, email, timeout)
        except MailSystemAway:
            return EmailState.CLAIMED

    def relay(
        self, *, limit: int = 100, timeout: float = 30.0, go_on: Callable[[], bool] = lambda: True
    ) -> dict[str, EmailState]:
        """Deliver whatever is waiting: what requests and crashes left, and what was unknown if the transport
        deduplicates. Several relays at once share the work: what one has begun the others leave alone. A mail system
        that is away ends the round, and an e-mail that it did not take waits for longer than the last time. What fails
        before an e-mail is in hand ends the round, too, for of that one nothing is unknown.

        Args:
            limit: of e-mails in one call.
            timeout: seconds for each.
            go_on: asked between two e-mails; a relay that is to end does so here, and not in the middle of one.

        Raises:
            ValueError: there is no transport to hand anything to.
            DatabaseFailure: the ledger cannot be read, or the database went away.
        """
        if self._transport is None:
            raise ValueError(_NO_TRANSPORT)
        waiting = self._outbox.waiting(deduplicates=self._transport.deduplicates, limit=limit)
        states: dict[str, EmailState] = {}
        for email in waiting:
            if not go_on():
                break
            try:
                state = self._outbox.begin(email, deduplicates=self._transport.deduplicates, timeout=timeout)
            except LookupError:
                continue  # another relay has withdrawn it meanwhile
            except DatabaseTimeout as error:
                if error.sqlstate is None:
                    raise  # there is no connection, nor will there be for the next
                states[email.key] = EmailState.CLAIMED  # somebody has its booking locked; it waits
                continue
            if state is not None:
                states[email.key] = state
                continue
            try:
                states[email.key] = _send(self._outbox, self._transport, email, timeout)
            except MailSystemAway:
                states[email.key] = EmailState.CLAIMED
                break
            except ConnectionLost:
                raise  # a database that is away has settled nothing, and will not settle the next
            except Exception:  # noqa: BLE001 - what became of it is unknown; the next is not at fault
                states[email.key] = EmailState.UNKNOWN
        return states


def hand_over(outbox: PostgresOutbox, transport: Transport, email: Email, timeout: float) -> EmailState:
    """The three steps.

    Whatever a transport raises, but a refusal or that it has sent nothing, leaves the e-mail unknown, and is raised
    again. So is :class:`~assign_core.outbox.MailSystemAway`; the e-mail waits then.
    """
    state = outbox.begin(email, deduplicates=transport.deduplicates, timeout=timeout)
    return _send(outbox, transport, email, timeout) if state is None else state


def _send(outbox: PostgresOutbox, transport: Transport, email: Email, timeout: float) -> EmailState:
    """The second step and the third, of an e-mail that is ours to send."""
    try:
        transport.send(email, idempotency_key=email.key, timeout=timeout)
    except BaseException as error:
        end = end_of(error)
        settled = outbox.settle(email, end.state, end.reason)
        if end.raises:
            raise
        return settled
    return outbox.settle(email, EmailState.SENT)


class AsyncPostgresMailer:
    """:class:`assign_core.ports.AsyncMailer` on the outbox. See :class:`PostgresMailer`."""

    def __init__(self, outbox: AsyncPostgresOutbox, transport: AsyncTransport | None = None) -> None:
        if transport is not None and not outbox.commits:
            raise InvalidValue(_NOT_IN_A_TRANSACTION)
        self._outbox = outbox
        self._transport = transport

    async def deliver(self, email: Email, *, timeout: float) -> EmailState:
        if self._transport is None:
            return EmailState.CLAIMED
        try:
            return await async_hand_over(self._outbox, self._transport, email, timeout)
        except MailSystemAway:
            return EmailState.CLAIMED

    async def relay(
        self, *, limit: int = 100, timeout: float = 30.0, go_on: Callable[[], bool] = lambda: True
    ) -> dict[str, EmailState]:
        """See :meth:`PostgresMailer.relay`."""
        if self._transport is None:
            raise ValueError(_NO_TRANSPORT)
        waiting = await self._outbox.waiting(deduplicates=self._transport.deduplicates, limit=limit)
        states: dict[str, EmailState] = {}
        for email in waiting:
            if not go_on():
                break
            try:
                state = await self._outbox.begin(email, deduplicates=self._transport.deduplicates, timeout=timeout)
            except LookupError:
                continue  # another relay has withdrawn it meanwhile
            except DatabaseTimeout as error:
                if error.sqlstate is None:
                    raise  # there is no connection, nor will there be for the next
                states[email.key] = EmailState.CLAIMED  # somebody has its booking locked; it waits
                continue
            if state is not None:
                states[email.key] = state
                continue
            try:
                states[email.key] = await _async_send(self._outbox, self._transport, email, timeout)
            except MailSystemAway:
                states[email.key] = EmailState.CLAIMED
                break
            except ConnectionLost:
                raise  # a database that is away has settled nothing, and will not settle the next
            except Exception:  # noqa: BLE001 - what became of it is unknown; the next is not at fault
                states[email.key] = EmailState.UNKNOWN
        return states


async def async_hand_over(
    outbox: AsyncPostgresOutbox, transport: AsyncTransport, email: Email, timeout: float
) -> EmailState:
    """:func:`hand_over`, asynchronous. A cancelled hand-over is unknown, too."""
    state = await outbox.begin(email, deduplicates=transport.deduplicates, timeout=timeout)
    return await _async_send(outbox, transport, email, timeout) if state is None else state


async def _async_send(
    outbox: AsyncPostgresOutbox, transport: AsyncTransport, email: Email, timeout: float
) -> EmailState:
    """:func:`_send`, asynchronous."""
    try:
        await transport.send(email, idempotency_key=email.key, timeout=timeout)
    except BaseException as error:
        end = end_of(error)
        settled = await outbox.settle(email, end.state, end.reason)
        if end.raises:
            raise
        return settled
    return await outbox.settle(email, EmailState.SENT)
