"""Whether RabbitMQ is there: one quiet connection, kept open in the background.

Nothing waits for it. The API lives without the broker, and readiness reads what is known already.
One line says that the broker went away, and one that it is back.
"""

import asyncio
import contextlib
from typing import Self

import structlog
from aiormq.exceptions import ConnectionNotAllowed

from outbox.delays import ReconnectDelay
from outbox.errors import BrokerRefused
from outbox.losses import broker_lost
from outbox.rabbitmq.connection import close, connect
from outbox.supervise import outlive
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import AmqpUrl

__all__ = ["BrokerIsAway", "BrokerProbe", "refuse_bad_credentials"]

SLOWEST_RETRY = 3.0
"""Seconds."""

logger = structlog.get_logger(__name__)


class BrokerIsAway(Exception):
    """There is no connection to the broker now."""


class BrokerProbe:
    """`async with BrokerProbe(url) as probe:` and give `probe.check` to `Health`."""

    def __init__(self, url: AmqpUrl, *, name: str) -> None:
        self._url = url
        self._name = name
        self._connected = asyncio.Event()
        self._away = False
        self._delay = ReconnectDelay(SLOWEST_RETRY)
        self._task: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Return when the connection is up, raise BrokerIsAway when not; never waits."""
        if not self._connected.is_set():
            raise BrokerIsAway

    async def __aenter__(self) -> Self:
        until_cancelled = asyncio.Event()
        self._task = asyncio.create_task(
            outlive(self._session, self._failed, until_cancelled, self._delay.after_failure)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _session(self) -> None:
        connection = await connect(self._url, self._name)
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        try:
            if connection.connected.is_set():  # else it was lost before we could hear of it
                self._up()
                await lost.wait()
        finally:
            self._connected.clear()
            await close(connection)
        raise BrokerIsAway

    def _up(self) -> None:
        if self._away:
            logger.info("broker_back")
        self._away = False
        self._delay.reset()
        self._connected.set()

    def _failed(self, problem: Exception) -> None:
        if not self._away:
            lost = isinstance(problem, BrokerIsAway)
            reason = "connection lost" if lost else type(problem).__name__
            logger.warning("broker_away", reason=reason)
        self._away = True


async def refuse_bad_credentials(url: AmqpUrl, *, variable: str) -> None:
    """Raise StartupProblem when the broker answers and refuses us; a broker away is no problem."""
    try:
        connection = await connect(url, "start")
    except BrokerRefused as refused:
        has_no_rights = isinstance(refused.__cause__, ConnectionNotAllowed)
        what = "this vhost to the user" if has_no_rights else "the user or password"
        raise StartupProblem(f"RabbitMQ at {url.address} refuses {what} of {variable}") from None
    except Exception as problem:
        if not broker_lost(problem):
            raise
    else:
        await close(connection)
