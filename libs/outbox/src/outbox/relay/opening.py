"""Which publisher a connection gets: the fast one where it works, else the plain one."""

from __future__ import annotations

import logging
from uuid import uuid4

from aio_pika.abc import AbstractConnection

from outbox.relay.entry import Entry
from outbox.relay.exchange_publisher import ExchangePublisher
from outbox.relay.frame_publisher import FramePublisher
from outbox.relay.publisher import Outcome, Publisher
from outbox.relay.wire import UnexpectedInternals, Wire

log = logging.getLogger(__name__)


async def open_publisher(
    connection: AbstractConnection, exchange: str, *, patience: float, frames: bool = True
) -> Publisher:
    """A publisher on a fresh channel, which has proved that an unroutable event comes back.

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
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    publisher = FramePublisher(
        Wire(await channel.get_underlay_channel()), exchange, patience=patience
    )
    flight = await publisher.send([_probe()])
    outcomes = await flight.outcomes()
    if outcomes != [Outcome.RETURNED]:
        await channel.close()
        raise UnexpectedInternals(f"an unroutable event was {outcomes[0]}")
    return publisher


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
