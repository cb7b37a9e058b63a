"""A relay killed by SIGKILL at each of its steps: nothing lost, nothing out of order.

The checker knows nothing of relays: it reads the database and the queue.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aio_pika.abc import AbstractIncomingMessage

from kit.outbox.processes.relay import relay_process
from kit.outbox.topology import AUDITED
from kit.outbox.world import EXCHANGE, QUEUE, Happened, World
from kit.waiting import eventually
from outbox.failpoints import RELAY_STEPS, UNROUTED_STEPS
from outbox.rabbitmq.topology import unrouted_of
from outbox.supervise import pause

AGGREGATES = 12
ONCE = ("relay.lane_acquired", "relay.handing_over")
StreamAndSequence = tuple[str, int]


@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("step", [s for s in RELAY_STEPS if s not in ONCE])
async def test_a_relay_killed_at_any_step_loses_and_misorders_nothing(
    world: World, step: str, nth: int
) -> None:
    async with writing(world), relay(world, die_at=f"{step}:{nth}") as doomed:
        assert await asyncio.wait_for(doomed.wait(), 30) == -signal.SIGKILL
    async with relay(world):
        await check(world)


@pytest.mark.parametrize("step", ONCE)
async def test_a_relay_killed_while_lanes_change_hands_loses_and_misorders_nothing(
    world: World, step: str
) -> None:
    async with writing(world), relay(world, die_at=step) as doomed:
        if step == "relay.handing_over":
            await eventually(lambda: world.has_owned_lanes(16))
        async with relay(world):
            assert await asyncio.wait_for(doomed.wait(), 30) == -signal.SIGKILL
    async with relay(world), relay(world):
        await check(world)


@pytest.mark.parametrize("step", UNROUTED_STEPS)
async def test_a_relay_killed_while_it_restores_a_binding_loses_nothing(
    world: World, step: str
) -> None:
    world.topology = AUDITED
    async with relay(world, die_at=step, audited=1, topology_check=300) as doomed:
        await eventually(lambda: world.has_owned_lanes(16))
        async with world.broker(declare=False) as channel:
            queue = await channel.get_queue(QUEUE, ensure=False)
            await queue.unbind(EXCHANGE, "order.#")
        await world.emit(*(Happened(f"a{n}", n) for n in range(AGGREGATES)))
        assert await asyncio.wait_for(doomed.wait(), 30) == -signal.SIGKILL
    async with relay(world, audited=1):
        await eventually(lambda: has_come(world, AGGREGATES), within=30)
        await eventually(lambda: has_none_unrouted(world), within=30)
        await check(world)


async def has_come(world: World, count: int) -> bool:
    async with world.broker(declare=False) as channel:
        queue = await channel.declare_queue(QUEUE, passive=True)
    return (queue.declaration_result.message_count or 0) >= count


async def has_none_unrouted(world: World) -> bool:
    async with world.broker(declare=False) as channel:
        queue = await channel.declare_queue(unrouted_of(EXCHANGE), passive=True)
    return queue.declaration_result.message_count == 0


def relay(
    world: World, *, die_at: str = "", **settings: int
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Without beacons: they would be taken for events."""
    settings = {"window": 7, "beacon_every": 0, **settings}
    return relay_process(world.database_url, world.broker_url, die_at=die_at, **settings)


@asynccontextmanager
async def writing(world: World) -> AsyncIterator[None]:
    """Commit events of all aggregates, round after round, for the length of the block."""
    async with world.broker():
        pass
    stop = asyncio.Event()
    writer = asyncio.create_task(write(world, stop))
    yield
    stop.set()
    await writer


async def write(world: World, stop: asyncio.Event) -> None:
    for number in range(10_000):
        await world.emit(*(Happened(f"a{n}", number) for n in range(AGGREGATES)))
        await pause(stop, 0.02)
        if stop.is_set():
            return


async def check(world: World) -> None:
    """Every committed event is in the queue; first deliveries are in order per aggregate."""
    committed = {
        (aggregate, sequence)
        for aggregate, sequence in await world.rows("SELECT aggregate_id, sequence FROM outbox")
    }
    await eventually(lambda: world.has_unpublished(0), within=30)
    first: dict[str, list[int]] = {}
    seen: set[StreamAndSequence] = set()
    for message in await world.everything_delivered():
        aggregate, sequence = stream_and_sequence_of(message)
        if (aggregate, sequence) not in seen:
            seen.add((aggregate, sequence))
            first.setdefault(aggregate, []).append(sequence)
    assert seen == committed
    assert all(sequences == sorted(sequences) for sequences in first.values())


def stream_and_sequence_of(message: AbstractIncomingMessage) -> StreamAndSequence:
    sequence = message.headers["sequence"]
    assert isinstance(sequence, int)
    return str(message.headers["cloudEvents:subject"]), sequence
