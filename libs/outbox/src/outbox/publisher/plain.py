"""The plain publisher: the same promise on aio-pika's public API, at a tenth of the speed.

The relay falls back to it when the client's internals are not as `aiormq_channel` knows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import (
    AMQPError,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)
from aiormq.exceptions import ConnectionChannelError

from outbox.log.row import OutboxRow
from outbox.publisher.publisher import CHECKS, Outcome
from outbox.rabbitmq.cloudevents import to_message
from outbox.rabbitmq.connection import is_blocked


class PlainPublisher:
    """Its channel must have confirms, and raise on returned messages."""

    def __init__(
        self,
        channel: AbstractChannel,
        exchange: AbstractExchange,
        *,
        patience: float,
        user: str | None = None,
    ) -> None:
        self._channel = channel
        self._exchange = exchange
        self._patience = patience
        self.user = user
        self._over_a_publish = False

    async def send(self, rows: Sequence[OutboxRow]) -> _Flight:
        """Publish all at once. asyncio starts the tasks in order; the channel's lock keeps it."""
        return _Flight(self, [asyncio.create_task(self._publish(row)) for row in rows])

    @property
    def unanswered(self) -> Outcome:
        """The outcome of an event that was never answered."""
        return Outcome.CLOSED if self._over_a_publish else Outcome.TIMED_OUT

    async def _publish(self, row: OutboxRow) -> Outcome:
        try:
            message = to_message(row.envelope(), user=self.user)
            key = row.type.decode()
            await self._within_time(self._exchange.publish(message, key, mandatory=True))
        except PublishError:
            return Outcome.RETURNED
        except DeliveryError:
            return Outcome.NACKED
        # The client goes on writing to a channel that the broker has closed, and so loses the
        # connection: some publishes raise the connection's error then.
        except (ChannelPreconditionFailed, ConnectionChannelError):
            self._over_a_publish = True
            return Outcome.CLOSED
        # A channel that closes cancels the publishes that wait for their confirms.
        except (TimeoutError, AMQPError, RuntimeError, OSError, asyncio.CancelledError):
            return Outcome.TIMED_OUT
        except (ValueError, TypeError):
            return Outcome.REFUSED
        return Outcome.ACKED

    async def _within_time(self, publishing: Coroutine[Any, Any, object]) -> None:
        """Wait for the confirm. A blocked broker stops the clock, which starts again afterwards."""
        task = asyncio.ensure_future(publishing)
        checks = 0
        try:
            while not task.done() and checks < CHECKS:
                await asyncio.wait({task}, timeout=self._patience / CHECKS)
                blocked = not task.done() and await is_blocked(
                    await self._channel.get_underlay_channel()
                )
                checks = 0 if blocked else checks + 1
            if not task.done():
                raise TimeoutError
            task.result()
        finally:
            task.cancel()


class _Flight:
    def __init__(self, publisher: PlainPublisher, tasks: Sequence[asyncio.Task[Outcome]]) -> None:
        self._publisher = publisher
        self._tasks = tasks

    async def outcomes(self) -> list[Outcome]:
        """See `Flight.outcomes`."""
        outcomes = await asyncio.gather(*self._tasks)
        unanswered = self._publisher.unanswered
        return [unanswered if one is Outcome.TIMED_OUT else one for one in outcomes]
