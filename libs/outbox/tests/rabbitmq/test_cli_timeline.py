"""`outbox timeline` against real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from kit.outbox.operator import Pair, open_pair, record
from kit.outbox.world import Happened, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def effects_are(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]


async def test_timeline_shows_the_life_of_an_applied_event(pair: Pair) -> None:
    async def answers(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        await unit.emit(Happened("answer"))

    async with running(pair.producer.relay(), pair.consumer.consumer(answers)):
        await pair.producer.emit(Happened("a"))
        await eventually(lambda: effects_are(pair, 1))
        await eventually(lambda: pair.producer.has_unpublished(0))
    steps = await steps_of(pair)
    assert [(step["step"], step["done"]) for step in steps] == [
        ("written", True),
        ("confirmed", True),
        ("applied", True),
    ]
    assert all(step["at"] for step in steps)
    assert "caused order.happened" in steps[-1]["detail"]


async def test_timeline_shows_where_an_event_is_stuck(pair: Pair) -> None:
    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        raise ValueError("no such meal")

    await pair.producer.emit(Happened("a"))
    assert [(s["step"], s["done"]) for s in await steps_of(pair)] == [
        ("written", True),
        ("published", False),
    ]
    async with running(pair.producer.relay(), pair.consumer.consumer(fails)):
        await eventually(lambda: one_parked(pair))
    named = ("--consumer-url", pair.consumer.database_url)
    for last in ((await steps_of(pair))[-1], (await steps_of(pair, *named))[-1]):
        assert last["step"] == "delivered"
        assert "no such meal" in last["detail"]


async def one_parked(pair: Pair) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM inbox_parked WHERE attempts > 0") == [
        (1,)
    ]


async def steps_of(pair: Pair, *consumer: str) -> list[dict[str, Any]]:
    """The consumer's database is the one in the environment, unless it is given."""
    [(event_id,)] = await pair.producer.rows("SELECT event_id FROM outbox ORDER BY id LIMIT 1")
    found: list[dict[str, Any]] = (
        await pair.say("timeline", str(event_id), *consumer, "--json")
    ).json["steps"]
    return found


async def test_timeline_knows_events_that_are_not_due_yet(pair: Pair) -> None:
    async with pair.producer.work.begin() as unit:
        later = datetime.now(UTC) + timedelta(hours=1)
        await unit.schedule(Happened("a"), key="remind a", at=later)
    [(event_id,)] = await pair.producer.rows("SELECT event_id FROM outbox_scheduled")
    [step] = (await pair.say("timeline", str(event_id), "--json")).json["steps"]
    assert (step["step"], step["done"]) == ("scheduled", False)
    assert "remind a" in step["detail"]


async def test_an_unknown_event_is_status_1(pair: Pair) -> None:
    assert "unknown here" in (await pair.say("timeline", str(uuid4()), status=1)).out
