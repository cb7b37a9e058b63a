"""The overview: what flows, what is in trouble, what a person orders, and four clicks for it."""

from __future__ import annotations

from fastapi import FastAPI
from sqlalchemy import text

from kit.console.clicks import confirm, links
from kit.console.parked_rows import CONSUMER, park
from kit.console.visitor import Visitor, hidden_fields, visiting
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, Park, UnitOfWork
from outbox.console import Access, ConsoleService, Users, build_console

WRITE = text("INSERT INTO effects (aggregate_id, sequence) VALUES (:id, :sequence)")


async def test_the_overview_draws_what_flows_and_what_is_in_trouble(
    world: World, console: FastAPI, ann: Visitor
) -> None:
    await world.emit(Happened("1"), Happened("2"))
    park(world.database_url, streams=2, events=3)
    await console.state.samples.measure("shop")
    await console.state.samples.measure("shop")

    page = (await ann.get("/")).text

    assert "no relay is connected" in page
    assert "2 wait" in page
    assert links(page)["2 events failed"] == f"/failures?service=shop&consumer={CONSUMER}"
    assert "From outbox of shop to exchange shop" in page


async def test_the_overview_says_that_a_database_does_not_answer() -> None:
    service = ConsoleService("shop", "postgresql://nobody:x@127.0.0.1:1/nothing")
    console = build_console([service], Access(Users.of_development()))
    await console.state.samples.measure("shop")
    async with visiting(console, name="operator") as ann:
        page = (await ann.get("/")).text
        assert "the database cannot be used" in page
        assert (await ann.get("/failures")).status_code == 200


async def test_a_queue_is_paused_and_resumed(world: World, ann: Visitor, console: FastAPI) -> None:
    park(world.database_url, streams=1, events=1)
    await console.state.samples.measure("shop")
    order = f"/controls/shop/order?target=queue:{CONSUMER}&minutes=5"
    assert "no event is received" in (await ann.get(order)).text
    assert await confirm(ann, order, "the oven burns") == 303
    await console.state.samples.measure("shop")

    page = (await ann.get("/")).text
    stale = (await ann.get(links(page)["Resume…"])).text
    await world.execute("UPDATE inbox_controls SET since = now() + interval '1 second'")
    answer = await ann.post(links(page)["Resume…"], hidden_fields(stale))
    assert answer.status_code == 409, "somebody has ordered something else meanwhile"
    assert "the oven burns" in page
    assert "paused" in page
    assert await confirm(ann, links(page)["Resume…"]) == 303
    assert await world.rows("SELECT count(*) FROM inbox_controls") == [(0,)]


async def has_parked(world: World, count: int) -> bool:
    return await world.rows("SELECT count(*) FROM inbox_parked") == [(count,)]


async def test_a_poisoned_type_takes_four_clicks_and_its_followers_keep_their_order(
    world: World, console: FastAPI, ann: Visitor
) -> None:
    """From the overview: the trouble, the group, Redrive all, and the preview's button."""
    broken = True

    async def cook(unit: UnitOfWork, event: Envelope) -> None:
        if broken:
            raise ValueError("no such dish")
        values = {"id": event.aggregate_id, "sequence": event.sequence}
        await unit.connection.execute(WRITE, values)

    orders = [Happened(str(n % 3), n) for n in range(12)]
    await world.emit(*orders)
    consumer = world.consumer(cook, failures={ValueError: Park()})
    async with running(world.relay(), consumer):
        await eventually(lambda: has_parked(world, 12))
        broken = False  # the fixed release
        await console.state.samples.measure("shop")

        clicks = 0
        page = (await ann.get("/")).text
        for wanted in ("/failures?", "/failures/shop/group?", "/failures/shop/redrive?"):
            href = next(href for href in links(page).values() if href.startswith(wanted))
            page, clicks = (await ann.get(href)).text, clicks + 1
        answer = await ann.post(href, hidden_fields(page))
        clicks += 1

        assert (answer.status_code, clicks) == (303, 4)
        await eventually(lambda: has_parked(world, 0))
    applied = await world.rows("SELECT aggregate_id, sequence FROM effects ORDER BY id")
    assert len(applied) == 12
    for aggregate in ("0", "1", "2"):
        assert [s for a, s in applied if a == aggregate] == [1, 2, 3, 4]
