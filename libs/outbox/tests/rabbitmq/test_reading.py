"""What the relay reads at once is bounded, in events and in bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from kit.outbox.world import Happened, World, eventually, running
from outbox.log.row import OutboxRow
from outbox.relay.log_reader import MAX_WINDOW_BYTES, LogReader

MEBIBYTE = 1024 * 1024
LONG = b'"%s"' % (b"x" * (MEBIBYTE - 2))


@pytest.fixture
async def reading(world: World) -> AsyncIterator[LogReader]:
    async with await psycopg.AsyncConnection.connect(
        world.database_url, autocommit=True, client_encoding="SQL_ASCII"
    ) as connection:
        reading = LogReader(connection)
        await reading.open()
        yield reading


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


async def look(reading: LogReader, floor: int = 0) -> list[OutboxRow]:
    return await reading.look(floor=floor, in_flight=None, held=[], limit=1000)


async def test_a_window_has_eight_mebibytes_at_most_however_well_they_are_compressed(
    world: World, reading: LogReader
) -> None:
    await fill(world, 100, LONG)
    [(stored,)] = await world.rows("SELECT max(pg_column_size(payload)) FROM outbox")
    assert isinstance(stored, int)
    assert stored < MEBIBYTE // 10
    floor = 0
    for _ in range(3):
        entries = await look(reading, floor)
        assert len(entries) * MEBIBYTE == MAX_WINDOW_BYTES
        assert reading.cut_short
        floor = entries[-1].id
    assert len(await look(reading, floor)) == 8


async def test_small_events_are_read_to_the_limit_again_after_large_ones(
    world: World, reading: LogReader
) -> None:
    await fill(world, 1500, b"1")
    await world.execute(
        "UPDATE outbox SET payload = to_json(repeat('x', %s))"
        " WHERE id < (SELECT min(id) + 8 FROM outbox)",
        MEBIBYTE - 2,
    )
    large = await look(reading)
    assert len(large) == 8
    some = await look(reading, large[-1].id)
    assert not reading.cut_short
    assert len(await look(reading, some[-1].id)) == 1000


async def test_one_event_comes_alone_where_it_is_larger_than_a_window(
    world: World, reading: LogReader
) -> None:
    await fill(world, 2, b"1")
    await world.execute(
        "UPDATE outbox SET payload = to_json(repeat('x', %s))", MAX_WINDOW_BYTES + 1
    )
    assert len(await look(reading)) == 1


async def test_large_events_are_all_relayed(world: World) -> None:
    await fill(world, 40, LONG)
    async with running(world.relay()):
        await eventually(lambda: world.has_unpublished(0), within=60)
