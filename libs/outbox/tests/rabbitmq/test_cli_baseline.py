"""`outbox baseline`: a new consumer begins now."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.deliveries import events
from kit.outbox.operator import Pair, effects, open_pair, record
from kit.outbox.world import QUEUE, Happened, running
from kit.waiting import eventually
from outbox.inbox.operations import InboxOperations
from outbox.operations.database import open_database


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def parked_are(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM inbox_parked") == [(count,)]


async def effects_are(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]


async def test_a_new_consumer_with_a_baseline_begins_with_new_events(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"), Happened("a"), Happened("b"))
    await pair.producer.execute("UPDATE outbox SET published_at = now()")
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await pair.producer.emit(Happened("a"))
        await eventually(lambda: parked_are(pair, 1))
        said = await pair.say("baseline", QUEUE, "--dry-run", "--json")
        assert said.json == {"streams": 2, "changed": 0}
        await pair.say("baseline", QUEUE, "--yes")
        await pair.producer.emit(Happened("b"), Happened("c"))
        await eventually(lambda: effects_are(pair, 3))
    assert await effects(pair.consumer) == {"a": [3], "b": [2], "c": [1]}
    assert (await pair.say("baseline", QUEUE, "--json")).json == {"streams": 0, "changed": 0}


async def test_a_baseline_leaves_streams_alone_that_its_consumer_has_begun_meanwhile(
    pair: Pair,
) -> None:
    await pair.producer.emit(*(Happened(name) for name in "abc"))
    async with (
        open_database(pair.producer.database_url) as producer,
        open_database(pair.consumer.database_url) as consumer,
    ):
        found = await InboxOperations(consumer, QUEUE).baseline_sequences(producer)
        assert sorted(found.values()) == [1, 1, 1]
        inbox = pair.consumer.consumer(record).inbox
        await inbox.handle([*events(3, "a"), *events(1, "b", first=5)])
        assert await InboxOperations(consumer, QUEUE).baseline(found, only_new=True) == 2
        places = await pair.consumer.rows(
            "SELECT aggregate_id, last_sequence FROM inbox ORDER BY aggregate_id"
        )
        assert places == [("a", 3), ("b", 4), ("c", 1)]
        await inbox.handle([*events(1, "a", first=4), *events(1, "c", first=2)])
        await inbox.retry_due()
    assert await effects(pair.consumer) == {"a": [1, 2, 3, 4], "b": [5], "c": [2]}
