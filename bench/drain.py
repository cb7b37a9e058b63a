"""One drain: relay processes publish a backlog of committed events to the quorum queue."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from math import ceil

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from bench.environment import QUEUE, Environment
from bench.events import Backlog, commit_backlog
from bench.subject_process import SubjectProcess, Usage, subject_process
from outbox.schema import DEFAULT_LANES

EVENTS = 50_000
DRAIN_WITHIN = 180.0
RELAY, TEXTBOOK = "relay", "textbook_relay"


@dataclass(frozen=True)
class Drained:
    """Events per second, and CPU of all relay processes together per event, in microseconds."""

    rate: float
    cpu: float


async def drain(
    environment: Environment, *, script: str = RELAY, relays: int = 1, events: int = EVENTS
) -> Drained:
    """Measures from the commit of all events to the mark of the last; none may be missing."""
    async with AsyncExitStack() as stack:
        children = [
            await stack.enter_async_context(subject_process(script, environment))
            for _ in range(relays)
        ]
        await asyncio.gather(*(one.until(_settled(script, relays)) for one in children))
        before = await _cpu(children)
        backlog = await asyncio.to_thread(commit_backlog, environment, events)
        seconds = await asyncio.to_thread(_wait, backlog)
        used = await _cpu(children) - before
    arrived = await in_queue(environment)
    if arrived < events:
        raise RuntimeError(f"{events} events were marked published, {arrived} are in the queue")
    return Drained(events / seconds, used / events * 1e6)


def median(drains: list[Drained]) -> Drained:
    return Drained(
        statistics.median(one.rate for one in drains), statistics.median(one.cpu for one in drains)
    )


async def in_queue(environment: Environment) -> int:
    """How many messages wait in the queue."""
    async with await aio_pika.connect(environment.broker_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE, passive=True)
        return queue.declaration_result.message_count or 0


async def one_of_queue(environment: Environment) -> AbstractIncomingMessage:
    """The first message of the queue. It stays in the queue."""
    async with (
        await aio_pika.connect(environment.broker_url) as connection,
        asyncio.timeout(DRAIN_WITHIN),
    ):
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.get_queue(QUEUE, ensure=False)
        async with queue.iterator() as arriving:
            return await anext(arriving)


def _settled(script: str, relays: int) -> Callable[[Usage], bool]:
    """The relay is connected and, beside other relays, owns its share of the lanes."""

    def condition(usage: Usage) -> bool:
        return usage.ready and (script != RELAY or 0 < usage.lanes <= ceil(DEFAULT_LANES / relays))

    return condition


async def _cpu(children: list[SubjectProcess]) -> float:
    return sum([(await one.usage()).cpu for one in children])


def _wait(backlog: Backlog) -> float:
    with backlog.environment.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        until = time.monotonic() + DRAIN_WITHIN
        while not backlog.is_published(connection):
            if time.monotonic() > until:
                raise TimeoutError(f"{backlog.count} events were not drained in {DRAIN_WITHIN} s")
            time.sleep(0.02)
        return backlog.seconds(connection)
