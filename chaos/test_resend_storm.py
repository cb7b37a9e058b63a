"""Very many events are lost and come back by themselves: other streams wait at most twice as long.

`CHAOS_LOST` is the number of lost events, ten in each stream. They count as published, and no
message of them exists. No command is typed.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime

import pytest

from chaos import broker_tampering
from chaos.fleet import Fleet
from chaos.latency import effects_at_commit, latencies
from chaos.parked_backlog import write_published
from chaos.quiescence import settled
from chaos.scenario import KITCHEN, SHOP, Environment
from chaos.steady_load import SteadyLoad
from kit.waiting import eventually

LOST = int(os.environ.get("CHAOS_LOST") or 300)
FULL = 20_000
OF_EACH = 10
RATE = 50
"""Other events a second."""
QUIET_SECONDS = 5 if LOST < FULL else 30
TIMES = 2
NOTICEABLE = 5.0 if LOST < FULL else 0.1
"""Seconds that the p99 may always have; a short run shows that other streams do not stand still."""

_APPLIED = "SELECT count(*) FROM effects WHERE aggregate_id LIKE 'lost%'"


@pytest.mark.timeout(3600)
async def test_a_storm_of_lost_events_comes_back_in_order_and_leaves_other_streams_alone(
    environment: Environment, fleet: Fleet
) -> None:
    effects_at_commit(environment)
    for side in (SHOP, KITCHEN):
        fleet.add("relay", side.name, 1)
        fleet.add("consumer", side.name, 1, CHAOS_SILENT="yes")
    load = SteadyLoad(environment, rate=RATE)
    async with load.running():
        await eventually(lambda: load.has_written(RATE))
        await eventually(lambda: broker_tampering.is_empty(environment, KITCHEN))
        quiet, written = datetime.now(UTC), load.written
        await eventually(lambda: load.has_written(written + RATE * QUIET_SECONDS))
        calm_ended = datetime.now(UTC)
        await asyncio.to_thread(_lose, environment)
        began = datetime.now(UTC)
        await eventually(lambda: _is_back(environment), within=3000)
        ended = datetime.now(UTC)
    [report, _] = await settled(environment)
    assert report.events == LOST + load.written
    seconds = (ended - began).total_seconds()
    undisturbed = latencies(environment, aggregates="a%", since=quiet, until=calm_ended)
    disturbed = latencies(environment, aggregates="a%", since=began, until=ended)
    print(
        f"\n{LOST} lost events are back after {seconds:.1f} s, {LOST / seconds:.0f}/s", flush=True
    )
    print(f"others before: {undisturbed}\nmeanwhile:     {disturbed}", flush=True)
    allowed = max(TIMES * undisturbed.percentile(0.99), NOTICEABLE)
    assert disturbed.percentile(0.99) <= allowed


def _lose(environment: Environment) -> None:
    with environment.connect(SHOP) as connection:
        write_published(connection, "lost", LOST // OF_EACH, OF_EACH)


async def _is_back(environment: Environment) -> bool:
    return await asyncio.to_thread(environment.count, KITCHEN, _APPLIED) == LOST
