"""Events are asked for while maintenance drops their day: they come, or are known to be gone."""

from __future__ import annotations

import asyncio

import pytest

from kit.outbox.beacons import (
    WAY_BACK,
    WITH_WAY_BACK,
    answering,
    asks,
    beacon,
    misses,
    requests,
    send,
)
from kit.outbox.day_partitions import gone, old_partition
from kit.outbox.deliveries import effects, has_effects, record
from kit.outbox.world import SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import Consumer, Maintenance, resend_handlers
from outbox.inbox import searcher
from outbox.inbox.middleware import Handling, Proceed
from outbox.postgres import partition_maintenance
from outbox.postgres.day_partitions import OUTBOX
from outbox.resend_events import EventsUnavailable, ResendRequested, StreamRanges
from outbox.testing import Source, deliver, emitted


@pytest.fixture
async def old(world: World) -> str:
    """A day past its retention with the event of `a`; that of `b` is of today. Both are lost."""
    world.topology = WITH_WAY_BACK
    partition = await old_partition(world)
    await world.emit(Happened("b"))
    await world.execute("UPDATE outbox SET published_at = clock_timestamp()")
    return partition


def asking(world: World) -> Consumer:
    return world.consumer(record, resend=[SOURCE], missing_after=0.5)


async def ask(world: World) -> None:
    """A consumer has asked for both, and the request is in the queue."""
    async with running(world.relay(), asking(world)):
        await send(world, beacon(1, a=1, b=1))
        await eventually(lambda: asks(world, 1))
        await eventually(lambda: world.has_unpublished(0))


async def test_a_day_dropped_before_the_answer_is_answered_as_gone(world: World, old: str) -> None:
    await ask(world)
    assert await OUTBOX.drop_expired(world.engine) == [old]
    async with running(world.relay(), asking(world), answering(world)):
        await eventually(lambda: is_unrecoverable(world, "a"))
        await world.emit(Happened("a"), Happened("b"), Happened("c"))
        await eventually(lambda: has_effects(world, 3))
        await eventually(lambda: misses(world, {"a": "{[1,2)}"}))
    assert await effects(world) == {"b": [1, 2], "c": [1]}
    assert len(await requests(world)) == 1


async def test_a_day_stays_while_what_was_asked_for_waits_in_it(world: World, old: str) -> None:
    await ask(world)
    async with running(answering(world)):
        await eventually(lambda: world.has_unpublished(2))
    assert await OUTBOX.drop_expired(world.engine) == []
    async with running(world.relay(), asking(world)):
        await eventually(lambda: has_effects(world, 2))
        await eventually(lambda: world.has_unpublished(0))
        await eventually(lambda: misses(world, {}))
    assert await OUTBOX.drop_expired(world.engine) == [old]
    assert await effects(world) == {"a": [1], "b": [1]}


class Pausing:
    """Keeps the transaction of the first answer open, until it may go on."""

    def __init__(self) -> None:
        self.answered, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, handling: Handling, proceed: Proceed) -> None:
        await proceed(handling)
        self.answered.set()
        await self.go_on.wait()


@pytest.fixture
def maintained(world: World, monkeypatch: pytest.MonkeyPatch) -> Maintenance:
    """Looks after the outbox table again and again."""
    monkeypatch.setattr(partition_maintenance, "AFTER_TROUBLE", 0.1)
    return Maintenance(world.engine, interval=0.1)


async def test_a_day_comes_back_that_is_being_detached_while_its_event_is_asked_for(
    world: World, old: str, maintained: Maintenance
) -> None:
    await ask(world)
    pausing = Pausing()
    async with running(world.relay(), asking(world), answering(world, middleware=[pausing])):
        await pausing.answered.wait()
        async with running(maintained):
            await eventually(lambda: is_being_detached(world, old))
            await world.emit(Happened("c"))
            await eventually(lambda: has_effects(world, 1))
            await ask_for_another(world)
            pausing.go_on.set()
            await eventually(lambda: has_effects(world, 3))
            await eventually(lambda: misses(world, {}))
            await eventually(lambda: gone(world, old))
    assert sorted((await effects(world)).items()) == [("a", [1]), ("b", [1]), ("c", [1])]
    answers = await emitted(world.work, EventsUnavailable)
    assert [one.consumer for one in answers] == ["bar.orders"], "a day on its way out is gone"


async def ask_for_another(world: World) -> None:
    """Another consumer asks for the same event."""
    [request] = Source("bar").envelopes(
        ResendRequested(SOURCE, "bar.orders", (StreamRanges("order", "a", ((1, 1),)),))
    )
    handlers = resend_handlers(WAY_BACK)
    assert await deliver(world.work, WAY_BACK.queue, handlers, request) == []


async def test_a_day_dropped_by_hand_while_its_events_wait_is_gone_for_the_next_request(
    world: World, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "ASK_AGAIN", 0.3)
    await ask(world)
    async with running(answering(world)):
        await eventually(lambda: world.has_unpublished(2))
        await world.execute(f"DROP TABLE {old}")
        async with running(world.relay(), asking(world)):
            await eventually(lambda: is_unrecoverable(world, "a"))
            await eventually(lambda: misses(world, {"a": "{[1,2)}"}))
            await eventually(lambda: world.has_unpublished(0))
    assert await effects(world) == {"b": [1]}


async def is_unrecoverable(world: World, aggregate: str) -> bool:
    query = (
        "SELECT aggregate_id, unrecoverable::text FROM inbox_missing WHERE unrecoverable <> '{}'"
    )
    return await world.rows(query) == [(aggregate, "{[1,2)}")]


async def is_being_detached(world: World, name: str) -> bool:
    query = "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(%s)"
    return await world.rows(query, name) == [(True,)]
