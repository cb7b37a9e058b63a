"""`outbox journey` against real databases."""

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


async def steps_of(pair: Pair, *words: str, status: int = 0) -> list[tuple[str, bool]]:
    found = await pair.say("journey", *words, "--json", status=status)
    return [(step["what"], step["done"]) for step in found.json["steps"]]


async def answers(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.emit(Happened("answer"))


async def test_it_shows_the_life_of_an_event_and_what_that_caused(pair: Pair) -> None:
    async with running(pair.producer.relay(), pair.consumer.consumer(answers)):
        await pair.producer.emit(Happened("a"))
        await eventually(lambda: effects_are(pair, 1))
        await eventually(lambda: pair.producer.has_unpublished(0))
    found = await steps_of(pair, "a")
    assert sorted(found) == sorted(
        [
            ("written", True),
            ("published", True),
            ("received", True),
            ("applied", True),
            ("written", True),
            ("published", False),
        ]
    )
    shown = (await pair.say("journey", "a")).out
    assert "shop/order/answer at 1, caused by " in shown
    assert "handler and commit" in shown


async def test_services_have_the_names_that_they_are_given(pair: Pair) -> None:
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await pair.producer.emit(Happened("a"))
        await eventually(lambda: effects_are(pair, 1))
        await eventually(lambda: pair.producer.has_unpublished(0))
    services = (f"shop={pair.producer.database_url}", f"kitchen={pair.consumer.database_url}")
    options = [word for service in services for word in ("--service", service)]
    found = (await pair.say("journey", "a", *options, "--json")).json["journey"]["events"]
    [event] = found
    assert (event["database"], event["receptions"][0]["database"]) == ("shop", "kitchen")
    assert (
        "unknown here" in (await pair.say("journey", "a", "--service", services[1], status=1)).out
    )
    await pair.say("journey", "a", "--service", "shop", status=2)


async def test_it_shows_where_an_event_is_stuck(pair: Pair) -> None:
    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        raise ValueError("no such meal")

    await pair.producer.emit(Happened("a"))
    assert await steps_of(pair, "a") == [("written", True), ("published", False)]
    async with running(pair.producer.relay(), pair.consumer.consumer(fails)):
        await eventually(lambda: one_parked(pair))
        await eventually(lambda: pair.producer.has_unpublished(0))
    found: list[dict[str, Any]] = (await pair.say("journey", "a", "--json")).json["steps"]
    assert (found[-1]["what"], found[-1]["done"]) == ("applied", False)
    assert "is parked: failed, next attempt at " in found[-1]["detail"]
    assert any("no such meal" in step["detail"] for step in found if step["what"] == "failed")


async def one_parked(pair: Pair) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM inbox_parked WHERE attempts > 0") == [
        (1,)
    ]


async def test_it_knows_events_that_are_not_due_yet(pair: Pair) -> None:
    async with pair.producer.work.begin() as unit:
        later = datetime.now(UTC) + timedelta(hours=1)
        await unit.schedule(Happened("a"), key="remind a", at=later)
    [(event_id,)] = await pair.producer.rows("SELECT event_id FROM outbox_scheduled")
    for id_ in (str(event_id), "a"):
        found = (await pair.say("journey", id_, "--json")).json
        [step] = found["steps"]
        assert (step["what"], step["done"], found["is_over"]) == ("scheduled", False, False)
        assert "remind a" in step["detail"]


async def test_without_an_id_it_lists_the_slowest(pair: Pair) -> None:
    assert "no event was applied" in (await pair.say("journey")).out
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await pair.producer.emit(Happened("a"))
        await eventually(lambda: effects_are(pair, 1))
        await eventually(lambda: pair.producer.has_unpublished(0))
    [slow] = (await pair.say("journey", "--json")).json["slowest"]
    assert slow["seconds"] > 0
    assert slow["event"]["aggregate_id"] == "a"


async def test_an_unknown_id_is_status_1(pair: Pair) -> None:
    for id_ in (str(uuid4()), "nothing", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"):
        assert "unknown here" in (await pair.say("journey", id_, status=1)).out
