"""Open-loop load: events are committed at a steady rate, and each arrival is timed.

The rate does not adapt to the system under load, so falling behind shows as latency.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
from aiormq.abc import DeliveredMessage

from bench.environment import QUEUE, SOURCE, Environment
from bench.events import OrderCreated, number_of
from outbox import Outbox, Work, open_work

AT_ONCE = 20
ARRIVE_WITHIN = 60.0

Send = Callable[[int], Awaitable[float]]
"""Sends event number n and returns the moment at which its latency begins."""


@dataclass
class Journey:
    """When each event was sent, and when it was first delivered."""

    began: dict[int, float] = field(default_factory=dict)
    arrived: dict[int, float] = field(default_factory=dict)

    async def all_arrived(self) -> None:
        async with asyncio.timeout(ARRIVE_WITHIN):
            while len(self.arrived) < len(self.began):  # noqa: ASYNC110 told by a callback
                await asyncio.sleep(0.01)

    def latencies(self, numbers: Iterable[int]) -> list[float]:
        """In milliseconds."""
        return [(self.arrived[n] - self.began[n]) * 1000 for n in numbers]


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


@asynccontextmanager
async def consuming(environment: Environment) -> AsyncIterator[Journey]:
    """Record each delivery with plain basic.consume, without acks, in this process."""
    journey = Journey()

    async def note(delivery: DeliveredMessage) -> None:
        journey.arrived.setdefault(number_of(delivery.body), time.perf_counter())

    async with await aio_pika.connect(environment.broker_url) as connection:
        channel = await (await connection.channel()).get_underlay_channel()
        await channel.basic_consume(QUEUE, note, no_ack=True)
        yield journey


async def send_at_rate(
    journey: Journey, send: Send, *, rate: int, count: int, first: int = 0
) -> None:
    """Send `count` events, each at its time, or later while `AT_ONCE` are still being sent."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def send_one(number: int) -> None:
        try:
            journey.began[number] = await send(number)
        finally:
            slots.release()

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for position in range(count):
            await asyncio.sleep(max(0.0, start + position / rate - time.perf_counter()))
            await slots.acquire()
            group.create_task(send_one(first + position))


@asynccontextmanager
async def committing(environment: Environment) -> AsyncIterator[Send]:
    """Each event is committed in its own transaction, as an application does, doorbell included."""
    async with open_work(environment.engine(), environment.database_url, Outbox(SOURCE)) as work:
        yield lambda number: _commit(work, number)


async def _commit(work: Work, number: int) -> float:
    async with work.begin() as unit:
        await unit.emit(OrderCreated(number))
    return time.perf_counter()
