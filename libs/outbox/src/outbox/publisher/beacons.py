"""Publishes beacons on a channel of its own: confirmed, and not mandatory.

A queue that knows no beacons is not bound to their exchange, so it is no failure when none takes
them. A broker that refuses them stops nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelClosed, ChannelInvalidStateError

from outbox.losses import one_line
from outbox.rabbitmq.beacons import BEACONS, Beacon

logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds until a broker that does not answer is left alone; it may be blocked."""


class BeaconPublisher:
    """For one connection, whose user is `user` at the broker if that is known."""

    def __init__(self, connection: AbstractConnection, user: str | None) -> None:
        self._connection = connection
        self._user = user
        self._channel: AbstractChannel | None = None
        self._refused: str | None = None

    async def publish(self, beacons: Iterable[Beacon]) -> bool:
        """Whether the broker has confirmed all of them. A refusal is logged once."""
        publishing = asyncio.create_task(self._publish(beacons))
        try:
            await asyncio.wait({publishing})
        finally:
            publishing.cancel()
        # A channel that closes cancels what waits for its confirm.
        problem = None if publishing.cancelled() else publishing.exception()
        if isinstance(problem, ChannelClosed):
            self._note(one_line(problem))
        elif not isinstance(problem, AMQPError | ChannelInvalidStateError | TimeoutError | None):
            raise problem
        elif problem is None and not publishing.cancelled():
            self._refused = None
            return True
        return False

    async def _publish(self, beacons: Iterable[Beacon]) -> None:
        channel = await self._open_channel()
        async with asyncio.timeout(PATIENCE):
            exchange = await channel.declare_exchange(BEACONS, ExchangeType.DIRECT, durable=True)
        for beacon in beacons:
            message = beacon.to_message(user=self._user)
            await exchange.publish(message, beacon.routing_key, mandatory=False, timeout=PATIENCE)

    async def _open_channel(self) -> AbstractChannel:
        """One channel, because aio-pika leaks a little for every channel ever opened."""
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel(publisher_confirms=True)
        return self._channel

    def _note(self, problem: str) -> None:
        if problem != self._refused:
            logger.warning("the broker refuses beacons, so no lost tail is noticed: %s", problem)
        self._refused = problem
