"""Give a queue the arguments that the topology declares, and keep every message.

A broker never changes the arguments of a queue, and has no conditional delete of a quorum queue. So
the messages wait in a temporary queue while the queue is deleted and declared again.

Invariant: a queue is deleted only after another one, which is bound by the same keys, has every
message that was in it or went to it. Each step keeps that, for itself and for whoever begins again:

1. The temporary queue is declared and bound. From now on it gets what the queue gets.
2. The queue is unbound. What is in it now was there before step 1, or is in the temporary one too.
3. Its messages are moved: each is acked after the temporary queue has confirmed it.
4. It is empty, this is its only consumer, and everything that this consumer got is confirmed
   elsewhere: it is deleted. A broker that cannot ask the queue's leader says "no consumer", which
   is not taken for empty.
5. It is declared and bound. Now both get what comes.
6. The temporary queue is unbound, moved back and deleted in the same way.

A message can be in both queues, and order is lost between them. The inbox applies each event once,
and restores the order. What the command finds tells it at which step to go on: the broker refuses
the declaration, and it is 1; there is a temporary queue, and it is 5; else there is nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed
from pamqp.common import FieldTable

from outbox.addresses import Broker
from outbox.errors import InvalidSetting, QueueInUse, TopologyMismatch
from outbox.failpoints import hit
from outbox.operations.moved_messages import QUIET, TOGETHER, publish_unchanged
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.delivery_buffer import DeliveryBuffer
from outbox.rabbitmq.queue_depths import declared
from outbox.rabbitmq.topology import DELIVERY_LIMIT, Topology

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Migrated:
    """How many messages were moved to the temporary queue, and back."""

    queue: str
    away: int
    back: int
    was_needed: bool


def temporary(queue: str) -> str:
    """The queue in which messages wait meanwhile."""
    return f"{queue}.migrating"


async def migrate(
    broker_url: Broker, topology: Topology, queue: str, *, say: Say = lambda _: None
) -> Migrated:
    """Migrate one queue; producers may publish meanwhile. Run it again after any interruption.

    Raises `InvalidSetting` if the topology has no such queue, `QueueInUse` while others consume
    it, and `TopologyMismatch` if the broker refuses what is needed.
    """
    if queue not in topology.queues:
        known = ", ".join(topology.queues) or "none"
        raise InvalidSetting("queue", f"{queue!r} is not in the topology; it has {known}")
    async with AsyncExitStack() as stack:
        migration = await QueueMigration.on(stack, broker_url, topology, queue, say)
        return await migration.run()


class QueueMigration:
    """The steps for one queue, on two connections: a broker in need stops one that publishes."""

    def __init__(
        self,
        receiving: AbstractConnection,
        publishing: AbstractConnection,
        topology: Topology,
        queue: str,
        say: Say,
    ) -> None:
        self._receiving = receiving
        self._publishing = publishing
        self._topology = topology
        self._queue = queue
        self._say = say

    @classmethod
    async def on(
        cls, stack: AsyncExitStack, broker_url: Broker, topology: Topology, queue: str, say: Say
    ) -> Self:
        """Connect to the broker, for as long as the stack is open."""
        name = f"migration of {queue}"
        receiving = await stack.enter_async_context(await connect(broker_url, name))
        publishing = await stack.enter_async_context(await connect(broker_url, name))
        return cls(receiving, publishing, topology, queue, say)

    async def run(self) -> Migrated:
        """Go on from wherever the last run was interrupted."""
        queue, other, away, back = self._queue, temporary(self._queue), 0, 0
        differs = await self._differs()
        if differs:
            await self._check_unused(queue)
            await self._declare_temporary()
            hit("migration.prepared")
            away = await self._empty_and_delete(queue, other)
            hit("migration.deleted")
        await self._declare()
        hit("migration.declared")
        waits = await self._exists(other)
        if waits:
            await self._check_unused(other)
            back = await self._empty_and_delete(other, queue)
        return Migrated(queue, away, back, differs or waits)

    async def _differs(self) -> bool:
        """Whether the broker has the queue with other arguments; a missing one is declared."""
        try:
            await self._declare()
        except TopologyMismatch as problem:
            if isinstance(problem.__cause__, ChannelPreconditionFailed):
                return True
            raise
        return False

    async def _declare(self) -> None:
        declare = dict(self._topology.parts_of(self._queue))[f"queue {self._queue}"]
        async with self._receiving.channel() as channel:
            await declare(channel)

    async def _declare_temporary(self) -> None:
        other = temporary(self._queue)
        self._say(f"{other} is declared and bound: it gets all that comes from now on")
        async with self._receiving.channel() as channel:
            arguments: FieldTable = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
            made = await channel.declare_queue(other, durable=True, arguments=arguments)
            for exchange, key in self._bindings():
                await made.bind(exchange, key)

    async def _empty_and_delete(self, source: str, target: str) -> int:
        async with self._receiving.channel() as channel:
            queue = await channel.get_queue(source, ensure=False)
            for exchange, key in self._bindings():
                await queue.unbind(exchange, key)
            hit("migration.unbound")
            moved = await self._move(channel, source, target)
            self._say(f"{source} is empty, {moved} messages are in {target}; it is deleted")
            await queue.delete(if_unused=False, if_empty=False)
        return moved

    async def _move(self, channel: AbstractChannel, source: str, target: str) -> int:
        """Move every message; returns when it is certain that there is none, still consuming."""
        moved = 0
        buffer = await DeliveryBuffer.open(channel, source, prefetch=TOGETHER, batch=TOGETHER)
        async with self._publishing.channel(on_return_raises=True) as publisher:
            under = await publisher.get_underlay_channel()
            while True:
                try:
                    async with asyncio.timeout(QUIET):
                        batch = await buffer.next_batch()
                except TimeoutError:
                    if await self._is_empty(source):
                        return moved
                    continue
                await publish_unchanged(under, target, batch)
                hit("migration.confirmed")
                await buffer.ack(batch)
                hit("migration.acked")
                moved += len(batch)

    async def _is_empty(self, source: str) -> bool:
        ready, consumers = await declared(self._receiving, source)
        if ready is None:
            raise TopologyMismatch(f"{source} is gone: somebody else has deleted it")
        if (consumers or 0) > 1:
            raise QueueInUse(source, (consumers or 0) - 1)
        return (ready, consumers) == (0, 1)

    async def _check_unused(self, queue: str) -> None:
        _, consumers = await declared(self._receiving, queue)
        if consumers:
            raise QueueInUse(queue, consumers)

    async def _exists(self, queue: str) -> bool:
        ready, _ = await declared(self._receiving, queue)
        return ready is not None

    def _bindings(self) -> Iterable[tuple[str, str]]:
        return self._topology.bindings_of(self._queue)
