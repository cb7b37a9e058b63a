"""Which publisher a connection gets: the fast one where it works, else the plain one.

And the look, now and then, whether what it publishes to is still there.
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

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks whether a broker is still blocked."""


async def open_publisher(
    connection: AbstractConnection, exchange: str, *, patience: float, frames: bool = True
) -> Publisher:
    """A publisher on a fresh channel; that an unroutable event comes back has been proved.

    `patience` is how many seconds the broker may be silent.
    """
    user = await _known_user(connection)
    if frames:
        try:
            return await _open_fast(connection, exchange, patience, user)
        except UnexpectedInternals as problem:
            log.warning("the relay publishes slowly, by the client's public API: %s", problem)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    target = await channel.get_exchange(exchange, ensure=False)
    return PlainPublisher(channel, target, patience=patience, user=user)


async def _known_user(connection: AbstractConnection) -> str | None:
    """Whom the broker knows this connection as; None if it is not the user whom the URL names.

    With a certificate or a token it may be another. Events then name no sender: a false one costs
    the channel (RabbitMQ, "Validated User-ID").
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
            log.warning(
                "events name no sender: the broker knows this login as another than %s", user
            )
            return None
    raise TopologyMismatch("an unroutable message was confirmed instead of returned")


async def look_after(topology: Topology, declarer: Declarer) -> None:
    """Declare everything, and prove that an unroutable event comes back.

    A broker that is blocked stops the clock here as well, and is asked when it reads again. One
    that says nothing is asked twice: it may have been blocked and read on while this waited.
    """
    silent = 0
    while True:
        wire = await (await declarer.channel()).get_underlay_channel()
        while not wire.is_closed and await is_blocked(wire):  # noqa: ASYNC110 it may be closed too
            await asyncio.sleep(LOOK_EVERY)
        try:
            await declarer.declare()
            return await topology.prove_hand_off(await declarer.channel())
        except TimeoutError:
            silent = 0 if await is_blocked(wire) else silent + 1
            if silent > 1:
                raise


async def _open_fast(
    connection: AbstractConnection, exchange: str, patience: float, user: str | None
) -> FastPublisher:
    # Not on the exchange itself: where a stream takes everything, nothing comes back from it.
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as trying:
        await trying.declare_exchange(DEAD_LETTERS, ExchangeType.DIRECT, durable=True)
        wire = RawChannel(await trying.get_underlay_channel())
        flight = await FastPublisher(wire, DEAD_LETTERS, patience=patience).send([_probe()])
        outcomes = await flight.outcomes()
    if outcomes == [Outcome.TIMED_OUT]:
        raise TimeoutError("the broker is silent")
    if outcomes != [Outcome.RETURNED]:
        raise UnexpectedInternals(f"an unroutable event was {outcomes[0]}")
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    wire = RawChannel(await channel.get_underlay_channel())
    return FastPublisher(wire, exchange, patience=patience, user=user)


def _probe() -> OutboxRow:
    """An event that no queue takes."""
    id_ = str(uuid4()).encode()
    return OutboxRow(
        0,
        id_,
        b"outbox",
        b"outbox",
        id_,
        1,
        b"outbox.probe-" + id_,
        1,
        b"",
        0,
        b"",
        id_,
        None,
        None,
        0,
    )
