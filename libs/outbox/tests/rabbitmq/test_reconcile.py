"""`outbox reconcile`: what a producer has and a consumer lacks is named, to the last event."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.operator import Pair, open_pair, record
from kit.outbox.world import Happened, running
from kit.waiting import eventually
from outbox.resend_events import ResendRequested


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    """Aggregates a, b and c with three events each, all applied."""
    async with open_pair(broker_url) as opened:
        async with running(opened.producer.relay(), opened.consumer.consumer(record)):
            await opened.producer.emit(*(Happened(a, n) for n in range(3) for a in "abc"))
            await eventually(lambda: applied(opened, 9))
            await eventually(lambda: opened.producer.has_unpublished(0))
        yield opened


async def applied(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]


async def missing(pair: Pair, *words: str, status: int = 1) -> list[tuple[object, ...]]:
    said = await pair.say("reconcile", "--json", "--grace", "0", *words, status=status)
    return [
        (run["stream"], run["first"], run["last"], run["why"], run["tail"])
        for result in said.json["results"]
        for run in result["missing"]
    ]


async def test_nothing_is_missing_where_both_sides_agree(pair: Pair) -> None:
    assert await missing(pair, status=0) == []


async def test_a_lost_tail_is_named(pair: Pair) -> None:
    await pair.consumer.execute("UPDATE inbox SET last_sequence = 1 WHERE aggregate_id = 'b'")
    assert await missing(pair) == [("shop/order/b", 2, 3, "lost", True)]
    said = await pair.say("reconcile", "--grace", "0", status=1)
    assert "shop/order/b" in said.out


async def test_a_stream_that_never_arrived_is_named(pair: Pair) -> None:
    await pair.consumer.execute("DELETE FROM inbox WHERE aggregate_id = 'c'")
    assert await missing(pair) == [("shop/order/c", 1, 3, "lost", True)]


async def test_a_gap_before_parked_events_is_not_a_tail(pair: Pair) -> None:
    async with running(pair.producer.relay()):
        await pair.producer.emit(Happened("a"), Happened("a"))
        await eventually(lambda: pair.producer.has_unpublished(0))
    await pair.producer.delivered(1)
    async with running(pair.consumer.consumer(record)):
        await eventually(lambda: parked(pair, 1))
    assert await missing(pair) == [("shop/order/a", 4, 4, "lost", False)]
    said = await pair.say("reconcile", "--json", "--grace", "0", status=1)
    assert said.json["results"][0]["parked"] == 1


async def parked(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM inbox_parked") == [(count,)]


async def test_events_unpublished_or_under_way_are_not_missing(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"))
    said = await pair.say("reconcile", "--json")
    assert said.json["results"][0]["unpublished"] == 1
    await pair.producer.execute("UPDATE outbox SET published_at = now() WHERE published_at IS NULL")
    said = await pair.say("reconcile", "--json", "--grace", "60")
    assert said.json["results"][0]["under_way"] == 1


async def test_events_no_longer_in_the_outbox_table_are_forgotten(pair: Pair) -> None:
    await pair.consumer.execute("UPDATE inbox SET last_sequence = 0 WHERE aggregate_id = 'a'")
    await pair.producer.execute("DELETE FROM outbox WHERE aggregate_id = 'a' AND sequence < 3")
    assert await missing(pair) == [
        ("shop/order/a", 1, 2, "forgotten", True),
        ("shop/order/a", 3, 3, "lost", True),
    ]


async def test_a_producer_that_was_restored_from_an_older_state_is_noticed(pair: Pair) -> None:
    await pair.producer.execute("UPDATE outbox_streams SET last = 2 WHERE aggregate_id = 'a'")
    assert await missing(pair) == [("shop/order/a", 3, 3, "ahead", True)]


async def test_a_consumer_that_never_received_anything_has_to_be_named(pair: Pair) -> None:
    await pair.consumer.execute("DELETE FROM inbox")
    said = await pair.say("reconcile", "--json", status=1)
    assert (said.json["whole"], said.json["unsubscribed"]) == (False, ["shop/order"])
    named = await missing(pair, "--consumer", "kitchen.orders", "--aggregate-type", "order")
    assert len(named) == 3


async def test_a_comparison_that_left_something_out_is_not_whole(pair: Pair) -> None:
    for words in (
        ("--consumer", "kitchen.odrers"),
        ("--consumer", "kitchen.orders", "--consumer", "kitchen.odrers"),
        ("--aggregate-type", "odrer"),
        ("--aggregate-type", "order", "--aggregate-type", "odrer"),
    ):
        said = await pair.say("reconcile", "--json", *words, status=1)
        assert (said.json["whole"], said.json["uncompared"]) == (False, [words[-1]])
        assert words[-1] in (await pair.say("reconcile", *words, status=1)).err


async def test_a_lost_request_for_events_is_repeated_so_it_is_not_missing(pair: Pair) -> None:
    async with pair.producer.work.begin() as unit:
        await unit.emit(ResendRequested("shop", "kitchen.orders"))
    await pair.producer.execute("UPDATE outbox SET published_at = now() WHERE published_at IS NULL")
    said = await pair.say("reconcile", "--json", "--grace", "0")
    assert (said.json["whole"], said.json["unsubscribed"]) == (True, [])


async def test_a_producer_without_streams_is_whole(pair: Pair) -> None:
    await pair.producer.execute("DELETE FROM outbox_streams")
    await pair.consumer.execute("DELETE FROM inbox")
    said = await pair.say("reconcile", "--json", "--consumer", "kitchen.orders")
    assert said.json["whole"] is True


async def test_a_topology_adds_types_that_a_known_consumer_has_not_received_yet(pair: Pair) -> None:
    await pair.producer.emit(Happened("m", type="menu.changed", aggregate_type="menu"))
    await pair.producer.execute("UPDATE outbox SET published_at = now() WHERE published_at IS NULL")
    assert await missing(pair, status=0) == []
    assert "assumed" in (await pair.say("reconcile")).err
    app = ("--app", "kit.outbox.topology:WITH_MENU")
    assert await missing(pair, *app) == [("shop/menu/m", 1, 1, "lost", True)]


async def test_a_consumer_is_compared_with_its_subscriptions_not_with_misrouted_events(
    pair: Pair,
) -> None:
    await pair.producer.emit(
        *(Happened(f"m{n}", type="menu.changed", aggregate_type="menu") for n in range(50))
    )
    await pair.producer.execute("UPDATE outbox SET published_at = now() WHERE published_at IS NULL")
    await pair.consumer.execute(
        "INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, last_sequence)"
        " VALUES ('kitchen.orders', 'shop', 'menu', 'x', 0)"
    )
    await pair.consumer.execute("UPDATE inbox SET last_sequence = 2 WHERE aggregate_id = 'b'")
    assert len(await missing(pair)) == 51, "assumed from the one that was misrouted"
    said = await pair.say(
        "reconcile",
        "--json",
        "--grace",
        "0",
        "--app",
        "kit.outbox.topology:TOPOLOGY",
        status=1,
    )
    assert (said.json["assumed"], said.json["unsubscribed"]) == (False, ["shop/menu"])
    [result] = said.json["results"]
    assert [run["stream"] for run in result["missing"]] == ["shop/order/b"]


async def test_a_subscribed_queue_that_was_never_consumed_is_not_whole(
    pair: Pair,
) -> None:
    await pair.producer.emit(Happened("m", type="menu.changed", aggregate_type="menu"))
    await pair.producer.execute("UPDATE outbox SET published_at = now() WHERE published_at IS NULL")
    app = ("--app", "kit.outbox.topology:WITH_MENU")
    said = await pair.say("reconcile", "--json", "--grace", "0", *app, status=1)
    assert said.json["uncompared"] == ["elsewhere"]
    named = await missing(pair, *app, "--consumer", "elsewhere")
    assert named == [("shop/menu/m", 1, 1, "lost", True)]
