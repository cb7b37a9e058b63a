"""One session of a consumer: from the first delivery on a channel until that channel ends.

Invariant: a delivery is acked only after its effects, its answers and its stream's position are
committed. If the process dies before the ack, the event is delivered again and is a duplicate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from outbox import metrics
from outbox.event import Envelope
from outbox.failpoints import hit
from outbox.failures import is_contention
from outbox.inbox.acceptance import Acceptance, Refused
from outbox.inbox.batch_size import BatchSize, Stopwatch
from outbox.inbox.beacons import Beacons
from outbox.inbox.dispatcher import Dispatcher, Received
from outbox.inbox.inbox import Inbox
from outbox.inbox.settings import ConsumerSettings
from outbox.inbox.workers import Workers
from outbox.losses import one_line
from outbox.rabbitmq.beacons import is_beacon
from outbox.rabbitmq.cloudevents import UNKNOWN_TIME
from outbox.rabbitmq.delivery_buffer import ConsumerCancelled
from outbox.rabbitmq.receiver import Receiver
from outbox.supervise import end
from outbox.throttled_warnings import Throttled

logger = logging.getLogger(__name__)

PATIENCE = 0.25
"""Seconds that an event waits for a predecessor that another process may have in hand."""
TRY_AGAIN = 0.03
"""Seconds after which an event that came too early is tried again."""


class Session:
    """Receives, has workers handle what has arrived, and acks."""

    def __init__(
        self,
        inbox: Inbox,
        acceptance: Acceptance,
        batch_size: BatchSize,
        settings: ConsumerSettings,
        beacons: Beacons,
    ) -> None:
        self._inbox = inbox
        self._beacons = beacons
        self._queue = inbox.consumer
        self._acceptance = acceptance
        self._batch_size = batch_size
        self._settings = settings
        self._dispatcher = Dispatcher()
        self._workers = Workers(
            self._queue, self._dispatcher, batch_size, inbox.valve, concurrency=settings.concurrency
        )
        self._refusals = Throttled(logger)
        self._lag = metrics.LAG_SECONDS.labels(self._queue)
        self._batch_seconds = metrics.BATCH_SECONDS.labels(self._queue)
        self._has_ended = False
        self._stop = asyncio.Event()

    async def begin(self, channel: AbstractChannel, tag: str) -> None:
        """Begin to receive."""
        self._receiver = await Receiver.on(channel, self._receive, ended=self._end)
        await self._receiver.begin(self._queue, prefetch=self._settings.prefetch, tag=tag)

    @property
    def in_hand(self) -> list[Envelope]:
        """The events that were received and are not acked."""
        return self._dispatcher.in_hand

    def wake(self) -> None:
        """Look whether it is time to end."""
        self._workers.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Handle what arrives until told to stop, then finish what is in hand.

        Raises `ConsumerCancelled` when the broker has ended the consumer or the channel. Returns
        when too much is parked or the queue is paused: what was received goes back to the queue
        with the channel.
        """
        self._stop = stop
        comparing = asyncio.create_task(self._beacons.run(self._receiver.ack))
        comparing.add_done_callback(lambda _: self._end())
        try:
            await self._workers.run(self._work, until=self._is_over)
            if comparing.done():
                comparing.result()
        finally:
            await end(comparing)
        if self._has_ended and not stop.is_set():
            raise ConsumerCancelled(f"the broker ended the consumer of {self._queue}")

    def _is_over(self) -> bool:
        too_much = self._inbox.parked_bytes >= self._settings.parked_bytes
        no_more = too_much or self._inbox.valve.is_closed
        return self._has_ended or self._stop.is_set() or no_more

    def _end(self) -> None:
        self._has_ended = True
        self.wake()

    def _receive(self, delivery: DeliveredMessage) -> None:
        """A delivery has arrived; what is refused becomes a dead letter."""
        try:
            if is_beacon(delivery):
                self._beacons.add(self._acceptance.beacon(delivery), delivery)
                return
            event = self._acceptance.event(delivery)
        except Refused as problem:
            self._refuse(delivery, problem)
        else:
            self._dispatcher.add(Received(event, delivery))
            self.wake()

    def _refuse(self, delivery: DeliveredMessage, problem: Refused) -> None:
        metrics.DEAD_LETTERED.labels(self._queue, problem.reason).inc()
        says = "%s sends a message to its dead letters (%s): %s"
        self._refusals.warning(says, self._queue, problem.reason, problem)
        self._receiver.dead_letter(delivery)

    async def _work(self, batch: Sequence[Received]) -> None:
        """Handle a batch in one transaction, ack what is done, and give back the rest."""
        hit("consumer.delivered")
        self._observe_lag(batch)
        with self._batch_seconds.time():
            early, rest = await self._handle(batch)
            left = early | rest
            await self._receiver.ack(one.delivery for one in batch if one not in left)
        hit("consumer.acked")
        early_streams = {one.event.stream for one in early}
        later = [one for one in batch if one.event.stream in early_streams]
        done = [one for one in batch if one.event.stream not in early_streams]
        self._dispatcher.release(done, left=left)
        self._put_off(later, left)

    async def _handle(self, batch: Sequence[Received]) -> tuple[set[Received], set[Received]]:
        """Returns what came too early, and what was not begun."""
        try:
            return await self._handle_some(batch)
        except Exception as problem:
            if not is_contention(problem):
                raise
            # A long transaction of somebody else; what was done is a duplicate the next time.
            logger.warning("%s waits for a lock: %s", self._queue, one_line(problem))
            return set(batch), set()

    async def _handle_some(self, batch: Sequence[Received]) -> tuple[set[Received], set[Received]]:
        stopwatch = Stopwatch(self._workers.computing)
        left = await self._inbox.handle_some(
            [one.event for one in batch],
            redelivered=[one.event for one in batch if one.is_redelivered],
            is_patient=self._patience(batch),
            stopwatch=stopwatch,
        )
        count = len(batch) - len(left.early) - len(left.rest)
        self._batch_size.learn(stopwatch.waited, count)
        return _those(batch, left.early), _those(batch, left.rest)

    def _patience(self, batch: Sequence[Received]) -> Callable[[Envelope], bool]:
        """Whether an event that came too early may wait for its predecessor; asked for few."""
        now = time.monotonic()

        def is_patient(event: Envelope) -> bool:
            [received] = [one for one in batch if one.event is event]
            if received.patient_until is None:
                received.patient_until = now + PATIENCE
            return now < received.patient_until

        return is_patient

    def _put_off(self, later: Sequence[Received], left: Collection[Received]) -> None:
        """Try what is left in these streams again in a moment.

        No row is locked and no worker is busy meanwhile. What arrives in these streams waits behind
        them, so that of two events with one sequence the first that came is parked first.
        """
        if not later:
            return

        def again() -> None:
            self._dispatcher.release(later, left=left)
            self.wake()

        asyncio.get_running_loop().call_later(TRY_AGAIN, again)

    def _observe_lag(self, batch: Sequence[Received]) -> None:
        """Observe the age of the oldest event; a producer's clock may be ahead of ours."""
        known = [one.event.time for one in batch if one.event.time != UNKNOWN_TIME]
        if known:
            self._lag.observe(max(0.0, time.time() - min(known).timestamp()))


def _those(batch: Sequence[Received], events: Sequence[Envelope]) -> set[Received]:
    chosen = {id(event) for event in events}
    return {one for one in batch if id(one.event) in chosen} if chosen else set()
