"""Is RabbitMQ there? One quiet connection, kept open in the background.

Nothing waits for it: the API lives without the broker, and readiness reads what is known already.
It says one line when the broker goes away and one when it is back.
"""

import asyncio
import contextlib
from typing import Self

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import AmqpUrl

__all__ = ["BrokerIsAway", "BrokerProbe", "refuse_bad_credentials"]

CONNECT_TIMEOUT = 5.0
HEARTBEAT = 10
REFUSALS = 3
REFUSAL_PAUSE = 0.5
SLOWEST_RETRY = 3.0
AWAY = (OSError, AMQPError, TimeoutError)

log = structlog.get_logger(__name__)


class BrokerIsAway(Exception):
    """There is no connection to the broker now."""


class BrokerProbe:
    """`async with BrokerProbe(url) as probe:` and give `probe.check` to `Health`."""

    def __init__(self, url: AmqpUrl, *, name: str) -> None:
        self._url = url
        self._name = name
        self._connected = asyncio.Event()
        self._away = False
        self._task: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Return when the connection is up, raise BrokerIsAway when not; never waits."""
        if not self._connected.is_set():
            raise BrokerIsAway

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep_connected(self) -> None:
        connecting = AsyncRetrying(
            retry=retry_if_exception_type(AWAY),
            wait=wait_random_exponential(multiplier=0.2, max=SLOWEST_RETRY),
            before_sleep=self._note_failure,
        )
        while True:
            connection: AbstractConnection = await connecting(self._connect)
            if self._away:
                log.info("broker_back")
            self._away = False
            await self._until_lost(connection)
            self._note("connection lost")

    async def _connect(self) -> AbstractConnection:
        return await _connect(self._url, self._name)

    def _note_failure(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        self._note(type(failure).__name__)

    def _note(self, reason: str) -> None:
        if not self._away:
            log.warning("broker_away", reason=reason)
        self._away = True

    async def _until_lost(self, connection: AbstractConnection) -> None:
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        if not connection.connected.is_set():
            return  # lost before we could hear of it
        self._connected.set()
        try:
            await lost.wait()
        finally:
            self._connected.clear()
            with contextlib.suppress(Exception):
                await connection.close()


async def _connect(url: AmqpUrl, name: str) -> AbstractConnection:
    return await aio_pika.connect(
        url,
        timeout=CONNECT_TIMEOUT,
        heartbeat=HEARTBEAT,
        client_properties={"connection_name": name},
    )


async def refuse_bad_credentials(url: AmqpUrl, *, variable: str) -> None:
    """Raise StartupProblem when the broker answers and refuses us; a broker away is no problem."""
    for _ in range(REFUSALS):
        try:
            connection = await _connect(url, "start")
        except (AuthenticationError, ProbableAuthenticationError):
            raise StartupProblem(
                f"RabbitMQ at {url.place} refuses the user or password of {variable}"
            ) from None
        except InvalidFrameError:
            # What aiormq makes of Connection.Close instead of OpenOk: no such vhost, no right to
            # it, or a broker that is just going down. Only the last one passes.
            await asyncio.sleep(REFUSAL_PAUSE)
        except AWAY:
            return
        else:
            await connection.close()
            return
    raise StartupProblem(f"RabbitMQ at {url.place} refuses this vhost to the user of {variable}")
