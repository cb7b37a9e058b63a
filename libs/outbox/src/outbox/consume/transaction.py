"""Beginning and committing a transaction of the inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outbox import metrics
from outbox.consume import positions
from outbox.consume.handlers import Bindings
from outbox.consume.taking import Taking
from outbox.consume.watchdog import Watchdog
from outbox.envelope import Envelope, Stream
from outbox.faults import reach
from outbox.write.outgoing import Outgoing, raw_connection
from outbox.write.work import Work


@dataclass(frozen=True, slots=True)
class Transactions:
    """Begins transactions of one consumer. `lock_timeout` and `commit_after` are in seconds."""

    consumer: str
    handlers: Bindings
    work: Work
    watchdog: Watchdog
    lock_timeout: float
    commit_after: float

    @asynccontextmanager
    async def begin(
        self,
        streams: Iterable[Stream],
        *,
        counted: Envelope | None = None,
    ) -> AsyncIterator[Taking]:
        """Lock these streams; when the block ends finish and commit, roll back if it raises.

        Raises `HandlerFailed` for what a handler raised.

        `counted` is the event that was counted before: once it is committed, it is not any more.
        """
        async with self.work.engine.begin() as connection:
            raw = await raw_connection(connection)
            locked = await positions.lock(
                raw, self.consumer, streams, lock_timeout=self.lock_timeout
            )
            reach("consumer.locked")
            outgoing = Outgoing(connection, together=True)
            taking = Taking(
                self.consumer,
                self.handlers,
                self.work,
                self.watchdog,
                connection,
                raw,
                locked,
                outgoing,
                self.commit_after,
            )
            yield taking
            # What handlers left to be sent can hang as they can.
            with self.watchdog.over(f"what was left to send for {self.consumer}"):
                await taking.finish(counted)
            reach("consumer.handled")
        reach("consumer.committed")
        self.work.committed(outgoing)
        for verdict, count in taking.verdicts.items():
            metrics.CONSUMED.labels(self.consumer, verdict).inc(count)
