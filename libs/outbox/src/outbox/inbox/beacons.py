"""The beacons that a session receives: each is compared with the inbox, and acked.

Invariant: a beacon is acked only after what it tells is committed. If the process dies before, it
comes again and changes nothing. It runs no handler, so it waits for none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from aiormq.abc import DeliveredMessage

from outbox.failpoints import hit
from outbox.failures import is_contention
from outbox.inbox.beacon_chain import BeaconChains
from outbox.inbox.missing_events import MissingEvents
from outbox.log.deferred import raw_connection
from outbox.log.work import Work
from outbox.losses import one_line
from outbox.rabbitmq.beacons import Beacon

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a beacon waits for the one before it, which another process may have in hand."""
TRY_AGAIN = 0.05

Ack = Callable[[Sequence[DeliveredMessage]], Awaitable[None]]


class Beacons:
    """The beacons of one session, in the order of arrival."""

    def __init__(self, consumer: str, work: Work, *, after: float, noticed: asyncio.Event) -> None:
        """What a beacon shows may be missing `after` seconds; `noticed` is set when it does."""
        self._consumer = consumer
        self._work = work
        self._after = after
        self._noticed = noticed
        self._received: asyncio.Queue[tuple[Beacon, DeliveredMessage]] = asyncio.Queue()

    def add(self, beacon: Beacon, delivery: DeliveredMessage) -> None:
        """A beacon has arrived."""
        self._received.put_nowait((beacon, delivery))

    async def run(self, ack: Ack) -> None:
        """Note each and ack it, until cancelled. Raises when a server is lost."""
        while True:
            beacon, delivery = await self._received.get()
            patient_until = time.monotonic() + PATIENCE
            while not await self._note(  # noqa: ASYNC110 another process is waited for
                beacon, is_patient=time.monotonic() < patient_until
            ):
                await asyncio.sleep(TRY_AGAIN)
            hit("missing.noted")
            await ack([delivery])

    async def _note(self, beacon: Beacon, *, is_patient: bool) -> bool:
        """Returns whether it is done; a patient one may have to wait for the beacon before it."""
        try:
            async with self._work.engine.begin() as connection:
                raw = await raw_connection(connection)
                missing = MissingEvents(raw, self._consumer)
                await missing.wait_for_lock()
                chains = BeaconChains(raw, self._consumer)
                chain = await chains.lock(beacon.source, beacon.aggregate_type)
                if chain is None:
                    await chains.begin([(beacon.source, beacon.aggregate_type)])
                    return False
                if is_patient and chain.misses(beacon):
                    return False
                now = chain.after(beacon)
                await chains.store(beacon, now, after=self._after)
                is_behind = await missing.notice(beacon, after=self._after)
                hit("missing.noticed")
        except Exception as problem:
            if not is_contention(problem):
                raise
            logger.warning("%s waits with a beacon: %s", self._consumer, one_line(problem))
            return False
        if is_behind or now.hole_since is not None:
            self._noticed.set()
        return True
