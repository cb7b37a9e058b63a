"""Opening a publisher: the fast one where it works, else the plain one.

Invariant: no publisher is used before an unroutable message has come back on its connection.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed, PublishError

from outbox.errors import TopologyMismatch
from outbox.log.row import OutboxRow
from outbox.publisher.aiormq_channel import RawChannel, UnexpectedInternals
from outbox.publisher.fast import FastPublisher
from outbox.publisher.plain import PlainPublisher
from outbox.publisher.publisher import Outcome, Publisher
from outbox.rabbitmq.connection import is_blocked
from outbox.rabbitmq.declarer import Declarer
from outbox.rabbitmq.topology import DEAD_LETTERS, Topology

logger = logging.getLogger(__name__)

CHECK_EVERY = 0.5
"""Seconds between two checks whether a broker is still blocked."""


async def open_publisher(
    connection: AbstractConnection, exchange: str, *, patience: float, frames: bool = True
) -> Publisher:
    """A publisher on a fresh channel, after a proof that an unroutable event comes back.

    `patience` is how many seconds the broker may be silent.
    """
    user = await _known_user(connection)
    if frames:
        try:
            return await _open_fast(connection, exchange, patience, user)
        except UnexpectedInternals as problem:
            logger.warning("the relay publishes slowly, by the client's public API: %s", problem)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    target = await channel.get_exchange(exchange, ensure=False)
    return PlainPublisher(channel, target, patience=patience, user=user)


async def _known_user(connection: AbstractConnection) -> str | None:
    """The connection's user at the broker; None if it is not the one that the URL names.

    With a certificate or a token it may be another. Events then name no sender: the broker closes
    the channel over a false one (RabbitMQ, "Validated User-ID").
    """
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
        underlay = await channel.get_underlay_channel()
        user = underlay.connection.url.user or "guest"
        exchange = await channel.declare_exchange(DEAD_LETTERS, ExchangeType.DIRECT, durable=True)
        probe = Message(b"", message_id=str(uuid4()), user_id=user)
        try:
            await exchange.publish(probe, f"user-{probe.message_id}", mandatory=True, timeout=10)
        except PublishError:
            return user
        except ChannelPreconditionFailed:
            logger.warning(
                "events name no sender: the broker knows this login as another than %s", user
            )
            return None
    raise TopologyMismatch("an unroutable message was confirmed instead of returned")


async def ensure_topology(topology: Topology, declarer: Declarer) -> None:
    """Declare everything, and prove that an unroutable event comes back.

    A blocked broker stops the clock here as well; it is asked when it reads again. A silent broker
    is asked twice: it may have been blocked and read on while this waited.
    """
    async with declarer.lock:
        await _ensure_topology(topology, declarer)


async def _ensure_topology(topology: Topology, declarer: Declarer) -> None:
    silent = 0
    while True:
        channel = await (await declarer.channel()).get_underlay_channel()
        while not channel.is_closed and await is_blocked(channel):  # noqa: ASYNC110 may close too
            await asyncio.sleep(CHECK_EVERY)
        try:
            await declarer.declare()
            return await topology.prove_hand_off(await declarer.channel())
        except TimeoutError:
            silent = 0 if await is_blocked(channel) else silent + 1
            if silent > 1:
                raise


async def _open_fast(
    connection: AbstractConnection, exchange: str, patience: float, user: str | None
) -> FastPublisher:
    # The probe does not go to the exchange itself: a stream queue bound to it takes everything.
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as trial:
        await trial.declare_exchange(DEAD_LETTERS, ExchangeType.DIRECT, durable=True)
        raw = RawChannel(await trial.get_underlay_channel())
        flight = await FastPublisher(raw, DEAD_LETTERS, patience=patience).send([_probe()])
        outcomes = await flight.outcomes()
    if outcomes == [Outcome.TIMED_OUT]:
        raise TimeoutError("the broker is silent")
    if outcomes != [Outcome.RETURNED]:
        raise UnexpectedInternals(f"an unroutable event was {outcomes[0]}")
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    raw = RawChannel(await channel.get_underlay_channel())
    return FastPublisher(raw, exchange, patience=patience, user=user)


def _probe() -> OutboxRow:
    """An event that no queue takes."""
    id_ = str(uuid4()).encode()
    return OutboxRow(
        id=0,
        event_id=id_,
        source=b"outbox",
        aggregate_type=b"outbox",
        aggregate_id=id_,
        sequence=1,
        type=b"outbox.probe-" + id_,
        version=1,
        time=b"",
        epoch=0,
        payload=b"",
        correlation_id=id_,
        causation_id=None,
        traceparent=None,
        attempts=0,
    )
