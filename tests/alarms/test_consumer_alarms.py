"""Alarms of the consumer's side: each fires by its cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from aio_pika import Message

from kit.alarms import Alarms
from kit.outbox.beacons import WITH_WAY_BACK, answering, beacon, send
from kit.outbox.consumer_process import start
from kit.outbox.deliveries import effects, events, publish, record
from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import (
    Envelope,
    Park,
    Retry,
    UnitOfWork,
)
from outbox.inbox import searcher


class Wrong(Exception):
    """A bug of a handler."""


async def fail(_: UnitOfWork, event: Envelope) -> None:
    raise Wrong(event.stream.aggregate_id)


async def test_an_event_that_is_not_retried_waits_for_a_person(
    world: World, alarms: Alarms
) -> None:
    async with (
        running(world.consumer(fail, failures={Wrong: Park()})),
        alarms.fired_by("EventsWaitForAPerson", consumer=QUEUE),
    ):
        await publish(world, *events(1))


async def test_an_event_that_is_retried_in_vain_keeps_failing(world: World, alarms: Alarms) -> None:
    async with (
        running(world.consumer(fail)),
        alarms.fired_by("EventsKeepFailing", consumer=QUEUE),
    ):
        await publish(world, *events(1))


async def test_a_dependency_that_is_away_trips_the_type(world: World, alarms: Alarms) -> None:
    failures = {Exception: Retry(base=600, ceiling=600)}
    async with (
        running(world.consumer(fail, failures=failures)),
        alarms.fired_by("EventTypeIsTripped", consumer=QUEUE, type="order.happened"),
    ):
        await publish(world, *(event for n in range(12) for event in events(1, f"s{n}")))


async def test_an_event_that_kills_three_processes_is_reported_by_the_next(
    world: World, alarms: Alarms
) -> None:
    async with alarms.fired_by("EventsKillTheProcess", consumer=QUEUE):
        await publish(world, *events(1, "poison"))
        for _ in range(3):
            assert await (await start(world)).wait() == 3
        consumer = world.consumer(record)
        async with running(consumer):
            await eventually(lambda: is_parked(world, "crashed"))
            await eventually(lambda: alarms.fires("EventsKillTheProcess", consumer=QUEUE))


async def is_parked(world: World, reason: str) -> bool:
    return await world.rows("SELECT reason FROM inbox_parked") == [(reason,)]


async def test_an_event_whose_predecessor_does_not_arrive_is_a_gap(
    world: World, alarms: Alarms
) -> None:
    _, second = events(2)
    async with running(world.consumer(record)), alarms.fired_by("GapStays", consumer=QUEUE):
        await publish(world, second)


async def test_an_event_that_a_beacon_tells_of_and_that_does_not_come_is_missing(
    world: World, alarms: Alarms
) -> None:
    async with (
        running(world.consumer(record, missing_after=0.5)),
        alarms.fired_by("EventsAreMissing", consumer=QUEUE),
    ):
        await send(world, beacon(1, a=2))


async def test_an_event_that_its_source_has_not_kept_is_unrecoverable(
    world: World, alarms: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "ASK_AGAIN", 0.3)
    world.topology = WITH_WAY_BACK
    async with running(world.relay(), answering(world)):
        await world.emit(Happened("a"))
        await world.delivered(1)
        await world.execute("DELETE FROM outbox WHERE aggregate_id = 'a'")
        consumer = world.consumer(record, resend=[SOURCE], missing_after=0.5)
        async with (
            running(consumer),
            alarms.fired_by("EventsAreUnrecoverable", consumer=QUEUE),
        ):
            await send(world, beacon(1, a=1))


async def test_a_message_that_is_no_event_is_dead_lettered(world: World, alarms: Alarms) -> None:
    labels = {"consumer": QUEUE, "reason": "unreadable"}
    async with (
        running(world.consumer(record)),
        alarms.fired_by("MessagesAreDeadLettered", **labels),
        world.broker() as channel,
    ):
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(Message(b"hello"), "order.happened")


async def test_events_that_come_late_show_that_the_consumer_is_behind(
    world: World, alarms: Alarms
) -> None:
    async with running(world.consumer(record)):
        await eventually(
            lambda: alarms.has_read(f'inbox_lag_seconds_count{{consumer="{QUEUE}"}}'), within=20
        )
        async with alarms.fired_by("ConsumerIsBehind", consumer=QUEUE):
            await publish(world, *(late(event) for event in events(3)))
    assert await effects(world) == {"a": [1, 2, 3]}


def late(event: Envelope) -> Envelope:
    return replace(event, time=event.time - timedelta(minutes=10))
