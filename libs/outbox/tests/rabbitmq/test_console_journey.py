"""The page Journey: a search, the slowest, a picture, and the same as tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import unescape
from uuid import UUID

import httpx
import pytest

from kit.console.visitor import Visitor, visiting
from kit.outbox.operator import Pair, open_pair, record
from kit.outbox.world import Happened, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork
from outbox.console import Access, ConsoleService, Users, build_console

HOSTILE = "<script>alert('a')</script>\"&{{ 7 * 7 }}"


@dataclass(frozen=True)
class Site:
    """A console on two services, and somebody who is logged in."""

    visitor: Visitor
    pair: Pair

    async def journey(self, id_: object) -> httpx.Response:
        return await self.visitor.get("/journey", params={"id": str(id_)})


@pytest.fixture
async def site(broker_url: str) -> AsyncIterator[Site]:
    async with open_pair(broker_url) as pair:
        worlds = {"shop": pair.producer, "kitchen": pair.consumer}
        services = [ConsoleService(name, one.database_url) for name, one in worlds.items()]
        access = Access(Users.of_development())
        async with visiting(build_console(services, access), name="viewer") as visitor:
            yield Site(visitor, pair)


async def consume(pair: Pair, *aggregates: str) -> None:
    """Events that fail once, take effect, and are answered by an event."""
    failures = [ValueError(HOSTILE), ValueError(HOSTILE)]

    async def answers(unit: UnitOfWork, event: Envelope) -> None:
        if failures:
            raise failures.pop()
        await record(unit, event)
        await unit.emit(Happened(f"answer to {event.aggregate_id}"))

    async def done() -> bool:
        rows = await pair.consumer.rows("SELECT count(*) FROM effects")
        return rows == [(len(aggregates),)]

    async with running(pair.producer.relay(), pair.consumer.consumer(answers)):
        await pair.producer.emit(*(Happened(one) for one in aggregates))
        await eventually(done)
        await eventually(lambda: pair.producer.has_unpublished(0))


async def test_a_journey_is_a_picture_and_the_same_as_a_table(site: Site) -> None:
    await consume(site.pair, "a")
    page = await site.journey("a")
    assert page.status_code == 200
    assert '<svg class="sequence" role="img"' in page.text
    for words in ("caller", "RabbitMQ", "shop", "kitchen", "received and parked", "not yet pub"):
        assert words in page.text
    assert "answer to a" in page.text
    assert "is parked" in page.text.lower()
    [(event_id,)] = await site.pair.producer.rows("SELECT event_id FROM outbox")
    assert f"/journey?id={event_id}" in page.text
    assert (await site.journey(event_id)).text.count("<circle") == page.text.count("<circle")


async def test_what_comes_from_events_and_errors_is_text(site: Site) -> None:
    await consume(site.pair, HOSTILE)
    page = await site.journey(HOSTILE)
    assert page.status_code == 200
    assert "<svg" in page.text
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert HOSTILE in unescape(page.text)
    for other in (HOSTILE[:9], "%00", "\x00", "\r\nX: y", "a" * 4000):
        found = await site.journey(other)
        assert found.status_code == 200
        assert "<script>alert" not in found.text


async def test_without_an_id_it_lists_the_slowest(site: Site) -> None:
    assert "No event was applied" in (await site.visitor.get("/journey")).text
    await consume(site.pair, "a", "b")
    page = (await site.visitor.get("/journey")).text
    assert "Slowest events" in page
    assert page.count("order.happened") == 2


async def test_an_id_that_nothing_has_is_searched_by_its_beginning(site: Site) -> None:
    await site.pair.producer.emit(Happened("order-1"), Happened("order-2"))
    page = (await site.journey("order-")).text
    assert "/journey?id=order-1" in page
    assert "/journey?id=order-2" in page
    assert "No service knows this id" in (await site.journey(UUID(int=1))).text


async def test_a_database_that_is_away_hides_nothing_of_the_others(site: Site) -> None:
    await site.pair.producer.emit(Happened("a"))
    shop = ConsoleService("shop", site.pair.producer.database_url)
    away = ConsoleService("away", "postgresql://nobody@127.0.0.1:1/nothing")
    access = Access(Users.of_development())
    async with visiting(build_console([shop, away], access), name="viewer") as visitor:
        page = (await visitor.get("/journey", params={"id": "a"})).text
        assert "away cannot be asked" in page
        assert "<svg" in page
    async with visiting(build_console([away], access), name="viewer") as other:
        assert (await other.get("/journey")).status_code == 503
