"""Which publisher a connection gets: the fast one where it works, else the plain one.

And the look, now and then, whether what it publishes to is still there.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection

from outbox.broker import is_blocked
from outbox.relay.entry import Entry
from outbox.relay.exchange_publisher import ExchangePublisher
from outbox.relay.frame_publisher import FramePublisher
from outbox.relay.publisher import Outcome, Publisher
from outbox.relay.wire import UnexpectedInternals, Wire
from outbox.topology import DEAD_LETTERS, Topology

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks whether a broker is still blocked."""


async def open_publisher(
    connection: AbstractConnection, exchange: str, *, patience: float, frames: bool = True
) -> Publisher:
    """A publisher on a fresh channel; that an unroutable event comes back has been proved.

    `patience` is how many seconds the broker may be silent.
    """
    if frames:
        try:
            return await _open_fast(connection, exchange, patience)
        except UnexpectedInternals as problem:
            log.warning("the relay publishes slowly, by the client's public API: %s", problem)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    target = await channel.get_exchange(exchange, ensure=False)
    return ExchangePublisher(channel, target, patience=patience)


async def check_again(topology: Topology, channel: AbstractChannel) -> None:
    """The same as `ensure_on`, for a channel on which it was done before.

    A broker that is blocked stops the clock here as well, and is asked when it reads again.
    """
    wire = await channel.get_underlay_channel()
    while True:
        while not wire.is_closed and await is_blocked(wire):  # noqa: ASYNC110 it may be closed too
            await asyncio.sleep(LOOK_EVERY)
        try:
            return await topology.ensure_on(channel)
        except TimeoutError:
            if not await is_blocked(wire):
                raise


async def _open_fast(
    connection: AbstractConnection, exchange: str, patience: float
) -> FramePublisher:
    # Not on the exchange itself: where a stream takes everything, nothing comes back from it.
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as trying:
        await trying.declare_exchange(DEAD_LETTERS, ExchangeType.DIRECT, durable=True)
        wire = Wire(await trying.get_underlay_channel())
        flight = await FramePublisher(wire, DEAD_LETTERS, patience=patience).send([_probe()])
        outcomes = await flight.outcomes()
    if outcomes == [Outcome.TIMED_OUT]:
        raise TimeoutError("the broker is silent")
    if outcomes != [Outcome.RETURNED]:
        raise UnexpectedInternals(f"an unroutable event was {outcomes[0]}")
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    wire = Wire(await channel.get_underlay_channel())
    return FramePublisher(wire, exchange, patience=patience)


def _probe() -> Entry:
    """An event that no queue takes."""
    id_ = str(uuid4()).encode()
    return Entry(
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
