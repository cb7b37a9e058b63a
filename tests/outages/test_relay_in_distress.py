"""A relay whose broker refuses, blocks or falls silent; whose doorbell is cut."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

import pytest
from prometheus_client import REGISTRY

from devstack.native.rabbitmq import RabbitMQ
from devstack.native.system import System
from kit.outbox.world import EXCHANGE, Happened, World, running
from kit.servers.alarms import frozen, memory_alarm, messages_up_to
from kit.waiting import eventually
from outbox.postgres import notifications

BIG = b'{"pad": "%s"}' % (b"x" * 5000)


@pytest.mark.parametrize("frames", [True, False])
async def test_a_refused_event_is_parked_with_its_followers_and_the_rest_goes_on(
    world: World, rabbitmq: RabbitMQ, frames: bool
) -> None:
    with messages_up_to(1000, rabbitmq):
        async with running(world.relay(frames=frames)):
            await world.emit(
                *(Happened(f"a{n}", n) for n in range(20)),
                Happened("big", body=BIG),
                Happened("big", 2),
                *(Happened(f"a{n}", n) for n in range(20)),
            )
            await eventually(lambda: world.has_unpublished(2))
            assert await parked(world) == [("big", 1)]
            await world.emit(Happened("big", 3), Happened("b", 1))
            await eventually(lambda: world.has_unpublished(3))
    async with running(world.relay(frames=frames)):
        await world.emit(Happened("c"))
        await eventually(lambda: world.has_unpublished(3))
        await world.execute("UPDATE outbox SET parked_at = NULL WHERE parked_at IS NOT NULL")
        await world.execute("SELECT pg_notify('outbox_doorbell', 'rescan')")
        await eventually(lambda: world.has_unpublished(0))
    messages = await world.everything_delivered()
    mine = [m for m in messages if m.headers["cloudEvents:subject"] == "big"]
    assert [message.headers["sequence"] for message in mine] == [1, 2, 3]


async def parked(world: World) -> list[tuple[object, ...]]:
    return await world.rows(
        "SELECT aggregate_id, sequence FROM outbox"
        " WHERE parked_at IS NOT NULL AND published_at IS NULL"
    )


async def test_a_blocked_broker_costs_no_lanes_and_no_events(
    world: World, rabbitmq: RabbitMQ
) -> None:
    relay = world.relay(confirm_timeout=4.0)
    async with running(relay):
        await world.emit(Happened("a"))
        await world.delivered(1)
        with memory_alarm(rabbitmq):
            await world.emit(Happened("a"), Happened("b"))
            await asyncio.sleep(8)
            assert len(relay.lanes) == 16
        await eventually(lambda: world.has_unpublished(0))
    [attempts] = await world.rows("SELECT sum(attempts) FROM outbox")
    assert attempts == (0,)


async def test_a_blocked_broker_stops_neither_figures_nor_schedule(
    world: World, rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    relay = world.relay(topology_check=0.2)
    async with running(relay):
        await world.emit(Happened("a"))
        await world.delivered(1, within=60)
        with memory_alarm(rabbitmq):
            # Figures are five seconds old at most: the broker is asked many times meanwhile.
            for number in range(1, 4):
                async with world.work.begin() as unit:
                    await unit.schedule(Happened("b"), key=str(number), at=datetime.now(UTC))
                await eventually(partial(waiting, number), within=60)
            assert len(relay.lanes) == 16
        await eventually(lambda: world.has_unpublished(0), within=60)
    assert "tries again" not in caplog.text


@pytest.mark.parametrize("body", [b"1", b'"%s"' % (b"x" * 1_000_000)], ids=["small", "large"])
async def test_a_relay_is_stopped_while_its_windows_are_blocked(
    world: World, rabbitmq: RabbitMQ, body: bytes
) -> None:
    stop = asyncio.Event()
    relay = world.relay(window=8, drain_within=2.0)
    running = asyncio.create_task(relay.run(stop))
    await eventually(lambda: world.has_owned_lanes(16), within=60)
    with memory_alarm(rabbitmq):
        for _ in range(10):
            await world.emit(*(Happened("a", body=body) for _ in range(4)))
        await eventually(lambda: waiting(40), within=60)
        stop.set()
        await asyncio.wait_for(running, 60)
        assert await world.has_owned_lanes(0)
    assert await world.unpublished() == 40


async def waiting(count: int) -> bool:
    return REGISTRY.get_sample_value("outbox_backlog_events", {"exchange": EXCHANGE}) == count


async def test_a_silent_broker_costs_the_lanes_until_it_speaks_again(
    world: World, victim: System
) -> None:
    relay = world.relay(confirm_timeout=0.5)
    async with running(relay):
        await world.emit(Happened("a"))
        await world.delivered(1)
        with frozen(victim):
            await world.emit(Happened("a"))
            await eventually(lambda: world.has_owned_lanes(0))
        await eventually(lambda: world.has_unpublished(0))


async def test_while_the_broker_owes_confirms_no_transaction_is_open_and_no_row_is_locked(
    world: World, victim: System
) -> None:
    relay = world.relay(confirm_timeout=60.0)  # the looks may take longer than the default
    async with running(relay):
        await world.emit(Happened("a"))
        await world.delivered(1)
        with frozen(victim):
            await world.emit(Happened("a"), Happened("b"))
            for _ in range(100):  # looks, with the events on their way
                assert await open_transactions(world) == []
                await asyncio.sleep(0.01)
            await world.execute("SELECT FROM outbox WHERE published_at IS NULL FOR UPDATE NOWAIT")
            assert await world.has_unpublished(2)
        await eventually(lambda: world.has_unpublished(0))
    [attempts] = await world.rows("SELECT sum(attempts) FROM outbox")
    assert attempts == (0,)


async def open_transactions(world: World) -> list[tuple[object, ...]]:
    """Those that wait for somebody, instead of for the end of their statement."""
    return await world.rows(
        "SELECT application_name, query FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in transaction%%'"
    )


async def test_without_a_doorbell_the_relay_polls_and_says_so_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "RECONNECT_AFTER", 60)
    async with running(world.relay(rescan_interval=3600.0)):
        await world.emit(Happened("a"))
        await world.delivered(1)
        for _ in range(2):
            await world.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'outbox listener'"
                " AND datname = current_database()"
            )
            await world.emit(Happened("a"))
            await world.delivered(1)
    assert caplog.text.count("notifications lost the database") == 1
