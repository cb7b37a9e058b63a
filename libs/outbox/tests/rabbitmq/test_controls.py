"""Pause, throttle and resume: all processes obey within a second, and nothing is lost by it."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    parks,
    publish,
    queue_is_empty,
    record,
)
from kit.outbox.operator import say
from kit.outbox.world import EXCHANGE, QUEUE, Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork
from outbox.errors import InvalidSetting
from outbox.inbox.operations import InboxOperations
from outbox.metrics import CONTROL_RATE
from outbox.operations.controls import OfQueue, OfRelay, controls, pause, resume, throttle
from outbox.operations.database import Connection
from outbox.operations.status import status
from outbox.postgres.controls import INBOX_CONTROLS, Valve

ALL, PAYED = OfQueue(QUEUE), OfQueue(QUEUE, "order.payed")
RELAY = OfRelay(EXCHANGE)


@pytest.fixture
async def operator(world: World) -> AsyncIterator[Connection]:
    async with await world.psycopg() as connection:
        yield connection


async def has_left_the_queue_alone(world: World, count: int) -> bool:
    """Whether so many messages are ready: nobody has one in hand."""
    async with world.broker() as channel:
        queue = await channel.declare_queue(QUEUE, passive=True)
        result = queue.declaration_result
        return (result.message_count, result.consumer_count) == (count, 0)


async def test_a_paused_queue_receives_nothing_until_it_is_resumed(
    world: World, operator: Connection
) -> None:
    first, second = world.consumer(record), world.consumer(record)
    async with running(first, second):
        await publish(world, *events(3, "a"))
        await eventually(lambda: has_effects(world, 3))
        await pause(operator, ALL, by="ann", why="the printer is away")
        await eventually(lambda: _obeyed(first.inbox.valve, second.inbox.valve), within=2)
        await publish(world, *events(3, "b"))
        await eventually(lambda: has_left_the_queue_alone(world, 3))
        # It is not for the moment between the session that ended and the wait for the resume.
        await eventually(lambda: _is(lambda: first.running))
        assert await resume(operator, ALL)
        await eventually(lambda: has_effects(world, 6))
    assert await effects(world) == {"a": [1, 2, 3], "b": [1, 2, 3]}


async def test_a_consumer_that_starts_obeys_before_it_receives(
    world: World, operator: Connection
) -> None:
    await pause(operator, ALL, by="ann")
    await publish(world, *events(3))
    consumer = world.consumer(record)
    async with running(consumer):
        await eventually(lambda: _is(lambda: consumer.running))
        assert await has_left_the_queue_alone(world, 3)
    assert await effects(world) == {}


async def test_a_paused_queue_retries_nothing(world: World, operator: Connection) -> None:
    failing, calls = True, 0

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        nonlocal calls
        calls += 1
        if failing:
            raise ValueError("not yet")
        await record(unit, event)

    consumer = world.consumer(handle)
    async with running(consumer):
        await publish(world, *events(1))
        await eventually(lambda: parks(world, [("failed", 1)]))
        await pause(operator, ALL, by="ann")
        await eventually(lambda: _obeyed(consumer.inbox.valve))
        failing, before = False, calls
        await InboxOperations(operator, QUEUE).redrive()
        await publish(world, *events(1, "b"))
        await eventually(lambda: has_left_the_queue_alone(world, 1))
        assert calls <= before + 1  # one may have begun before
        await resume(operator, ALL)
        await eventually(lambda: has_effects(world, 2))


async def test_a_paused_type_lets_other_types_pass_and_goes_on_in_order(
    world: World, operator: Connection
) -> None:
    consumer = world.consumer(record, more={"order.payed": record})
    async with running(consumer):
        await pause(operator, PAYED, by="ann", why="wrong prices")
        await eventually(lambda: _has_paused_types(consumer.inbox.valve))
        first, second, third = events(3, "a")
        await publish(world, first, replace(second, type="order.payed"), third, *events(2, "b"))
        await eventually(lambda: parks(world, [("paused", 2), ("behind", 3)]))
        await eventually(lambda: has_effects(world, 3))
        [(says,)] = await world.rows("SELECT last_error FROM inbox_parked WHERE sequence = 2")
        assert says == "paused by ann: wrong prices"
        await resume(operator, PAYED)
        await eventually(lambda: has_effects(world, 5))
    assert await effects(world) == {"a": [1, 2, 3], "b": [1, 2]}


async def test_a_pause_ends_by_itself(world: World, operator: Connection) -> None:
    await pause(operator, ALL, by="ann", seconds=1.5)
    await publish(world, *events(1))
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, 1))
    assert await controls(operator) == []
    assert not await resume(operator, ALL)


async def test_a_paused_relay_keeps_its_lanes_and_publishes_nothing(
    world: World, operator: Connection
) -> None:
    relay = world.relay()
    async with world.broker(), running(relay):
        await eventually(lambda: world.has_owned_lanes(16))
        await pause(operator, RELAY, by="ann")
        await eventually(lambda: _is(lambda: relay.is_paused), within=2)
        await world.emit(Happened("a"), Happened("a"))
        async with await world.psycopg() as connection:
            assert [one.target for one in (await status(connection)).controls] == [EXCHANGE]
        assert await queue_is_empty(world)
        assert await world.has_unpublished(2)
        assert await world.has_owned_lanes(16)
        await resume(operator, RELAY)
        await eventually(lambda: world.has_unpublished(0))


async def test_a_throttled_consumer_and_relay_keep_to_their_rate(
    world: World, operator: Connection
) -> None:
    await throttle(operator, RELAY, 20, by="ann")
    await throttle(operator, ALL, 20, by="ann")
    await world.emit(*[Happened("a")] * 40)
    began = time.monotonic()
    async with running(world.relay(), world.consumer(record)):
        await eventually(lambda: has_effects(world, 40))
    assert time.monotonic() - began > 1.5
    assert await effects(world) == {"a": [*range(1, 41)]}


async def test_a_control_is_a_metric_while_it_holds(world: World, operator: Connection) -> None:
    valve = Valve(INBOX_CONTROLS, QUEUE)
    await pause(operator, PAYED, by="ann")
    await throttle(operator, ALL, 5, by="ann")
    await valve.read(operator)
    assert _rates() == {"": 5.0, "order.payed": 0.0}
    await resume(operator, PAYED)
    await resume(operator, ALL)
    await valve.read(operator)
    assert _rates() == {}


async def test_a_throttle_of_nothing_or_of_a_type_is_refused(operator: Connection) -> None:
    with pytest.raises(InvalidSetting, match="above 0"):
        await throttle(operator, ALL, 0, by="ann")
    with pytest.raises(InvalidSetting, match="not on a type"):
        await throttle(operator, PAYED, 5, by="ann")
    for seconds in (-1, 0, 1e12, math.inf, math.nan):
        with pytest.raises(InvalidSetting, match="seconds"):
            await pause(operator, ALL, by="ann", seconds=seconds)
    assert await controls(operator) == []


async def test_an_end_that_no_calendar_has_does_not_stop_who_obeys(operator: Connection) -> None:
    valve = Valve(INBOX_CONTROLS, QUEUE)
    await pause(operator, ALL, by="ann", seconds=60)
    for end in ("33715-01-01", "infinity"):
        await operator.execute("UPDATE inbox_controls SET until = %s", [end])
        await valve.read(operator)
        assert valve.is_closed
        [control] = await controls(operator)
        assert control.until is not None
        assert control.until.year == 9999
    assert await resume(operator, ALL)


async def test_the_commands_pause_show_and_resume(world: World) -> None:
    urls = {"DATABASE_URL": world.database_url, "OUTBOX_APP": "kit.outbox.topology:LATER"}
    words = ("--by", "ann", "--why", "wrong prices", "--for", "30m")
    said = await say(urls, "pause", QUEUE, "--type", "order.payed", *words)
    assert f"{QUEUE} order.payed is paused by ann until" in said.out
    said = await say(urls, "throttle", EXCHANGE, "50", "--relay", "--by", "ann")
    assert f"{EXCHANGE} is throttled to 50 events a second by ann: no reason given" in said.out
    shown = await say(urls, "status")
    assert "wrong prices" in shown.out
    [pausing, throttling] = (await say(urls, "status", "--json")).json["controls"]
    assert (pausing["target"], pausing["rate"], throttling["rate"]) == (QUEUE, 0.0, 50.0)
    await say(urls, "resume", QUEUE, "--type", "order.payed")
    await say(urls, "resume", EXCHANGE, "--relay")
    await say(urls, "resume", QUEUE, status=1)
    await say(urls, "pause", QUEUE, "--for", "soon", status=2)


def _rates() -> dict[str, float]:
    [found] = CONTROL_RATE.collect()
    return {
        sample.labels["type"]: sample.value
        for sample in found.samples
        if sample.labels["target"] == QUEUE
    }


async def _obeyed(*valves: Valve) -> bool:
    return all(valve.is_closed for valve in valves)


async def _has_paused_types(valve: Valve) -> bool:
    return bool(valve.paused_types)


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()
