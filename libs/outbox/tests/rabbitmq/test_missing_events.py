"""Events that got lost on their way are asked for; what is on its way is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from kit.outbox.beacons import asks, at, beacon, chain, has_number, misses, requests, send
from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    parks,
    publish,
    record,
    stream_of,
)
from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, World, running
from kit.waiting import eventually
from outbox import Consumer, Envelope, Park, UnitOfWork, metrics
from outbox.event import MAX_PAYLOAD
from outbox.inbox import beacons as received
from outbox.inbox import searcher
from outbox.inbox.operations import InboxOperations
from outbox.operations.controls import OfQueue, pause, resume
from outbox.rabbitmq.cloudevents import to_message
from outbox.resend_events import MAX_EVENTS, ResendRequested, StreamRanges

A = stream_of("a")
SOON = 0.5


def asking(world: World, handler: object = record, **settings: object) -> Consumer:
    usual = {"resend": [SOURCE], "missing_after": SOON}
    return world.consumer(handler, **(usual | settings))  # type: ignore[arg-type]


async def asked(world: World) -> list[tuple[str, tuple[tuple[int, int], ...]]]:
    """Aggregates and sequences of all requests."""
    return [
        (one.aggregate_id, one.ranges) for found in await requests(world) for one in found.streams
    ]


@asynccontextmanager
async def answering(world: World, kept: Sequence[Envelope]) -> AsyncIterator[None]:
    """A source that publishes again what it is asked for."""

    async def answer() -> None:
        answered = 0
        while True:
            found = await requests(world)
            for request in found[answered:]:
                await publish(world, *wanted(request, kept))
            answered = len(found)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def wanted(request: ResendRequested, kept: Sequence[Envelope]) -> list[Envelope]:
    """What a request asks for, of what its source has."""
    keys = {
        (one.aggregate_id, sequence)
        for one in request.streams
        for first, last in one.ranges
        for sequence in range(first, last + 1)
    }
    return [event for event in kept if (event.aggregate_id, event.sequence) in keys]


def waiting(state: str) -> float:
    return float(metrics.MISSING.labels(QUEUE, state)._value.get())


async def shows(state: str, events: float) -> bool:
    return waiting(state) == events


async def test_a_lost_end_of_a_stream_is_asked_for_once_and_arrives(world: World) -> None:
    all_of_it, before = events(5, "a"), metrics.RESENDS.labels(QUEUE)._value.get()
    async with running(asking(world)), answering(world, all_of_it):
        await publish(world, *all_of_it[:3])
        await send(world, beacon(1, a=5))
        await eventually(lambda: has_effects(world, 5))
        await eventually(lambda: misses(world, {}))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5]}
    assert await asked(world) == [("a", ((4, 5),))]
    assert metrics.RESENDS.labels(QUEUE)._value.get() == before + 2


async def test_a_gap_is_asked_for_without_any_beacon(world: World) -> None:
    one, two, three, four, five, six = events(6, "a")
    async with running(asking(world)), answering(world, [two, three, five]):
        await publish(world, one, four, six)
        await eventually(lambda: has_effects(world, 6))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5, 6]}
    assert await asked(world) == [("a", ((2, 3), (5, 5)))]


async def test_a_hole_in_the_beacons_is_asked_for_until_it_is_told_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received, "PATIENCE", 0.1)
    monkeypatch.setattr(searcher, "ASK_AGAIN", 0.5)
    lost = events(1, "lost")
    async with running(asking(world)), answering(world, lost):
        await send(world, beacon(1), beacon(3))
        await eventually(lambda: asks(world, 2))
        [first, second, *_] = await requests(world)
        for request in (first, second):
            [hole] = request.beacons
            assert (hole.aggregate_type, hole.since, request.streams) == ("order", at(1), ())
        await send(world, replace(beacon(4, lost=1), since=at(1)))
        await eventually(lambda: has_effects(world, 1))
    assert await chain(world) == (4, None)
    assert await effects(world) == {"lost": [1]}


async def test_an_event_in_the_hands_of_a_process_is_under_way(world: World) -> None:
    """One worker is busy for longer than the time after which events count as missing."""
    is_over = asyncio.Event()

    async def slow(unit: UnitOfWork, event: Envelope) -> None:
        await is_over.wait()
        await record(unit, event)

    async with running(asking(world, slow, concurrency=1, batch=1)):
        await publish(world, *events(2, "a"), *events(2, "b"))
        await send(world, beacon(1, a=2, b=2))
        await eventually(lambda: misses(world, {"a": "{[1,3)}", "b": "{[1,3)}"}))
        await asyncio.sleep(4 * SOON)
        is_over.set()
        await eventually(lambda: has_effects(world, 4))
        await eventually(lambda: misses(world, {}))
    assert await requests(world) == []


async def test_a_stream_in_a_transaction_is_under_way(world: World) -> None:
    await world.consumer(record).inbox.handle(events(1, "a"))
    async with running(asking(world)), await world.psycopg() as holder:
        await holder.set_autocommit(False)
        await holder.execute("SELECT FROM inbox FOR UPDATE")
        await send(world, beacon(1, a=2, b=1))
        await eventually(lambda: asks(world, 1))
        assert await asked(world) == [("b", ((1, 1),))]
        await asyncio.sleep(2 * SOON)
        assert await asked(world) == [("b", ((1, 1),))]
        await holder.rollback()
        await eventually(lambda: asks(world, 2))


async def test_a_backlog_is_no_loss(world: World) -> None:
    """The consumer is away while many events and the beacons about them arrive."""
    late = [event for n in range(40) for event in events(25, f"s{n}")]
    async with world.broker():
        pass
    await publish_all(world, late)
    await send(world, *(beacon(n, **{f"s{i}": 25 for i in range(40)}) for n in range(1, 61)))
    async with running(asking(world)):
        await eventually(lambda: has_number(world, 60))
        await eventually(lambda: has_effects(world, len(late)))
        await eventually(lambda: misses(world, {}))
        await asyncio.sleep(2 * SOON)
    assert await requests(world) == []
    assert await chain(world) == (60, None)


async def test_a_paused_queue_asks_for_nothing_until_it_is_resumed(world: World) -> None:
    consumer, every_event = asking(world, missing_after=3.0), OfQueue(QUEUE)
    async with running(consumer), await world.psycopg() as operator:
        await send(world, beacon(1, a=2))
        await eventually(lambda: misses(world, {"a": "{[1,3)}"}))
        await pause(operator, every_event, by="ann")
        await eventually(lambda: is_paused(consumer))
        await asyncio.sleep(4)
        assert await requests(world) == []
        await resume(operator, every_event)
        await eventually(lambda: asks(world, 1))


async def is_paused(consumer: Consumer) -> bool:
    return consumer.is_paused


async def test_without_a_way_back_a_loss_is_reported_and_not_asked_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = asking(world, resend=())
    with caplog.at_level(logging.WARNING):
        async with running(consumer):
            await send(world, beacon(1, a=2))
            await eventually(lambda: shows("lost", 2))
            assert consumer.lost == [f"lost events of {SOURCE}"]
            await asyncio.sleep(SOON)
            await publish(world, *events(2, "a"))
            await eventually(lambda: has_effects(world, 2))
            await eventually(lambda: shows("lost", 0))
            assert consumer.lost == []
    assert await requests(world) == []
    assert len([line for line in caplog.messages if "misses lost events" in line]) == 1


async def test_an_event_that_is_lost_again_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "ASK_AGAIN", 0.3)
    async with running(asking(world)):
        await send(world, beacon(1, a=1))
        await eventually(lambda: asks(world, 3))
        await publish(world, *events(1, "a"))
        await eventually(lambda: misses(world, {}))
    assert {*await asked(world)} == {("a", ((1, 1),))}


async def test_a_stream_that_waits_for_a_failed_event_misses_nothing(world: World) -> None:
    async def fail(unit: UnitOfWork, event: Envelope) -> None:
        raise ValueError

    async with running(asking(world, fail, failures={Exception: Park()})):
        await publish(world, *events(3, "a"))
        await eventually(lambda: parks(world, [("failed", 1), ("behind", 2), ("behind", 3)]))
        await send(world, beacon(1, a=3))
        await eventually(lambda: has_number(world, 1))
        await eventually(lambda: misses(world, {}))
        await asyncio.sleep(2 * SOON)
    assert await requests(world) == []


async def test_what_waits_for_nothing_is_made_due(world: World) -> None:
    """Parked, next in its stream, not blocked and never due: nothing else would wake it."""
    first, second, third = events(3, "a")
    inbox = world.consumer(record).inbox
    await inbox.handle([first, third])
    await inbox.handle([replace(second, stream=stream_of("b"), sequence=1)])
    await world.execute("UPDATE inbox SET last_sequence = 2 WHERE aggregate_id = 'a'")
    async with running(asking(world)):
        await eventually(lambda: has_effects(world, 3))
        await eventually(lambda: parks(world, []))
    assert await effects(world) == {"a": [1, 3], "b": [1]}
    assert await requests(world) == []


@pytest.mark.parametrize("tail", [True, False])
async def test_a_skip_and_a_baseline_end_the_search(world: World, tail: bool) -> None:
    async with running(asking(world)), await world.psycopg() as connection:
        await send(world, beacon(1, a=3))
        await eventually(lambda: asks(world, 1))
        operations = InboxOperations(connection, QUEUE)
        if tail:
            await operations.skip(A, through=3, tail=True)
        else:
            await operations.baseline({A: 3})
        await eventually(lambda: misses(world, {}))


async def test_one_of_two_processes_asks(world: World) -> None:
    streams = {f"s{n}": 1 for n in range(30)}
    async with running(asking(world), asking(world)):
        await send(world, beacon(1, **streams))
        await eventually(lambda: asks(world, 1))
        await asyncio.sleep(2 * SOON)
    assert sorted(await asked(world)) == sorted((name, ((1, 1),)) for name in streams)


async def test_a_storm_is_asked_for_in_portions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 streams lost 1,000 events each; never more than 500 are under way."""
    monkeypatch.setattr(searcher, "ASK_AGAIN", 60.0)
    lost, answered, asked_for, arrived = 20, 0, 0, 0
    async with running(asking(world)):
        await send(world, beacon(1, **{f"s{n}": MAX_EVENTS for n in range(lost)}))
        while asked_for < lost * MAX_EVENTS:
            await eventually(lambda count=answered + 1: asks(world, count))  # type: ignore[misc]
            for request in (await requests(world))[answered:]:
                answered += 1
                asked_for += sum(one.count for one in request.streams)
                assert asked_for - arrived <= searcher.UNDER_WAY
                arrived += await arrive(world, request)
        await eventually(lambda: misses(world, {}))
    assert asked_for == lost * MAX_EVENTS, "an event was asked for twice"
    assert answered <= 2 * lost * MAX_EVENTS / searcher.UNDER_WAY


