"""`outbox unpublished`: events that cannot be published, redriven or discarded."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.operator import Pair, effects, open_pair, record
from kit.outbox.world import Happened, running
from kit.waiting import eventually


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def effects_are(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]


async def test_a_discarded_event_leaves_a_tombstone_that_consumers_pass(
    pair: Pair,
) -> None:
    await pair.producer.emit(Happened("a"), Happened("a"), Happened("a"))
    await pair.producer.execute(
        "UPDATE outbox SET parked_at = now(), last_error = 'too large' WHERE sequence = 2"
    )
    [listed] = (await pair.say("unpublished", "list", "--json")).json
    event_id = listed["event_id"]
    assert "1 event cannot be published" in (await pair.say("unpublished", "list")).out
    await pair.say("unpublished", "discard", event_id, answer="n\n", status=3)
    await pair.say("unpublished", "discard", event_id, "--yes")
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await eventually(lambda: effects_are(pair, 2))
    assert await effects(pair.consumer) == {"a": [1, 3]}
    assert await pair.consumer.rows("SELECT last_sequence FROM inbox") == [(3,)]
    await pair.say("unpublished", "discard", event_id, "--yes", status=1)


async def test_a_redriven_event_is_published_as_it_is(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"))
    await pair.producer.execute("UPDATE outbox SET parked_at = now()")
    [event] = (await pair.say("unpublished", "list", "--json")).json
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await pair.say(
            "unpublished", "redrive", event["event_id"], "--note", "larger now", answer="y\n"
        )
        await eventually(lambda: effects_are(pair, 1))
    [row] = (await pair.say("history", "--json")).json
    assert (row["what"], row["note"]) == ("redrive unpublished", "larger now")
