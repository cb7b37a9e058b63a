"""A process that dies while it probes a tripped type: another one probes a few seconds later."""

from __future__ import annotations

import signal
import time

from kit.outbox.consumer_process import start
from kit.outbox.deliveries import events
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import CircuitBreaker, Envelope, UnitOfWork
from outbox.inbox.prober import LEASE

STREAMS = 3


async def fail(unit: UnitOfWork, event: Envelope) -> None:
    raise ConnectionError("the bank is away")


async def trip(world: World) -> None:
    """Trip the type, with an event waiting in each stream; the first probe is due."""
    inbox = world.consumer(fail, breaker=CircuitBreaker(streams=STREAMS)).inbox
    await inbox.handle([event for n in range(STREAMS) for event in events(1, f"s{n}")])
    await inbox.prober.obey()
    await world.execute("UPDATE inbox_tripped SET next_probe_at = now()")


async def lease_ends(world: World, *, after: float) -> bool:
    """Whether the lease ends later than this; seconds of the database's clock."""
    return await lease_end(world) > after


async def lease_end(world: World) -> float:
    [(end,)] = await world.rows("SELECT extract(epoch FROM next_probe_at) FROM inbox_tripped")
    return float(end)


async def test_a_probe_keeps_its_lease_and_a_killed_process_loses_it_within_seconds(
    world: World,
) -> None:
    async with world.broker():
        pass
    await trip(world)
    due, calls = await lease_end(world), 0

    async def record(unit: UnitOfWork, event: Envelope) -> None:
        nonlocal calls
        calls += 1

    probing = await start(world, HANDLER_WAITS="600")
    await eventually(lambda: lease_ends(world, after=due + LEASE / 2))
    claimed = await lease_end(world)
    async with running(world.consumer(record)):
        await eventually(lambda: lease_ends(world, after=claimed + 1.2 * LEASE))
        assert calls == 0, "two processes probed"
        probing.send_signal(signal.SIGKILL)
        await probing.wait()
        killed = time.monotonic()
        await eventually(lambda: is_open(world))
        assert time.monotonic() - killed < 2 * LEASE
        await eventually(lambda: nothing_is_parked(world))
    assert calls >= STREAMS


async def is_open(world: World) -> bool:
    return await world.rows("SELECT FROM inbox_tripped WHERE consumer = %s", QUEUE) == []


async def nothing_is_parked(world: World) -> bool:
    return await world.rows("SELECT FROM inbox_parked") == []
