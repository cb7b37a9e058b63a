"""`outbox status` against real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.operator import Pair, open_pair, record
from kit.outbox.world import QUEUE, Happened, running
from kit.waiting import eventually


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
    assert (outbox["backlog"]["events"], outbox["backlog"]["backed_off"]) == (3, 1)
    troubles = [(t["state"], t["error"], t["events"]) for t in outbox["troubles"]]
    assert troubles == [("backed off", "returned", 2), ("parked", "too large", 1)]
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


async def test_status_shows_a_subscribed_queue_that_was_never_consumed(pair: Pair) -> None:
    async with pair.consumer.broker():
        pass
    app = ("--app", "kit.outbox.topology:WITH_MENU")
    said = await pair.at_consumer("status", "--json", *app)
    assert said.json["queues"] == [
        {"queue": QUEUE, "ready": 0, "consumers": 0, "dead": 0},
        {"queue": "elsewhere", "ready": None, "consumers": None, "dead": None},
    ]
    assert "elsewhere" in (await pair.at_consumer("status", *app)).out


async def test_a_database_that_cannot_be_reached_is_one_line_and_status_2(pair: Pair) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    await pair.say("status", "--database-url", nowhere, status=2)
    await pair.say("parked", "list", "--database-url", nowhere, status=2)
