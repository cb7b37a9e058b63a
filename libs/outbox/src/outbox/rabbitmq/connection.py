"""Connections to RabbitMQ. A refusal raises another error than a loss."""

from __future__ import annotations

import asyncio

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AuthenticationError, ProbableAuthenticationError
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.exceptions import ConnectionNotAllowed

from outbox.addresses import Broker, BrokerAddress
from outbox.errors import BrokerRefused
from outbox.outages import quiet
from outbox.rabbitmq.lenient_decoding import connection_class

CONNECT_TIMEOUT = 5.0
HEARTBEAT = 10
CLOSE_WITHIN = (3.0, 0.5, 0.5)
"""Seconds. The client sends its close, then waits until all is sent; each step has its limit."""


async def connect(broker: Broker, name: str) -> AbstractConnection:
    """Open a connection that shows up under this name in the management UI.

    Raises `InvalidSetting` if this is not a broker's address, `BrokerRefused` if the broker
    refuses, and an error that `losses.broker_lost` knows if it cannot be reached.
    """
    address = BrokerAddress.of(broker)
    target = address.url
    if "heartbeat" not in target.query:
        target = target.update_query(heartbeat=str(HEARTBEAT))
    try:
        with quiet("aiormq"):
            return await aio_pika.connect(
                target,
                timeout=CONNECT_TIMEOUT,
                client_properties={"connection_name": name},
                connection_class=connection_class(),
            )
    except (AuthenticationError, ProbableAuthenticationError) as problem:
        raise BrokerRefused(
            f"user {address.user} may not log in; is the password right?"
        ) from problem
    except ConnectionNotAllowed as problem:
        raise BrokerRefused(
            f"no virtual host {address.vhost!r} for user {address.user}; make it, or grant the "
            "user rights there"
        ) from problem


async def close(connection: AbstractConnection) -> None:
    """Close a connection, without waiting for long: a blocked broker does not read the close."""
    closing = asyncio.ensure_future(connection.close())
    for patience in CLOSE_WITHIN:
        await asyncio.wait({closing}, timeout=patience)
        if closing.done():
            await asyncio.gather(closing, return_exceptions=True)
            return
        closing.cancel()


async def is_blocked(channel: UnderlayChannel) -> bool:
    """Whether the broker has told this connection to wait (connection.blocked: memory or disk)."""
    try:
        async with asyncio.timeout(0.01):
            await channel.connection.ready()
    except TimeoutError:
        return True
    return False
