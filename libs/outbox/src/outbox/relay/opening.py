"""Which publisher a connection gets: the fast one where it works, else the plain one."""

from __future__ import annotations

import logging
from uuid import uuid4

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection

from outbox.relay.entry import Entry
from outbox.relay.exchange_publisher import ExchangePublisher
from outbox.relay.frame_publisher import FramePublisher
from outbox.relay.publisher import Outcome, Publisher
from outbox.relay.wire import UnexpectedInternals, Wire
from outbox.topology import DEAD_LETTERS

log = logging.getLogger(__name__)


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
