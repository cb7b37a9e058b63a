"""Declaring a topology, so that a part that the broker refuses does not stop the others.

The broker closes a channel with its refusal; the declarer opens another and goes on with the rest.
A refused part is logged once, tried again at every check, and logged again when it is accepted
(decision 1212).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource

from outbox import metrics
from outbox.errors import TopologyMismatch
from outbox.losses import one_line
from outbox.rabbitmq.topology import DEAD_LETTERS, Declare, dead_letters_of

logger = logging.getLogger(__name__)


class Declarer:
    """Declares parts of a topology, over and over, on a channel of its own."""

    def __init__(
        self,
        connection: AbstractConnection,
        parts: Sequence[tuple[str, Declare]],
        *,
        needed: Collection[str],
        confirms: bool,
        own: str | None = None,
    ) -> None:
        """Without the parts that are `needed` the caller cannot work.

        Only the relays that publish to an exchange, their `own`, replace it.

        A consumer passes `confirms=False` and publishes nothing on its connection: a broker short
        of memory or disk reads no more from a connection that has published, not even acks, so its
        queues would never get shorter (RabbitMQ, "Alarms").
        """
        self._connection = connection
        self._parts = parts
        self._needed = needed
        self._confirms = confirms
        self._own = own
        self._channel: AbstractChannel | None = None
        self._left: set[str] = set()
        self.lock = asyncio.Lock()
        """Held by a task that declares, where several do; they share one channel."""
        self.refused: dict[str, str] = {}
        """The parts that the broker refuses, and why."""

    async def declare(self) -> None:
        """Declare every part. Raises `TopologyMismatch` if a needed one is refused."""
        for part, declare in self._parts:
            if part not in self._left:
                self._note(part, await self._attempt(part, declare))

    async def channel(self) -> AbstractChannel:
        """The one channel for checks: aio-pika leaks a little for every channel ever opened."""
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel(
                publisher_confirms=self._confirms, on_return_raises=self._confirms
            )
        return self._channel

    async def _attempt(self, part: str, declare: Declare) -> TopologyMismatch | None:
        try:
            await declare(await self.channel())
        except TopologyMismatch as problem:
            self._channel = None
            if part.endswith(dead_letters_of("")):
                return await self._renew(part, declare)
            if self._own and part == f"exchange {self._own}" and _lacks_alternate(problem):
                await self._replace(self._own, declare)
                return None
            if part in self._needed:
                raise
            return problem
        return None

    async def _replace(self, exchange: str, declare: Declare) -> None:
        """Delete an exchange that has no alternate exchange, and declare it with one.

        An earlier release declared it. One process at a time does this: an exclusive queue is its
        lock, and others raise `TopologyMismatch`. No relay of this release publishes before it has
        found the new exchange and bound every queue to it.
        """
        channel = await self.channel()
        try:
            lock = await channel.declare_queue(f"{exchange}.replacing", exclusive=True)
        except ChannelLockedResource as problem:
            self._channel = None
            raise TopologyMismatch(str(problem)) from problem
        try:
            async with self._connection.channel() as other:
                await declare(other)  # perhaps another process was faster
        except TopologyMismatch:
            await channel.exchange_delete(exchange)
            await declare(channel)
            logger.warning("exchange %s was made anew, with an alternate exchange", exchange)
        await lock.delete()

    async def _renew(self, part: str, declare: Declare) -> TopologyMismatch | None:
        """Replace an empty dead-letter queue whose arguments differ; leave one with messages.

        The queue is unbound before the second count: a message that is rejected meanwhile stays in
        its own queue, which dead-letters at least once, and goes to the new queue. Only a message
        that was routed before and stored after the second count is lost, because quorum queues
        have no conditional delete.
        """
        name = part.removeprefix("queue ")
        key = name.removesuffix(dead_letters_of(""))
        try:
            channel = await self.channel()
            old = await channel.declare_queue(name, passive=True)
            if not old.declaration_result.message_count:
                await old.unbind(DEAD_LETTERS, key)  # see decision 1152
                old = await channel.declare_queue(name, passive=True)
                if not old.declaration_result.message_count:
                    await old.delete(if_unused=False, if_empty=False)
                    await declare(channel)
                    return None
            await old.bind(DEAD_LETTERS, key)
        except (TopologyMismatch, ChannelAccessRefused) as problem:
            self._channel = None
            return TopologyMismatch(str(problem))
        self._left.add(part)
        return TopologyMismatch(
            f"{name} holds messages, and has no bound yet: delete it, then it is declared again"
        )

    def _note(self, part: str, problem: TopologyMismatch | None) -> None:
        was, now = self.refused.pop(part, None), None if problem is None else one_line(problem)
        if now is not None:
            self.refused[part] = now
        if now is not None or was is not None:
            metrics.REFUSED.labels(part).set(now is not None)
        if now is not None and now != was:
            logger.error("%s is not as declared (everything else goes on): %s", part, now)
        elif now is None and was is not None:
            logger.info("%s is as declared again", part)


def _lacks_alternate(problem: TopologyMismatch) -> bool:
    """Whether the exchange exists as declared, but for the alternate exchange."""
    said = str(problem)
    return "arg 'alternate-exchange'" in said and "current is none" in said
