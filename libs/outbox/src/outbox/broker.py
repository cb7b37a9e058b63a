"""Connections to RabbitMQ. A refusal is told apart from an absence."""

from __future__ import annotations

import asyncio

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ProbableAuthenticationError,
)
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.exceptions import ConnectionNotAllowed
from pamqp.exceptions import PAMQPException
from yarl import URL

from outbox.errors import BrokerRefused
from outbox.receiving import connection_class

CONNECT_TIMEOUT = 5.0
HEARTBEAT = 10
CLOSE_WITHIN = (3.0, 0.5, 0.5)
"""Seconds. The client says farewell, then waits until all is sent: each is given up by itself."""

LOST: tuple[type[BaseException], ...] = (
    AMQPError,
    PAMQPException,
    OSError,
    TimeoutError,
    RuntimeError,
)
"""What a vanished broker can raise; RuntimeError is aiormq's for a channel that is closed."""


async def connect(url: str, name: str) -> AbstractConnection:
    """Open a connection that shows up under this name in the management UI.

    Raises `BrokerRefused` if the broker says no, and one of `LOST` if it cannot be reached.
    """
    target = URL(url)
    if "heartbeat" not in target.query:
        target = target.update_query(heartbeat=str(HEARTBEAT))
    try:
        return await aio_pika.connect(
            target,
            timeout=CONNECT_TIMEOUT,
            client_properties={"connection_name": name},
            connection_class=connection_class(),
        )
    except (AuthenticationError, ProbableAuthenticationError) as problem:
        raise BrokerRefused(f"user {target.user or 'guest'} may not log in") from problem
    except ConnectionNotAllowed as problem:
        raise BrokerRefused(f"no virtual host {target.path!r} for {target.user}") from problem


async def close(connection: AbstractConnection) -> None:
    """Close a connection. A broker that is blocked reads no farewell: it is not waited for."""
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
