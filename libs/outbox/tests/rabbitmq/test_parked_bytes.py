"""What a consumer parks has a bound: beyond it, events stay in the queue and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from psycopg.rows import tuple_row

from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    publish,
    record,
    stream_of,
)
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import metrics
from outbox.inbox.operations import InboxOperations
from outbox.operations.doctor.flow import check_flow

BODY = b'"' + b"x" * 100_000 + b'"'


async def is_full(world: World, least: int) -> bool:
    return await world.rows(
        "SELECT coalesce(sum(octet_length(body)), 0) >= %s FROM inbox_parked", least
    ) == [(True,)]


async def test_a_consumer_that_has_parked_too_much_leaves_the_rest_in_the_queue_until_there_is_room(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    beyond_a_gap = [replace(event, payload=BODY) for event in events(9, "big", first=2)]
    await publish(world, *beyond_a_gap)
    consumer = world.consumer(record, parked_bytes=500_000)
    async with running(consumer):
        await eventually(lambda: is_full(world, 500_000))
        await eventually(lambda: is_reported(500_000))
        await publish(world, *events(3, "small"))
        await eventually(lambda: is_down(consumer))
        await eventually(lambda: lies_there(world, 3))
        assert await effects(world) == {}
        assert metrics.PARKED_STREAM_BYTES.labels(QUEUE)._value.get() >= 500_000
        await eventually(lambda: has_said(caplog, "receives nothing"))
        async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
            await InboxOperations(connection, QUEUE).skip(stream_of("big"))
        await eventually(lambda: has_effects(world, 12))
        assert consumer.running
    assert await effects(world) == {"big": list(range(2, 11)), "small": [1, 2, 3]}


async def test_events_with_small_bodies_count_too(world: World) -> None:
    """Each is a row and its index entries: two bytes of body are a KiB of disk."""
    await publish(world, *events(20, "big", first=2))
    async with running(world.consumer(record, parked_bytes=20 * 1024)) as _:
        await eventually(lambda: is_reported(20 * 1024))


async def is_reported(least: int) -> bool:
    return bool(metrics.PARKED_BYTES.labels(QUEUE)._value.get() >= least)


async def has_said(caplog: pytest.LogCaptureFixture, what: str) -> bool:
    """Whether exactly one line says it."""
    return [what in record.getMessage() for record in caplog.records].count(True) == 1


async def is_down(consumer: object) -> bool:
    return not consumer.running  # type: ignore[attr-defined]


async def lies_there(world: World, count: int) -> bool:
    async with world.broker() as channel:
        queue = await channel.declare_queue(QUEUE, passive=True)
        return queue.declaration_result.message_count == count


async def test_the_doctor_warns_of_streams_and_consumers_with_much_parked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.operations.doctor.flow.HEAVY_CONSUMER", 250_000)
    monkeypatch.setattr("outbox.operations.doctor.flow.HEAVY_STREAM", 250_000)
    await publish(world, *(replace(e, payload=BODY) for e in events(3, "big", first=2)))
    async with running(world.consumer(record)):
        await eventually(lambda: is_full(world, 300_000))
    connect = psycopg.AsyncConnection.connect
    async with await connect(world.database_url, row_factory=tuple_row) as connection:
        found = {finding.says: finding.level for finding in await check_flow(connection)}
    assert found[f"{QUEUE}: 303078 bytes are parked"] == "error"
    assert found[f"{QUEUE}: 303078 bytes are parked in shop/order/big"] == "warning"
