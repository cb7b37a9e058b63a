"""The other pages of the console over real servers: what they show, and in two steps do."""

from __future__ import annotations

from datetime import UTC, datetime

import aio_pika
import httpx
import pytest
from fastapi import FastAPI

from kit.console.clicks import confirm, links
from kit.console.parked_rows import CONSUMER, park
from kit.console.visitor import Visitor, hidden_fields, visiting
from kit.outbox.job_rows import enqueue
from kit.outbox.world import QUEUE, Happened, World
from outbox.console import Access, ConsoleService, Users, build_console
from outbox.console.page import Page
from outbox.console.pages import PAGES

ACCESS = Access(Users.of_development())
FAR = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
async def test_every_page_is_there_with_nothing_to_show(
    console: FastAPI, ann: Visitor, page: Page
) -> None:
    answer = await ann.get(console.url_path_for(page.route))
    assert answer.status_code == 200, answer.text


async def test_a_stream_shows_both_sides_and_a_gap_is_skipped(world: World, ann: Visitor) -> None:
    await world.emit(Happened("9"), Happened("9"))
    park(world.database_url, streams=1, events=3)
    await world.execute("DELETE FROM inbox_parked WHERE sequence = 1")
    await world.execute("UPDATE inbox_parked SET reason = 'gap'")

    produced = (await ann.get("/streams?aggregate_id=9")).text
    assert "the last sequence is 2" in produced
    consumed = (await ann.get("/streams?aggregate_id=o-00000001")).text
    assert "1 to 1" in consumed
    preview = links(consumed)["Skip the gap…"]
    assert "does without 1 event" in (await ann.get(preview)).text
    assert await confirm(ann, preview) == 303

    [(last,)] = await world.rows("SELECT last_sequence FROM inbox")
    assert last == 1


async def test_a_baseline_is_set_after_a_preview(world: World, ann: Visitor) -> None:
    park(world.database_url, streams=1, events=3)
    preview = (
        f"/streams/shop/baseline?consumer={CONSUMER}&source=shop&aggregate_type=order"
        "&aggregate_id=o-00000001&sequence=2"
    )
    assert "goes on after 2" in (await ann.get(preview)).text
    assert await confirm(ann, preview) == 303
    [(last,)] = await world.rows("SELECT last_sequence FROM inbox")
    assert last == 2


async def test_parked_events_are_redriven_and_discarded_from_the_outbox_page(
    world: World, ann: Visitor
) -> None:
    await world.emit(Happened("1"), Happened("2"))
    await world.execute(
        "UPDATE outbox SET parked_at = now(), last_error = 'too large', attempts = 3"
    )
    page = (await ann.get("/outbox")).text
    assert "too large" in page
    assert "inserts have a partition for" in page

    assert await confirm(ann, links(page)["Discard…"]) == 303
    assert await confirm(ann, links((await ann.get("/outbox")).text)["Redrive…"]) == 303
    left = await world.rows("SELECT type, parked_at IS NULL FROM outbox ORDER BY id")
    assert sorted(left) == [("order.discarded", True), ("order.happened", True)]


async def test_a_replay_counts_first_and_is_bounded(world: World, ann: Visitor) -> None:
    await world.emit(*(Happened(str(n)) for n in range(20)))
    await world.execute("UPDATE outbox SET published_at = now()")
    preview = "/outbox/shop/replay?type=order.happened&per_second=1000"
    said = (await ann.get(preview)).text
    assert "20 events go out again, at most 1000 a second" in said
    assert await confirm(ann, preview) == 303
    assert await world.unpublished() == 20


async def test_a_replay_of_everything_is_refused_in_words(ann: Visitor) -> None:
    answer = await ann.get("/outbox/shop/replay")
    assert "needs a time, an aggregate or a type" in answer.text
    wrong = await ann.get("/outbox/shop/replay?since=yesterday")
    assert wrong.status_code == 422


