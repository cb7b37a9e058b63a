"""Beside the consumer: obeys what has tripped anywhere, and tries one event of it now and then.

Invariant: a type that has tripped in one process is closed in all of them within a second, and
opens in all of them within a second after a probe has succeeded. Processes notify each other of
both. One process at a time probes, under a short lease that it extends: if it dies, another one
probes a few seconds later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from outbox import metrics
from outbox.event import Stream
from outbox.failures import is_contention
from outbox.inbox.breaker import Breaker
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import TRIPPED
from outbox.inbox.recovery import Recovery
from outbox.inbox.tables import INBOX_TABLES
from outbox.inbox.tripped_types import TrippedType, TrippedTypes
from outbox.log.deferred import raw_connection
from outbox.log.work import Work
from outbox.postgres.controls import Valve
from outbox.postgres.notify import INBOX_CHANGES
from outbox.postgres.sessions import connect
from outbox.supervise import Up, end, keep_running, pause

logger = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds after which the table is read again without a reason."""
AT_LEAST = 0.01
"""Seconds between two readings: clocks differ a little."""
LEASE = 5.0
"""Seconds after which another process probes, if the one that began has died."""
EXTEND_EVERY = LEASE / 5


class Prober:
    """Keeps one consumer's breaker in step with the table `inbox_tripped`, and probes."""

    def __init__(
        self,
        consumer: str,
        work: Work,
        breaker: Breaker,
        recovery: Recovery,
        resume: Callable[[str], Awaitable[int]],
        *,
        valve: Valve,
    ) -> None:
        self._consumer = consumer
        self._work = work
        self._breaker = breaker
        self._recovery = recovery
        self._resume = resume
        self._valve = valve
        self._lock = asyncio.Lock()
        self._shown: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Obey and probe until told to stop, through any loss of the database."""
        await keep_running(f"prober {self._consumer}", lambda up: self._run_session(up, stop), stop)

    async def _run_session(self, up: Up, stop: asyncio.Event) -> None:
        await self._work.check(INBOX_TABLES)
        async with self._work.notifications.hearing(INBOX_CHANGES, self._hear):
            while not stop.is_set():
                self._breaker.changed.clear()
                seconds = await self._probe_due()
                up("watches for tripped event types")
                await pause(stop, max(seconds, AT_LEAST), self._breaker.changed)

    def _hear(self, payload: str | None) -> None:
        if payload in (self._consumer, None):
            self._breaker.changed.set()

    async def _probe_due(self) -> float:
        """Obey, and probe what is due; returns the seconds until there is something to do."""
        tripped, seldom = await self.obey(), self._work.notifications.poll(EVERY)
        if self._valve.is_closed:
            return seldom
        due = [one for one in tripped if one.seconds_left <= 0]
        for one in due:
            await self.probe(one)
        return 0.0 if due else min([seldom, *(one.seconds_left for one in tripped)])

    async def obey(self) -> Sequence[TrippedType]:
        """Close what has tripped in any process, report what has in this one, open the rest."""
        async with self._lock:
            return await self._obey()

    async def probe(self, tripped: TrippedType) -> None:
        """Try one event of a tripped type if it is time and no other process does."""
        settings = self._breaker.settings
        async with self._work.engine.begin() as connection:
            raw = await raw_connection(connection)
            types = TrippedTypes(raw, self._consumer)
            if settings is None or not await types.claim_probe(tripped, lease=LEASE):
                return
            event = await ParkedQueries(raw, self._consumer).next_probe(tripped.type)
        # If none waits any more, nothing is known against the type.
        heals = event is None or await self._try(tripped, *event)
        outcome = "applied" if heals else "failed"
        metrics.PROBES.labels(self._consumer, tripped.type, outcome).inc()
        async with self._work.engine.begin() as connection:
            types = TrippedTypes(await raw_connection(connection), self._consumer)
            if heals:
                await types.reset(tripped.type)
            else:
                delay = settings.delay(tripped.probes + 1)
                await types.probe_failed(tripped, delay=delay)
        if heals:
            await self.obey()

    async def _try(self, tripped: TrippedType, stream: Stream, sequence: int) -> bool:
        keeping = asyncio.create_task(self._keep_lease(tripped))
        try:
            return await self._recovery.probe(stream, sequence)
        except Exception as problem:
            if not is_contention(problem):
                raise
            return False
        finally:
            await end(keeping)

    async def _keep_lease(self, tripped: TrippedType) -> None:
        """Extend the lease until this is cancelled. If it fails, another process may probe too."""
        await asyncio.sleep(EXTEND_EVERY)
        # The workers may have all connections of the pool.
        async with await connect(self._work.engine) as connection:
            types = TrippedTypes(connection, self._consumer)
            while True:
                await types.extend_probe(tripped, lease=LEASE)
                await asyncio.sleep(EXTEND_EVERY)

    async def _obey(self) -> Sequence[TrippedType]:
        new, settings = self._breaker.newly_tripped(), self._breaker.settings
        async with self._work.statements() as connection:
            types = TrippedTypes(connection, self._consumer)
            for event_type, cause in new.items():
                delay = settings.delay(0) if settings else 0.0
                await types.trip(event_type, str(cause), first_probe=delay)
            tripped = await types.all() if settings else ()
        opened = self._breaker.obey({one.type: one.cause for one in tripped}, known=new)
        self._show(tripped)
        if opened:
            await self._resume(TRIPPED)
        return tripped

    def _show(self, tripped: Sequence[TrippedType]) -> None:
        """Log and measure what has changed."""
        now = {one.type: one.cause for one in tripped}
        for event_type in now.keys() - self._shown:
            metrics.TRIPPED.labels(self._consumer, event_type).set(1)
            text = "%s does not handle %s for now: many streams fail with %s"
            logger.error(text, self._consumer, event_type, now[event_type])
        for event_type in self._shown - now.keys():
            metrics.TRIPPED.labels(self._consumer, event_type).set(0)
            logger.warning("%s handles %s again", self._consumer, event_type)
        self._shown = set(now)
