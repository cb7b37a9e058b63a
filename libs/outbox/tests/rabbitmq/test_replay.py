"""`outbox replay`: published events go out again, and nothing takes effect twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.operator import Pair, effects, open_pair, record
from kit.outbox.world import QUEUE, Happened, running
from kit.waiting import eventually


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def published(pair: Pair, *events: Happened) -> None:
    """Write events and mark them as published without publishing them."""
    await pair.producer.emit(*events)
    await pair.producer.execute("UPDATE outbox SET published_at = clock_timestamp()")


async def unpublished(pair: Pair) -> list[tuple[object, ...]]:
    return await pair.producer.rows(
        "SELECT aggregate_id, sequence FROM outbox WHERE published_at IS NULL ORDER BY id"
    )


async def test_a_broker_that_lost_everything_is_replayed_and_each_effect_comes_once(
    pair: Pair,
) -> None:
    events = [Happened(f"a{number % 7}", number) for number in range(70)]
    async with running(pair.producer.relay(rescan_interval=0.3), pair.consumer.consumer(record)):
        await pair.producer.emit(*events[:35])
        await eventually(lambda: total(pair, 35))
    async with running(pair.producer.relay()):
        await pair.producer.emit(*events[35:])
        await eventually(lambda: pair.producer.has_unpublished(0))
    async with pair.producer.broker() as channel:
        await channel.queue_delete(QUEUE)
    async with running(pair.producer.relay(rescan_interval=0.3), pair.consumer.consumer(record)):
        await pair.say("reconcile", "--grace", "0", status=1)
        said = await pair.say("replay", "--since", "1h", "--yes", "--json")
        assert said.json["replayed"] == 70
        await eventually(lambda: total(pair, 70))
        await pair.say("reconcile", "--grace", "0")
    assert set(map(tuple, (await effects(pair.consumer)).values())) == {tuple(range(1, 11))}


async def total(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]


async def test_a_replay_makes_relays_rescan_at_once(pair: Pair) -> None:
    async with running(pair.producer.relay(rescan_interval=3600)):
        await pair.producer.emit(*(Happened("a") for _ in range(5)))
        await pair.producer.delivered(5)
        await eventually(lambda: pair.producer.has_unpublished(0))
        await eventually(lambda: hears(pair))
        await pair.say("replay", "--aggregate", "order/a", "--yes")
        again = await pair.producer.delivered(5)
    assert [message.headers["sequence"] for message in again] == [1, 2, 3, 4, 5]


async def hears(pair: Pair) -> bool:
    """Whether the relay has heard itself and listens."""
    return await pair.producer.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'outbox listener'"
        " AND datname = current_database() AND state = 'idle' AND query LIKE '%%pg_notify%%'"
    ) == [(1,)]


async def test_only_chosen_events_are_replayed(pair: Pair) -> None:
    await published(pair, Happened("a"), Happened("b"), Happened("a", type="order.ended"))
    said = await pair.say("replay", "--aggregate", "order/b", "--yes")
    assert "1 event is published again" in said.out
    assert await unpublished(pair) == [("b", 1)]
    await pair.say("replay", "--type", "order.ended", "--yes")
    assert await unpublished(pair) == [("b", 1), ("a", 2)]


async def test_a_dry_run_or_the_answer_no_changes_nothing(pair: Pair) -> None:
    await published(pair, Happened("a"))
    dry = await pair.say("replay", "--since", "1d", "--dry-run", "--json")
    assert (dry.json["events"], dry.json["replayed"]) == (1, 0)
    await pair.say("replay", "--since", "1d", answer="n\n", status=3)
    await pair.say("replay", "--since", "1d", answer="", status=3)
    assert await unpublished(pair) == []


async def test_a_replay_needs_a_condition(pair: Pair) -> None:
    await pair.say("replay", "--yes", status=2)
    await pair.say("replay", "--since", "yesterday", status=2)
    await pair.say("replay", "--aggregate", "order", status=2)


async def test_a_replay_in_many_batches_misses_nothing(pair: Pair) -> None:
    from outbox.operations.database import open_database
    from outbox.operations.replay import Selection, replay

    await published(pair, *(Happened(f"a{n}") for n in range(50)))
    async with open_database(pair.producer.database_url) as connection:
        assert await replay(connection, Selection(), batch=7) == 50
        assert await replay(connection, Selection()) == 0