async def arrive(world: World, request: ResendRequested) -> int:
    """Move the streams on as if all had been applied; 20,000 events would take minutes."""
    for one in request.streams:
        await world.execute(
            "INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, last_sequence)"
            " VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (consumer, source, aggregate_type, aggregate_id)"
            " DO UPDATE SET last_sequence = excluded.last_sequence",
            *(QUEUE, SOURCE, one.aggregate_type, one.aggregate_id, one.ranges[-1][1]),
        )
    return sum(one.count for one in request.streams)


async def publish_all(world: World, envelopes: Sequence[Envelope]) -> None:
    async with world.broker() as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        sending = (exchange.publish(to_message(one), one.type) for one in envelopes)
        await asyncio.gather(*sending)


def test_a_portion_has_no_more_than_there_is_room_for() -> None:
    due = [
        StreamRanges("order", "a", ((1, 3), (7, 9))),
        StreamRanges("order", "b", ((1, 3),)),
    ]
    assert searcher.portion(due, 100) == due
    assert searcher.portion(due, 5) == [StreamRanges("order", "a", ((1, 3), (7, 8)))]
    assert searcher.portion(due, 7) == [due[0], StreamRanges("order", "b", ((1, 1),))]
    assert searcher.portion(due, 0) == []


def test_a_portion_fits_into_an_event_however_long_the_names() -> None:
    due = [StreamRanges("ö" * 127, f"{n}" + "ö" * 120, ((1, 1),)) for n in range(1_000)]
    chosen = searcher.portion(due, 1_000)
    assert 100 < len(chosen) < 1_000
    assert len(ResendRequested(SOURCE, QUEUE, tuple(chosen)).payload()) < MAX_PAYLOAD
