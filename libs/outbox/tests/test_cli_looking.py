"""`outbox status`, `lanes`, `partitions` and `explain` against real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from kit.outbox.operator import Pair, open_pair, record
from kit.outbox.world import QUEUE, Happened, eventually, running
from outbox import Envelope, UnitOfWork


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def effects_are(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]


async def test_status_counts_what_waits_and_says_why(pair: Pair) -> None:
    await pair.producer.emit(*(Happened(a) for a in "aabc"))
    await pair.producer.execute(
        "UPDATE outbox SET attempts = 2, last_error = 'returned' WHERE aggregate_id = 'a'"
    )
    await pair.producer.execute(
        "UPDATE outbox SET parked_at = now(), last_error = 'too large' WHERE aggregate_id = 'c'"
    )
    outbox = (await pair.say("status", "--json", status=1)).json["outbox"]
    assert (outbox["backlog"]["events"], outbox["backlog"]["held"]) == (3, 1)
    troubles = [(t["state"], t["error"], t["events"]) for t in outbox["troubles"]]
    assert troubles == [("held", "returned", 2), ("parked", "too large", 1)]
    assert outbox["days_covered"] >= 14
    said = await pair.say("status", status=1)
    assert "too large" in said.out
    assert "0 of 16 owned by 0 relays" in said.out


async def test_status_shows_the_consumers_half_and_its_queue(pair: Pair) -> None:
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await pair.producer.emit(Happened("a"))
        await eventually(lambda: effects_are(pair, 1))
        said = await pair.at_consumer("status", "--json")
    assert said.json["inbox"]["consumers"] == [{"consumer": QUEUE, "streams": 1, "blocked": 0}]
    assert said.json["queues"] == [{"queue": QUEUE, "ready": 0, "consumers": 1, "dead": 0}]


async def test_status_shows_a_subscribed_queue_that_nobody_ever_consumed(pair: Pair) -> None:
    async with pair.consumer.broker():
        pass
    app = ("--app", "kit.outbox.topology:WITH_MENU")
    said = await pair.at_consumer("status", "--json", *app)
    assert said.json["queues"] == [
        {"queue": QUEUE, "ready": 0, "consumers": 0, "dead": 0},
        {"queue": "elsewhere", "ready": None, "consumers": None, "dead": None},
    ]
    assert "elsewhere" in (await pair.at_consumer("status", *app)).out


async def test_lanes_names_each_owner_and_what_nobody_owns(pair: Pair) -> None:
    unowned = (await pair.say("lanes", "--json", status=1)).json
    assert unowned["unowned"] == list(range(16))
    relays = pair.producer.relay(), pair.producer.relay()
    async with running(*relays):
        await eventually(lambda: own(relays, 8))
        found = (await pair.say("lanes", "--json")).json
    assert [len(relay["lanes"]) for relay in found["relays"]] == [8, 8]
    assert found["unowned"] == []


async def own(relays: tuple[Any, ...], count: int) -> bool:
    return all(len(relay.lanes) == count for relay in relays)


async def test_partitions_are_listed_and_made(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"))
    [newest] = await pair.producer.rows(
        "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
    )
    await pair.producer.execute(f"DROP TABLE {newest[0]}")
    before = (await pair.say("partitions", "--json")).json
    assert sum(day["waiting"] for day in before["partitions"]) == 1
    after = (await pair.say("partitions", "--ensure", "--json")).json
    assert after["days_covered"] == before["days_covered"] + 1


async def test_a_day_that_the_database_refuses_is_said_to_be_of_the_database(pair: Pair) -> None:
    today = datetime.now(UTC).date()
    for days in range(5, 15):
        name = f"outbox_p{today + timedelta(days=days):%Y%m%d}"
        await pair.producer.execute(f"DROP TABLE {name}")
    await pair.producer.execute(
        "CREATE TABLE outbox_long PARTITION OF outbox"
        f" FOR VALUES FROM ('{today + timedelta(days=5)} 00:00+00') TO ('2200-01-01 00:00+00')"
    )
    said = await pair.say("partitions", "--ensure", status=2)
    assert "outbox: the database: " in said.err
    assert "outbox_long" in said.err


async def test_explain_tells_the_life_of_an_applied_event(pair: Pair) -> None:
    async def answers(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        await unit.emit(Happened("answer"))

    async with running(pair.producer.relay(), pair.consumer.consumer(answers)):
        await pair.producer.emit(Happened("a"))
        await eventually(lambda: effects_are(pair, 1))
        await eventually(lambda: pair.producer.has_unpublished(0))
    steps = await explained(pair)
    assert [(step["step"], step["done"]) for step in steps] == [
        ("written", True),
        ("confirmed", True),
        ("applied", True),
    ]
    assert all(step["at"] for step in steps)
    assert "caused order.happened" in steps[-1]["detail"]


async def test_explain_says_where_an_event_is_stuck(pair: Pair) -> None:
    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        raise ValueError("no such meal")

    await pair.producer.emit(Happened("a"))
    assert [(s["step"], s["done"]) for s in await explained(pair)] == [
        ("written", True),
        ("published", False),
    ]
    async with running(pair.producer.relay(), pair.consumer.consumer(fails)):
        await eventually(lambda: one_parked(pair))
    named = ("--consumer-url", pair.consumer.database_url)
    for last in ((await explained(pair))[-1], (await explained(pair, *named))[-1]):
        assert last["step"] == "delivered"
        assert "no such meal" in last["detail"]


async def one_parked(pair: Pair) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM inbox_parked WHERE attempts > 0") == [
        (1,)
    ]


async def explained(pair: Pair, *consumer: str) -> list[dict[str, Any]]:
    """By the consumer's database in the environment, unless it is named."""
    [(event_id,)] = await pair.producer.rows("SELECT event_id FROM outbox ORDER BY id LIMIT 1")
    found: list[dict[str, Any]] = (
        await pair.say("explain", str(event_id), *consumer, "--json")
    ).json["steps"]
    return found


async def test_explain_knows_events_that_are_not_due_yet(pair: Pair) -> None:
    async with pair.producer.work.begin() as unit:
        later = datetime.now(UTC) + timedelta(hours=1)
        await unit.schedule(Happened("a"), key="remind a", at=later)
    [(event_id,)] = await pair.producer.rows("SELECT event_id FROM outbox_scheduled")
    [step] = (await pair.say("explain", str(event_id), "--json")).json["steps"]
    assert (step["step"], step["done"]) == ("scheduled", False)
    assert "remind a" in step["detail"]


async def test_an_event_that_nobody_knows_is_status_1(pair: Pair) -> None:
    assert "unknown here" in (await pair.say("explain", str(uuid4()), status=1)).out


async def test_a_database_that_cannot_be_reached_is_one_line_and_status_2(pair: Pair) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    await pair.say("status", "--database-url", nowhere, status=2)
    await pair.say("parked", "list", "--database-url", nowhere, status=2)
