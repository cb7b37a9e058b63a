"""Any number of workers may be there: one writes the audit's lines, each line once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aio_pika
import psycopg
import pytest
from aio_pika.abc import AbstractExchange
from sqlalchemy import text
from structlog.testing import capture_logs

from contracts import AUDIT
from kit.outbox.deliveries import events
from kit.outbox.world import running
from kit.services.service import Service
from kit.waiting import eventually
from outbox import BackgroundService
from outbox.postgres.leadership import Leader
from outbox.rabbitmq import stream_reader
from service_processor.audit.journal import Journal, PositionMoved
from service_processor.bootstrap import TOPOLOGY


@pytest.fixture
async def exchange(broker_url: str) -> AsyncIterator[AbstractExchange]:
    async with await aio_pika.connect(broker_url) as connection:
        await TOPOLOGY.ensure(connection)
        channel = await connection.channel()
        yield await channel.get_exchange(TOPOLOGY.entry("orders"))


@pytest.fixture
def auditor(service: Service, broker_url: str) -> Callable[[], Leader]:
    """As a worker runs it."""

    def build() -> Leader:
        journal = Journal(service.work.engine, AUDIT)
        reader = stream_reader.StreamReader(
            stream=AUDIT,
            broker_url=broker_url,
            topology=TOPOLOGY,
            begin=journal.position,
            handle=journal.write,
        )
        return Leader(reader, name=AUDIT, database_url=service.url)

    return build


async def publish(exchange: AbstractExchange, count: int) -> None:
    for _ in range(count):
        await exchange.publish(aio_pika.Message(b"?"), "stray")


async def come_to(service: Service, offset: int) -> None:
    async def there() -> bool:
        async with service.work.read() as connection:
            found = await connection.execute(text("SELECT next_offset FROM audit_positions"))
            return found.scalar_one_or_none() == offset

    await eventually(there, within=40)


async def all_are_there(*parts: BackgroundService) -> None:
    async def there() -> bool:
        return all(part.running for part in parts)

    await eventually(there, within=40)


def offsets(lines: list[Any]) -> list[int]:
    return [line["offset"] for line in lines if line["event"] == "audit"]


async def test_of_several_auditors_one_writes_each_line_once(
    service: Service, exchange: AbstractExchange, auditor: Callable[[], Leader]
) -> None:
    parts = [auditor() for _ in range(3)]
    with capture_logs() as lines:
        async with running(*parts):
            await all_are_there(*parts)
            assert sum(part.standing_by for part in parts) == 2
            await publish(exchange, 100)
            await come_to(service, 100)
    assert offsets(lines) == list(range(100))


async def test_an_auditor_that_stands_by_takes_over(
    service: Service, exchange: AbstractExchange, auditor: Callable[[], Leader]
) -> None:
    with capture_logs() as lines:
        async with running(auditor()) as first:
            await publish(exchange, 10)
            await come_to(service, 10)
            second = auditor()
            async with running(second):
                await all_are_there(second)
                first.set()
                await publish(exchange, 10)
                await come_to(service, 20)
    assert offsets(lines) == list(range(20))


async def test_an_auditor_whose_lock_is_lost_leaves_nothing_out(
    service: Service, exchange: AbstractExchange, auditor: Callable[[], Leader]
) -> None:
    with capture_logs() as lines:
        async with running(auditor(), auditor()):
            await publish(exchange, 10)
            await come_to(service, 10)
            with psycopg.connect(service.url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                    " AND database = (SELECT oid FROM pg_database"
                    " WHERE datname = current_database())"
                )
            await publish(exchange, 10)
            await come_to(service, 20)
    assert set(offsets(lines)) == set(range(20))


async def test_the_place_never_goes_back(service: Service) -> None:
    read = [stream_reader.StreamedEvent(n, event) for n, event in enumerate(events(10))]

    class Beginning(stream_reader.StreamBounds):
        async def oldest(self) -> stream_reader.StreamedEvent:
            return read[0]

    ends = Beginning(None, AUDIT)  # type: ignore[arg-type]
    first, second = (Journal(service.work.engine, AUDIT) for _ in range(2))
    assert [await first.position(ends), await second.position(ends)] == ["first", "first"]
    await first.write(read)
    with pytest.raises(PositionMoved):
        await second.write(read[:5])
    assert await second.position(ends) == 10
    await first.position(ends)
    await second.write([stream_reader.StreamedEvent(10, None)])
    with pytest.raises(PositionMoved):
        await first.write([stream_reader.StreamedEvent(10, None)])
    await come_to(service, 11)
