"""The broker loses all its data during a run; every effect comes all the same, once."""

from __future__ import annotations

import asyncio
import random

import pytest

from chaos import broker_tampering, commands
from chaos.fleet import Fleet
from chaos.quiescence import settled
from chaos.scenario import KITCHEN, SHOP, Environment
from chaos.workload import Workload
from devstack.native.system import System
from kit.servers.broker_losses import BrokerLosses
from kit.waiting import eventually


@pytest.mark.timeout(180)
async def test_what_a_wiped_broker_had_comes_back_and_every_effect_comes_once(
    machines: System, environment: Environment, fleet: Fleet
) -> None:
    for side in (SHOP, KITCHEN):
        fleet.add("relay", side.name, 2)
        fleet.add("consumer", side.name, 2)
    stop = asyncio.Event()
    writing = asyncio.create_task(Workload(random.Random(1)).write(environment, stop))
    await eventually(lambda: applied(environment, 100))
    consumers = fleet.of("consumer", "kitchen")
    await fleet.keep_down(consumers)
    await eventually(lambda: queued(environment, 50))
    await asyncio.to_thread(BrokerLosses(machines).wipe)
    fleet.release(consumers)
    await eventually(lambda: applied(environment, 150))
    stop.set()
    await writing

    for report in await settled(environment):
        assert not report.waiting
        assert report.events > 150
    for side in (SHOP, KITCHEN):
        assert not await commands.missing_events(environment, side)


async def applied(environment: Environment, count: int) -> bool:
    return environment.count(SHOP, "SELECT count(*) FROM effects") >= count


async def queued(environment: Environment, count: int) -> bool:
    return await broker_tampering.messages(environment, KITCHEN) >= count
