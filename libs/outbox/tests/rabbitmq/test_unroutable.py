"""Events that no queue takes: they say so once, can be found, and can be given up."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from kit.outbox.operator import Pair, effects, open_pair, record
from kit.outbox.outbox_rows import entry
from kit.outbox.world import EXCHANGE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import Outbox
from outbox.operations.database import open_database
from outbox.operations.doctor import examine
from outbox.publisher.publisher import Outcome
from outbox.relay.settlement import TOMBSTONE_TRIES, Unroutable, split_window

# Words that may begin a type of an order's stream, and to which no queue is bound.
SHOP = Outbox(SOURCE, parts={"order": ["placed", "payment"]})
SLIP = Happened("a", type="placed.order")


async def emit(world: World, *events: Happened) -> None:
    async with await world.psycopg() as connection, connection.transaction():
        await SHOP.add(connection, *events)


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def was_tried(world: World, times: int) -> bool:
    [(attempts,)] = await world.rows("SELECT coalesce(max(attempts), 0) FROM outbox")
    return isinstance(attempts, int) and attempts >= times


async def test_a_type_that_no_queue_takes_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(world.relay()):
        await emit(world, SLIP, Happened("b", type="placed.order"), Happened("c"))
        await eventually(lambda: was_tried(world, 3))
    said = [r for r in caplog.records if r.name == "outbox.relay.settlement"]
    assert [record.levelno for record in said] == [logging.WARNING]
    [words] = [record.getMessage() for record in said]
    assert "placed.order" in words
    assert f"exchange {EXCHANGE}" in words
    assert "Subscription" in words
    assert "outbox unpublished discard" in words


def test_a_type_that_a_queue_took_meanwhile_is_logged_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unroutable, event = Unroutable(EXCHANGE), entry()
    unroutable.returned([event, event])
    unroutable.sent([event])
    unroutable.returned([event])
    assert len(caplog.records) == 2


async def test_status_and_doctor_name_type_and_ids(pair: Pair) -> None:
    world = pair.producer
    async with running(world.relay()):
        await emit(world, SLIP, Happened("a"), Happened("b", type="payment.made"))
        await eventually(lambda: was_tried(world, 1))
        await eventually(lambda: all_returned(world, 2))
    ids = dict(await world.rows("SELECT type, event_id::text FROM outbox WHERE attempts > 0"))
    troubles = (await pair.say("status", "--json")).json["outbox"]["troubles"]
    assert {(t["type"], t["error"], t["events"], *t["first"]) for t in troubles} == {
        (type_, "returned", 1, id_) for type_, id_ in ids.items()
    }
    shown = (await pair.say("status")).out
    assert all(str(word) in shown for word in (*ids, *ids.values()))
    async with open_database(world.database_url) as connection:
        found = [f for f in await examine(connection) if f.check == "backlog"]
    for type_, id_ in ids.items():
        [finding] = [f for f in found if str(type_) in f.says]
        assert str(id_) in finding.says
        assert "outbox unpublished discard" in finding.fix


async def all_returned(world: World, count: int) -> bool:
    return await world.rows("SELECT count(*) FROM outbox WHERE last_error = 'returned'") == [
        (count,)
    ]


async def test_events_behind_an_unroutable_one_are_published_in_order_once_it_is_discarded(
    pair: Pair,
) -> None:
    world = pair.producer
    await emit(world, Happened("a", 1), SLIP, Happened("a", 3), Happened("a", 4))
    async with running(world.relay(), pair.consumer.consumer(record)):
        await eventually(lambda: all_returned(world, 1))
        [event] = (await pair.say("unpublished", "list", "--json")).json
        assert (event["type"], event["parked_at"]) == ("placed.order", None)
        await pair.say("unpublished", "discard", event["event_id"], answer="n\n", status=3)
        await pair.say("unpublished", "discard", event["event_id"], "--yes")
        await eventually(lambda: world.has_unpublished(0))
        await eventually(lambda: has_come_to(pair, 4))
    assert await effects(pair.consumer) == {"a": [1, 3, 4]}
    assert (await pair.say("unpublished", "list", "--json")).json == []


async def has_come_to(pair: Pair, sequence: int) -> bool:
    return await pair.consumer.rows("SELECT last_sequence FROM inbox") == [(sequence,)]


async def test_a_tombstone_that_no_queue_takes_either_counts_as_published(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    world = pair.producer
    paid = Happened("a", type="payment.made", aggregate_type="payment")
    await emit(world, paid, paid)
    async with running(world.relay()):
        await eventually(lambda: all_returned(world, 1))
        ids = [str(id_) for (id_,) in await world.rows("SELECT event_id FROM outbox ORDER BY id")]
        await pair.say("unpublished", "discard", ids[0], "--yes")
        await eventually(lambda: first_is_published(world))
        await eventually(lambda: all_returned(world, 1))
    [(type_,)] = await world.rows("SELECT type FROM outbox WHERE published_at IS NULL")
    assert type_ == "payment.made", "only what was discarded is given up"
    told = [r.getMessage() for r in caplog.records if r.name == "outbox.relay.settlement"]
    assert not any("payment.discarded" in line for line in told), "there is nothing to do about it"


async def first_is_published(world: World) -> bool:
    return await world.rows("SELECT type FROM outbox WHERE published_at IS NOT NULL") == [
        ("payment.discarded",)
    ]


def test_only_a_tombstone_that_came_back_often_counts_as_sent() -> None:
    tombstone = entry(type=b"order.discarded", payload=b"{}", attempts=TOMBSTONE_TRIES)
    for event, counts in (
        (tombstone, True),
        (tombstone._replace(attempts=TOMBSTONE_TRIES - 1), False),
        (tombstone._replace(type=b"order.happened"), False),
        (tombstone._replace(payload=b'{"number": 1}'), False),
    ):
        result = split_window([event], [Outcome.RETURNED])
        assert bool(result.sent) is counts
        assert result.unwanted == result.sent
    assert not split_window([tombstone], [Outcome.NACKED]).sent
