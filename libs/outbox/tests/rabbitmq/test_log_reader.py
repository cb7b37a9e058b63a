"""What the relay reads at once is bounded, in events and in bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox.log.relay_queries import MAX_WINDOW_BYTES, OutboxReader
from outbox.log.row import OutboxRow

MEBIBYTE = 1024 * 1024
LONG = b'"%s"' % (b"x" * (MEBIBYTE - 2))


@pytest.fixture
async def reader(world: World) -> AsyncIterator[OutboxReader]:
    async with await psycopg.AsyncConnection.connect(
        world.database_url, autocommit=True, client_encoding="SQL_ASCII"
    ) as connection:
        reader = OutboxReader(connection)
        await reader.open()
        yield reader


async def fill(world: World, count: int, body: bytes) -> None:
    """Events of as many aggregates, all with the same body."""
    await world.emit(Happened("a", body=body))
    await world.execute(
        "INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence,"
        " type, version, payload, correlation_id)"
        " SELECT gen_random_uuid(), bucket, source, aggregate_type, 'b' || n, 1, type, version,"
        " payload, correlation_id FROM outbox, generate_series(2, %s) n",
        count,
    )


async def fetch(reader: OutboxReader, above: int = 0) -> list[OutboxRow]:
    return await reader.fetch(above=above, in_flight=None, backed_off=[], limit=1000)


async def test_a_window_has_eight_mebibytes_at_most_however_well_they_are_compressed(
    world: World, reader: OutboxReader
) -> None:
    await fill(world, 100, LONG)
    [(stored,)] = await world.rows("SELECT max(pg_column_size(payload)) FROM outbox")
    assert isinstance(stored, int)
    assert stored < MEBIBYTE // 10
    above = 0
    for _ in range(3):
        entries = await fetch(reader, above)
        assert len(entries) * MEBIBYTE == MAX_WINDOW_BYTES
        assert reader.cut_short
        above = entries[-1].id
    assert len(await fetch(reader, above)) == 8


async def test_small_events_are_read_to_the_limit_again_after_large_ones(
    world: World, reader: OutboxReader
) -> None:
    await fill(world, 1500, b"1")
    await world.execute(
        "UPDATE outbox SET payload = to_json(repeat('x', %s))"
        " WHERE id < (SELECT min(id) + 8 FROM outbox)",
        MEBIBYTE - 2,
    )
    large = await fetch(reader)
    assert len(large) == 8
    some = await fetch(reader, large[-1].id)
    assert not reader.cut_short
    assert len(await fetch(reader, some[-1].id)) == 1000


async def test_one_event_comes_alone_where_it_is_larger_than_a_window(
    world: World, reader: OutboxReader
) -> None:
    await fill(world, 2, b"1")
    await world.execute(
        "UPDATE outbox SET payload = to_json(repeat('x', %s))", MAX_WINDOW_BYTES + 1
    )
    assert len(await fetch(reader)) == 1


async def test_large_events_are_all_relayed(world: World) -> None:
    await fill(world, 40, LONG)
    async with running(world.relay()):
        await eventually(lambda: world.has_unpublished(0), within=60)
