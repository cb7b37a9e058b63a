"""Beginning and committing a transaction of the inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outbox import metrics
from outbox.event import Envelope, Stream
from outbox.failpoints import hit
from outbox.inbox import positions
from outbox.inbox.handlers import Bindings
from outbox.inbox.settings import InboxSettings
from outbox.inbox.taking import Taking
from outbox.inbox.watchdog import Watchdog
from outbox.log.deferred import Outgoing
from outbox.log.guard import GuardedTransaction, guarded
from outbox.log.work import Work


@dataclass(frozen=True, slots=True)
class Transactions:
    """Begins transactions of one consumer."""

    consumer: str
    handlers: Bindings
    work: Work
    watchdog: Watchdog
    settings: InboxSettings

    @asynccontextmanager
    async def begin(
        self,
        streams: Iterable[Stream],
        *,
        counted: Envelope | None = None,
    ) -> AsyncIterator[Taking]:
        """Lock these streams; when the block ends finish and commit, roll back if it raises.

        Raises `HandlerFailed` for what a handler raised or did to the transaction, and
        `TransactionEnded` where only the transaction's id tells that it is another one by now.

        `counted`: an event with a counted attempt; the commit removes the count.
        """
        async with guarded(self.work.engine) as transaction:
            locked = await positions.lock(
                transaction.raw,
                self.consumer,
                streams,
                lock_timeout=self.settings.lock_timeout,
                transaction_timeout=self.settings.transaction_timeout,
            )
            hit("consumer.locked")
            taking = self._taking(transaction, locked)
            yield taking
            # What handlers left to be sent can hang as they can.
            with self.watchdog.over(f"what was left to send for {self.consumer}"):
                await taking.finish(counted)
            hit("consumer.handled")
        hit("consumer.committed")
        self.work.committed(taking.outgoing)
        for verdict, count in taking.verdicts.items():
            metrics.CONSUMED.labels(self.consumer, verdict).inc(count)

    def _taking(self, transaction: GuardedTransaction, locked: positions.Locked) -> Taking:
        return Taking(
            self.consumer,
            self.handlers,
            self.work,
            self.watchdog,
            transaction,
            locked,
            Outgoing(transaction.connection, together=True),
            self.settings.commit_after,
        )