async def test_a_scheduled_event_is_moved_sent_and_unscheduled(world: World, ann: Visitor) -> None:
    async with world.work.begin() as unit:
        for key in ("a", "b", "c"):
            await unit.schedule(Happened(key), key=key, at=FAR)
    listed = links((await ann.get("/scheduled")).text)

    shown = links((await ann.get(listed["a"])).text)
    assert await confirm(ann, shown["Unschedule it…"]) == 303
    shown = links((await ann.get(listed["b"])).text)
    assert await confirm(ann, shown["Send it now…"]) == 303
    form = (await ann.get(listed["c"])).text
    fields = hidden_fields(form)
    fields.pop("csrf")
    query = httpx.QueryParams({**fields, "to": "2030-01-01T00:00"})
    moved = f"/scheduled/shop/move?{query}"
    assert await confirm(ann, moved) == 303

    due = await world.rows("SELECT key, due_at < now(), due_at FROM outbox_scheduled ORDER BY key")
    assert [row[:2] for row in due] == [("b", True), ("c", False)]
    assert due[1][2].year == 2030


async def test_a_failed_job_is_redriven_and_another_discarded(world: World, ann: Visitor) -> None:
    await enqueue(world, "one", "two")
    await world.execute(
        "UPDATE outbox_jobs SET state = 'failed', last_error = 'no answer', ended_at = now()"
    )
    page = (await ann.get("/jobs?kind=pay&key=two")).text
    assert "no answer" in page
    assert await confirm(ann, links(page)["Discard…"]) == 303
    assert await confirm(ann, links((await ann.get("/jobs")).text)["Redrive all…"]) == 303

    found = await world.rows("SELECT key, state FROM outbox_jobs ORDER BY key")
    assert found == [("one", "waiting"), ("two", "discarded")]


async def test_dead_letters_are_moved_back(world: World, ann: Visitor) -> None:
    async with world.broker() as channel:
        dead = f"{QUEUE}.dead"
        for number in range(3):
            await channel.default_exchange.publish(aio_pika.Message(b"%d" % number), dead)
    park(world.database_url, streams=1, events=1)
    page = (await ann.get("/queues")).text
    preview = links(page)["Move dead letters back…"]
    assert "3 dead letters" in (await ann.get(preview)).text
    assert await confirm(ann, preview) == 303
    assert len(await world.delivered(3)) == 3


async def test_the_doctor_and_reconcile_say_what_is_wrong(world: World, ann: Visitor) -> None:
    await world.emit(Happened("1"))
    await world.execute("UPDATE outbox SET published_at = now() - interval '1 hour'")
    park(world.database_url, streams=1, events=1)

    health = (await ann.get("/health")).text
    assert "no relay is connected: nothing is published" in health
    compared = (await ann.get("/health/reconcile")).text
    assert "lacks events" in compared
    assert "shop/order/1" in compared


async def test_what_is_away_is_said_and_is_no_crash(world: World) -> None:
    """A broker that does not answer, tables that are not there, a database that does not answer."""
    away = ConsoleService("away", "postgresql://nobody:x@127.0.0.1:1/nothing")
    alone = ConsoleService("shop", world.database_url, "amqp://guest:guest@127.0.0.1:1/")
    await world.execute("DROP TABLE outbox_jobs")
    async with visiting(build_console([alone, away], ACCESS), name="operator") as ann:
        moving = await ann.get("/queues/shop/dead-letters?queue=kitchen.orders")
        assert moving.status_code == 200
        assert "the broker cannot be used" in moving.text
        assert "the broker cannot be used" in (await ann.get("/queues")).text
        jobs = await ann.get("/jobs")
        assert jobs.status_code == 200
        assert "shop has none of these" in jobs.text
        assert (await ann.get("/jobs/shop/redrive")).status_code == 200
        for path in ("/outbox", "/jobs", "/scheduled", "/operations", "/streams?aggregate_id=1"):
            answer = await ann.get(path, params={"service": "away", "aggregate_id": "1"})
            assert answer.status_code == 503, path
            assert "the database cannot be used" in answer.text
        for path in ("/failures", "/health"):
            answer = await ann.get(path)
            assert answer.status_code == 200, path
            assert "the database cannot be used" in answer.text


async def test_a_change_whose_server_is_away_has_failed_and_is_not_under_way(
    world: World, console: FastAPI, ann: Visitor
) -> None:
    park(world.database_url, streams=1, events=1)
    async with world.broker() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"1"), f"{QUEUE}.dead")
    preview = f"/queues/shop/dead-letters?queue={QUEUE}"
    fields = hidden_fields((await ann.get(preview)).text)
    gone = ConsoleService("shop", world.database_url, "amqp://guest:guest@127.0.0.1:1/")
    console.state.services["shop"] = gone

    answer = await ann.post(preview, fields)

    assert answer.status_code == 503
    assert "Nothing was done" in answer.text
    assert "the broker cannot be used" in answer.text
