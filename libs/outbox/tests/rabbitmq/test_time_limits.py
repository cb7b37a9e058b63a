"""A handler that waits for too long is cancelled: its event fails, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy import text

from kit.outbox.deliveries import effects, events, has_effects, parks, publish, record
from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, TAKES, Happened, World, running
from kit.waiting import eventually
from outbox import (
    Consumer,
    ConsumerSettings,
    Envelope,
    Handlers,
    Inbox,
    InboxSettings,
    Subscription,
    Topology,
    UnitOfWork,
)

LIMIT = 1.5
"""Long enough for the handlers that do not hang, on a busy machine."""
FEW = InboxSettings(time_limit=LIMIT)
ASKING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state <> 'idle' AND query = 'SELECT pg_sleep(600)'
"""


def is_hanging(event: Envelope) -> bool:
    return event.stream.aggregate_id == "hangs"


async def errors(world: World) -> list[str]:
    rows = await world.rows("SELECT last_error FROM inbox_parked WHERE last_error IS NOT NULL")
    return [str(error) for (error,) in rows]


async def test_a_statement_that_runs_for_too_long_is_cancelled_and_nothing_of_it_is_applied(
    world: World,
) -> None:
    hung: list[Envelope] = []

    async def asks(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        if is_hanging(event):
            hung.append(event)
            await unit.connection.execute(text("SELECT pg_sleep(600)"))

    inbox = Inbox(QUEUE, {"order.happened": asks}, world.work, FEW)
    await inbox.handle([*events(1, "a"), *events(1, "hangs"), *events(2, "b")])
    assert await effects(world) == {"a": [1], "b": [1, 2]}
    assert await parks(world, [("failed", 1)])
    assert len(hung) == 1, "its time is its own, so it is not tried again alone"
    [error] = await errors(world)
    assert error.startswith("TimeLimitExceeded: cancelled after 1.5 s (time_limit); it waited at ")
    assert f"{__file__}:" in error
    assert error.endswith("in asks")
    [(cause,)] = await world.rows("SELECT cause FROM inbox_parked")
    assert str(cause).startswith("outbox.errors.TimeLimitExceeded in ")
    assert str(cause).endswith("asks")
    assert await world.rows(ASKING) == [(0,)]
    await inbox.handle(events(3, "c"))
    assert (await effects(world))["c"] == [1, 2, 3]


async def test_what_comes_before_an_overdue_event_is_applied_and_what_comes_behind_it_waits(
    world: World,
) -> None:
    hung: list[Envelope] = []

    async def waits(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        if is_hanging(event) and event.sequence == 2:
            hung.append(event)
            await asyncio.sleep(600)

    inbox = Inbox(QUEUE, {"order.happened": waits}, world.work, FEW)
    await inbox.handle([*events(3, "hangs"), *events(1, "a")])
    assert await effects(world) == {"hangs": [1], "a": [1]}
    assert await parks(world, [("failed", 2), ("behind", 3)])
    assert len(hung) == 1


async def test_a_statement_left_to_be_sent_is_cancelled_too(world: World) -> None:
    async def leaves(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        if is_hanging(event):
            await unit.send("SELECT pg_sleep(600)", {})

    inbox = Inbox(QUEUE, {"order.happened": leaves}, world.work, FEW)
    await inbox.handle([*events(1, "hangs"), *events(2, "b")])
    assert await effects(world) == {"b": [1, 2]}
    assert await parks(world, [("failed", 1)])
    [error] = await errors(world)
    assert error.startswith("TimeLimitExceeded: ")


async def test_a_handler_that_swallows_its_cancellation_has_failed(world: World) -> None:
    async def swallows(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)

    inbox = Inbox(QUEUE, {"order.happened": swallows}, world.work, FEW)
    await inbox.handle(events(1))
    assert await effects(world) == {}
    assert await parks(world, [("failed", 1)])
    [error] = await errors(world)
    assert error.endswith("in swallows")


@dataclass
class Cooked:
    body: bytes
    type: str = "order.happened"

    @classmethod
    def parse(cls, body: bytes) -> Cooked:
        return cls(body)


async def test_a_handler_has_a_limit_of_its_own(world: World) -> None:
    on = Handlers(TAKES, Cooked)

    @on(Cooked, time_limit=LIMIT)
    async def cook(unit: UnitOfWork, cooked: Cooked, event: Envelope) -> None:
        if is_hanging(event):
            await asyncio.sleep(600)
        await record(unit, event)

    inbox = Inbox(QUEUE, on, world.work, InboxSettings(time_limit=0))
    await inbox.handle([*events(1, "hangs"), *events(1, "a")])
    assert await effects(world) == {"a": [1]}
    [error] = await errors(world)
    assert error.endswith("in cook")


async def test_a_handler_of_many_is_cancelled_and_each_event_is_tried_alone(world: World) -> None:
    on = Handlers(TAKES, Cooked)

    @on.many(Cooked)
    async def cook(
        unit: UnitOfWork, cooked: Sequence[Cooked], envelopes: Sequence[Envelope]
    ) -> None:
        for event in envelopes:
            if is_hanging(event):
                await asyncio.sleep(600)
            await record(unit, event)

    inbox = Inbox(QUEUE, on, world.work, FEW)
    await inbox.handle([*events(2, "a"), *events(1, "hangs"), *events(1, "b")])
    assert await effects(world) == {"a": [1, 2], "b": [1]}
    assert await parks(world, [("failed", 1)])


async def test_while_a_handler_hangs_the_relay_and_other_queues_go_on(world: World) -> None:
    other = Subscription(EXCHANGE, "bar.drinks", SOURCE, ("drink",))
    world = replace(world, topology=Topology([EXCHANGE], [TAKES, other]))
    hanging = asyncio.Event()

    async def hangs(unit: UnitOfWork, event: Envelope) -> None:
        hanging.set()
        await asyncio.sleep(600)

    served = Consumer(
        queue="bar.drinks",
        handlers={"drink.happened": record},
        work=world.work,
        broker_url=world.broker_url,
        topology=world.topology,
        settings=ConsumerSettings(),
    )
    consumer = world.consumer(hangs, time_limit=3, hangs_after=30)
    async with running(world.relay(), consumer, served):
        await world.emit(Happened("hangs"))
        async with asyncio.timeout(60):
            await hanging.wait()
        drinks = [Happened(f"d{n}", type="drink.happened", aggregate_type="drink") for n in "123"]
        await world.emit(*drinks)
        await eventually(lambda: has_effects(world, 3))
        assert await parks(world, []), "they took effect while it was hanging"
        await eventually(lambda: parks(world, [("failed", 1)]))
    assert set(await effects(world)) == {"d1", "d2", "d3"}


async def test_what_was_cancelled_is_retried(world: World) -> None:
    tries: list[Envelope] = []

    async def hangs_once(unit: UnitOfWork, event: Envelope) -> None:
        tries.append(event)
        if len(tries) <= 2:
            await unit.connection.execute(text("SELECT pg_sleep(600)"))
        await record(unit, event)

    await publish(world, *events(2))
    async with running(world.consumer(hangs_once, time_limit=LIMIT)):
        await eventually(lambda: has_effects(world, 2))
    assert await effects(world) == {"a": [1, 2]}
    assert await parks(world, [])
