"""Alarms of the producer's side: each fires by its cause."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from kit.alarms import Alarms
from kit.outbox.topology import AUDITED
from kit.outbox.world import EXCHANGE, QUEUE, Happened, World, running
from kit.servers import addresses
from kit.servers.tcp_proxy import tcp_proxy
from kit.waiting import eventually
from outbox import Maintenance
from outbox.operations.controls import OfRelay, pause

STRAY = Happened("s", type="stray.happened", aggregate_type="stray")


async def pass_on(data: bytes, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
    del is_answer
    writer.write(data)


async def test_a_relay_without_a_broker_is_no_relay(world: World, alarms: Alarms) -> None:
    url = urlsplit(world.broker_url)
    assert url.hostname
    assert url.port
    async with AsyncExitStack() as broker:
        port = await broker.enter_async_context(tcp_proxy(url.hostname, url.port, pass_on))
        netloc = f"{url.username}:{url.password}@127.0.0.1:{port}"
        through = replace(world, broker_url=urlunsplit(url._replace(netloc=netloc)))
        async with running(through.relay()):
            await eventually(lambda: world.has_owned_lanes(16))
            async with alarms.fired_by("NoRelay", exchange=EXCHANGE):
                await broker.aclose()


async def test_a_paused_relay_falls_behind_and_its_pause_is_forgotten(
    world: World, alarms: Alarms
) -> None:
    paused = f'outbox_control_rate{{target="{EXCHANGE}"}} == 0'
    async with (
        running(world.relay()),
        alarms.fired_by("OutboxIsBehind", exchange=EXCHANGE),
        alarms.fired_by("ControlIsForgotten", target=EXCHANGE),
        await world.psycopg() as operator,
    ):
        await pause(operator, OfRelay(EXCHANGE), by="ann", why="a new broker")
        await eventually(lambda: alarms.has_read(paused))
        await world.emit(Happened("a"))
        await world.execute("UPDATE outbox SET created_at = now() - interval '61 s'")


async def test_a_type_without_a_queue_is_returned_and_its_aggregate_backed_off(
    world: World, alarms: Alarms
) -> None:
    async with (
        running(world.relay()),
        alarms.fired_by("AggregatesAreBackedOff", exchange=EXCHANGE),
        alarms.fired_by("EventsAreReturned"),
    ):
        await world.emit(STRAY)


async def test_a_full_queue_that_refuses_does_not_confirm(world: World, alarms: Alarms) -> None:
    vhost = quote(urlsplit(world.broker_url).path[1:], safe="")
    policy = {
        "pattern": f"^{QUEUE}$",
        "definition": {"max-length": 1, "overflow": "reject-publish"},
        "apply-to": "queues",
    }
    async with (
        httpx.AsyncClient(base_url=addresses.rabbitmq_management(), timeout=30) as api,
        running(world.relay()),
        alarms.fired_by("BrokerDoesNotConfirm"),
    ):
        (await api.put(f"/api/policies/{vhost}/full", json=policy)).raise_for_status()
        # A quorum queue notices only afterwards that it is full.
        await world.emit(*(Happened("a", number) for number in range(50)))
        await eventually(lambda: world.has_unpublished(0))
        await world.emit(Happened("b"))


async def unbind(world: World) -> None:
    async with world.broker(declare=False) as channel:
        await (await channel.get_queue(QUEUE, ensure=False)).unbind(EXCHANGE, "order.#")


async def test_an_event_that_missed_its_queue_is_reported(world: World, alarms: Alarms) -> None:
    world.topology = AUDITED
    async with running(world.relay(topology_check=300)):
        await eventually(lambda: world.has_owned_lanes(16))
        async with alarms.fired_by("EventsMissedTheirQueue", exchange=EXCHANGE):
            await unbind(world)
            await world.emit(Happened("a"))
        await world.delivered(1, declare=False)


async def test_a_queue_with_other_arguments_is_refused_and_stays_unbound(
    world: World, alarms: Alarms
) -> None:
    world.topology = AUDITED
    async with running(world.relay(topology_check=0.5)):
        await eventually(lambda: world.has_owned_lanes(16))
        async with (
            alarms.fired_by("TopologyIsRefused", part=f"queue {QUEUE}"),
            alarms.fired_by("QueueIsUnbound", exchange=EXCHANGE),
            world.broker(declare=False) as channel,
        ):
            await channel.queue_delete(QUEUE)
            await channel.declare_queue(QUEUE, durable=True)
            await world.emit(Happened("a"))


async def test_days_that_cannot_be_made_run_out(world: World, alarms: Alarms) -> None:
    """A partition over many days leaves no room for single ones."""
    [(today,)] = await world.rows("SELECT (now() AT TIME ZONE 'UTC')::date")
    ahead = [today + timedelta(days=number) for number in range(2, 15)]
    for day in ahead:
        await world.execute(f"DROP TABLE IF EXISTS outbox_p{day:%Y%m%d}")
    await world.execute(
        "CREATE TABLE outbox_later PARTITION OF outbox"
        f" FOR VALUES FROM ('{ahead[0]} 00:00Z') TO ('{ahead[-1]} 00:00Z')"
    )
    async with running(Maintenance(world.engine)):
        await eventually(lambda: alarms.fires("FewPartitionsAhead", table="outbox"), within=30)
