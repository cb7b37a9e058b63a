"""Publishing with confirms and `mandatory`, each event with its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from aio_pika.abc import AbstractExchange
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from outbox.envelope import Envelope
from outbox.message import to_message

CONFIRM_TIMEOUT = 10.0


class Outcome(StrEnum):
    """What became of one publish. Only `ACKED` counts as sent."""

    ACKED = "acked"
    RETURNED = "returned"
    """No queue took it (basic.return, AMQP 0-9-1 section 1.8.3.8)."""
    NACKED = "nacked"
    """The broker took no responsibility (basic.nack, RabbitMQ "Publisher Confirms")."""
    TIMED_OUT = "timed_out"
    """No answer: the time was up or the channel was gone. It may have arrived or not."""


class Publisher(Protocol):
    """Publish in the order given. Return only when each event has an outcome."""

    async def publish(self, envelopes: Sequence[Envelope]) -> dict[UUID, Outcome]: ...


class ExchangePublisher:
    """On aio-pika's public API. The channel must confirm, and raise on returned messages."""

    def __init__(self, exchange: AbstractExchange, *, timeout: float = CONFIRM_TIMEOUT) -> None:
        self._exchange = exchange
        self._timeout = timeout

    async def publish(self, envelopes: Sequence[Envelope]) -> dict[UUID, Outcome]:
        """Publish all at once; asyncio starts the tasks in order, the channel's lock keeps it."""
        answers = await asyncio.gather(
            *(self._publish_one(envelope) for envelope in envelopes), return_exceptions=True
        )
        return {
            envelope.id: _outcome(answer)
            for envelope, answer in zip(envelopes, answers, strict=True)
        }

    async def _publish_one(self, envelope: Envelope) -> None:
        await self._exchange.publish(
            to_message(envelope), envelope.type, mandatory=True, timeout=self._timeout
        )


def _outcome(answer: BaseException | None) -> Outcome:
    match answer:
        case None:
            return Outcome.ACKED
        case PublishError():
            return Outcome.RETURNED
        case DeliveryError():
            return Outcome.NACKED
        # A channel that closes cancels what waits for a confirm on it.
        case TimeoutError() | AMQPError() | RuntimeError() | OSError() | asyncio.CancelledError():
            return Outcome.TIMED_OUT
        case _:
            raise answer
