"""Consumers are restarted one after the other under load: nothing comes twice, and how late it is.

`CHAOS_RESTARTS` is the number of restarts; every fifth is a SIGKILL.
"""

from __future__ import annotations

import os
import signal

import pytest

from chaos import broker_tampering
from chaos.fleet import Fleet
from chaos.latency import effects_at_commit, latencies
from chaos.quiescence import settled
from chaos.scenario import KITCHEN, Environment
from chaos.steady_load import SteadyLoad
from kit.waiting import eventually

RESTARTS = int(os.environ.get("CHAOS_RESTARTS") or 5)
RATE = 300
CONSUMERS = 3
EVERY_FIFTH = 5


@pytest.mark.timeout(900)
async def test_rolling_restarts_double_nothing_and_delay_little(
    environment: Environment, fleet: Fleet
) -> None:
    effects_at_commit(environment)
    fleet.add("relay", "shop", 2)
    fleet.add("consumer", "kitchen", CONSUMERS, CHAOS_SILENT="yes")
    await eventually(lambda: all_receive(environment))
    slots = fleet.of("consumer")
    async with SteadyLoad(environment, rate=RATE).running() as load:
        await eventually(lambda: load.has_written(2 * RATE))
        for number in range(1, RESTARTS + 1):
            how = signal.SIGTERM if number % EVERY_FIFTH else signal.SIGKILL
            await fleet.restart(slots[number % CONSUMERS], how)
            await eventually(lambda: all_receive(environment))
    report, _ = await settled(environment)
    assert report.events == load.written
    assert not report.waiting
    late = latencies(environment)
    print(f"\n{RESTARTS} restarts of {CONSUMERS} consumers at {RATE} events/s: {late}", flush=True)
    print(f"written {load.measured_rate:.0f} events/s, ends {dict(fleet.ends)}", flush=True)


async def all_receive(environment: Environment) -> bool:
    return await broker_tampering.consumers(environment, KITCHEN) == CONSUMERS
