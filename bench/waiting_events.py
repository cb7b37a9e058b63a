"""What waits between the services: unpublished events in both outboxes, and messages in queues."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aio_pika
import psycopg

from devstack.native.system import System

QUEUES = {
    "orders": ("orders.orders", "orders.bookings", "orders.tickets"),
    "processor": ("processor.orders", "processor.bookings", "processor.tickets"),
}
LOOKS, APART = 5, 0.05
_UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"


@dataclass(frozen=True)
class WaitingEvents:
    """Counts at one moment."""

    outboxes: int
    queues: int

    @property
    def all(self) -> int:
        return self.outboxes + self.queues


async def waiting_events(system: System) -> WaitingEvents:
    """The least of a few looks, because events also wait where nothing lags."""
    found = []
    for _ in range(LOOKS):
        outboxes = await asyncio.to_thread(_outboxes, system)
        found.append(WaitingEvents(outboxes, await _queues(system)))
        await asyncio.sleep(APART)
    return min(found, key=lambda one: one.all)


def _outboxes(system: System) -> int:
    count = 0
    for name in QUEUES:
        url = system.environment[name][f"DATABASE_URL_{name.upper()}"]
        with psycopg.connect(url, autocommit=True) as connection:
            [(unpublished,)] = connection.execute(_UNPUBLISHED).fetchall()
            count += unpublished
    return count


async def _queues(system: System) -> int:
    count = 0
    async with await aio_pika.connect(system.admin_rabbitmq_url) as connection:
        channel = await connection.channel()
        for queue in (name for names in QUEUES.values() for name in names):
            declared = await channel.declare_queue(queue, passive=True)
            count += declared.declaration_result.message_count or 0
    return count
