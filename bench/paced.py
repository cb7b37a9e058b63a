"""Events committed at a steady rate, and when each arrived at a consumer.

The rate does not wait for the system under load: what falls behind is seen as latency.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
from aiormq.abc import DeliveredMessage

from bench.events import OrderCreated, number_of
from bench.place import QUEUE, SOURCE, Place
from outbox import Outbox, Work, open_work

AT_ONCE = 20
ARRIVE_WITHIN = 60.0

Send = Callable[[int], Awaitable[float]]
"""Send event number n on its way; returns the moment at which its latency begins."""


@dataclass
class Journey:
    """When each event began its way, and when it was delivered first."""

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
async def consuming(place: Place) -> AsyncIterator[Journey]:
    """Note each delivery by plain basic.consume, without acks, in this process."""
    journey = Journey()

    async def note(delivery: DeliveredMessage) -> None:
        journey.arrived.setdefault(number_of(delivery.body), time.perf_counter())

    async with await aio_pika.connect(place.broker_url) as connection:
        channel = await (await connection.channel()).get_underlay_channel()
        await channel.basic_consume(QUEUE, note, no_ack=True)
        yield journey


async def pace(journey: Journey, send: Send, *, rate: int, count: int, first: int = 0) -> None:
    """Send so many events, each at its time, or later if twenty are still under way."""
    places = asyncio.Semaphore(AT_ONCE)

    async def send_one(number: int) -> None:
        try:
            journey.began[number] = await send(number)
        finally:
            places.release()

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for position in range(count):
            await asyncio.sleep(max(0.0, start + position / rate - time.perf_counter()))
            await places.acquire()
            group.create_task(send_one(first + position))


@asynccontextmanager
async def committing(place: Place) -> AsyncIterator[Send]:
    """Each event in a transaction of its own, as an application does it, doorbell included."""
    async with open_work(place.engine(), place.database_url, Outbox(SOURCE)) as work:
        yield lambda number: _commit(work, number)


async def _commit(work: Work, number: int) -> float:
    async with work.begin() as unit:
        await unit.emit(OrderCreated(number))
    return time.perf_counter()
