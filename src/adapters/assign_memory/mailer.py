"""The outbox in memory: queued e-mails go to a transport, at most once each.

The steps and what a crash between them means are the core's, in :mod:`assign_core.outbox`; here they are carried out on
the ledger of a :class:`~assign_memory.database.MemoryDatabase`.
"""

from __future__ import annotations

from datetime import timedelta

from assign_core.booking import EmailState
from assign_core.outbox import AsyncTransport, MailSystemAway, Step, Transport, end_of, next_step
from assign_core.ports import Email
from assign_memory.database import LedgerRow, MemoryDatabase


class CollectingTransport:
    """Accepts everything and remembers it: a mail system for demonstrations and tests."""

    deduplicates = False

    def __init__(self) -> None:
        self.accepted: list[Email] = []

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        del idempotency_key, timeout
        self.accepted.append(email)


class AsyncCollectingTransport(CollectingTransport):
    """The same for an event loop."""

    # An async transport is another port; what it remembers is the same.
    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:  # type: ignore[override]
        super().send(email, idempotency_key=idempotency_key, timeout=timeout)


class Outbox:
    """The ledger's three steps, which both mailers share.

    Args:
        sending_lease: how long a sender may take before it is taken for dead.
    """

    def __init__(self, database: MemoryDatabase, *, sending_lease: timedelta = timedelta(minutes=1)) -> None:
        self._db = database
        self._lease = sending_lease

    def begin(self, email: Email, *, deduplicates: bool) -> EmailState | None:
        """``None``: it is yours to send. Otherwise its state, and you leave it alone."""
        with self._db.lock:
            row, now = self._row(email), self._db.clock.now()
            called_for = self._db.calls_for(email)
            step = next_step(row.state, row.sending_until, now=now, deduplicates=deduplicates, called_for=called_for)
            match step:
                case Step.LEAVE:
                    return row.state
                case Step.WITHDRAW:
                    # The claim goes too: what it would have said may become so again.
                    del self._db.ledger[email.key]
                    return EmailState.FAILED
                case Step.GIVE_UP:
                    return self.settle(email, EmailState.UNKNOWN)
                case Step.SEND:
                    row.state, row.sending_until = EmailState.CLAIMED, now + self._lease
                    row.handed_over += 1
                    return None

    def settle(self, email: Email, state: EmailState) -> EmailState:
        """What became of it, which another sender may have found out before: what was sent stays sent. Sets the
        booking's e-mail flag once it is."""
        with self._db.lock:
            row = self._row(email)
            if row.state is EmailState.SENT:
                return EmailState.SENT
            row.state, row.sending_until = state, None
            if state is EmailState.SENT:
                self._db.flag_sent(email)
            return state

    def waiting(self, *, deduplicates: bool) -> list[Email]:
        """What a relay has to look at. Those that nobody has tried come first: one that ends every round must not keep
        the others waiting."""
        with self._db.lock:
            states = {EmailState.CLAIMED, EmailState.UNKNOWN} if deduplicates else {EmailState.CLAIMED}
            rows = [row for row in self._db.ledger.values() if row.state in states]
            return [row.email for row in sorted(rows, key=lambda row: row.handed_over)]

    def _row(self, email: Email) -> LedgerRow:
        try:
            return self._db.ledger[email.key]
        except KeyError:
            raise LookupError(f"e-mail {email.key} is not queued; a confirm or a record queues it") from None


class MemoryMailer:
    """:class:`assign_core.ports.Mailer`: delivers at once."""

    def __init__(self, outbox: Outbox, transport: Transport) -> None:
        self._outbox = outbox
        self._transport = transport

    def deliver(self, email: Email, *, timeout: float) -> EmailState:
        try:
            return self._hand_over(email, timeout)
        except MailSystemAway:
            return EmailState.CLAIMED

    def _hand_over(self, email: Email, timeout: float) -> EmailState:
        """Raises ``MailSystemAway`` once the e-mail waits again."""
        state = self._outbox.begin(email, deduplicates=self._transport.deduplicates)
        if state is not None:
            return state
        try:
            self._transport.send(email, idempotency_key=email.key, timeout=timeout)
        except BaseException as error:
            end = end_of(error)
            settled = self._outbox.settle(email, end.state)
            if end.raises:
                raise
            return settled
        return self._outbox.settle(email, EmailState.SENT)

    def relay(self, *, timeout: float = 30.0) -> dict[str, EmailState]:
        """Deliver whatever is waiting: what a crash left behind, and what was unknown if the transport deduplicates.

        A mail system that is away ends it: nobody is kept waiting for each e-mail anew.
        """
        states: dict[str, EmailState] = {}
        for email in self._outbox.waiting(deduplicates=self._transport.deduplicates):
            try:
                states[email.key] = self._hand_over(email, timeout)
            except LookupError:
                continue  # another relay has withdrawn it meanwhile
            except MailSystemAway:
                states[email.key] = EmailState.CLAIMED
                break
            except Exception:  # noqa: BLE001 - settled as unknown, which the answer shows; the next is not at fault
                states[email.key] = EmailState.UNKNOWN
        return states


class AsyncMemoryMailer:
    """:class:`assign_core.ports.AsyncMailer`: delivers at once."""

    def __init__(self, outbox: Outbox, transport: AsyncTransport) -> None:
        self._outbox = outbox
        self._transport = transport

    async def deliver(self, email: Email, *, timeout: float) -> EmailState:
        try:
            return await self._hand_over(email, timeout)
        except MailSystemAway:
            return EmailState.CLAIMED

    async def _hand_over(self, email: Email, timeout: float) -> EmailState:
        state = self._outbox.begin(email, deduplicates=self._transport.deduplicates)
        if state is not None:
            return state
        try:
            await self._transport.send(email, idempotency_key=email.key, timeout=timeout)
        except BaseException as error:
            end = end_of(error)
            settled = self._outbox.settle(email, end.state)
            if end.raises:
                raise
            return settled
        return self._outbox.settle(email, EmailState.SENT)

    async def relay(self, *, timeout: float = 30.0) -> dict[str, EmailState]:
        """See :meth:`MemoryMailer.relay`."""
        states: dict[str, EmailState] = {}
        for email in self._outbox.waiting(deduplicates=self._transport.deduplicates):
            try:
                states[email.key] = await self._hand_over(email, timeout)
            except LookupError:
                continue
            except MailSystemAway:
                states[email.key] = EmailState.CLAIMED
                break
            except Exception:  # noqa: BLE001 - settled as unknown, which the answer shows; the next is not at fault
                states[email.key] = EmailState.UNKNOWN
        return states
