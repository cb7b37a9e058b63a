"""Very many streams are redriven while others fail: healthy streams wait at most twice as long.

`CHAOS_PARKED` is the number of parked events, ten in each stream. The command is killed half-way,
and run again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos import broker_tampering, commands
from chaos.fleet import Fleet, Slot
from chaos.latency import effects_at_commit, latencies
from chaos.parked_backlog import park
from chaos.quiescence import settled
from chaos.scenario import KITCHEN, RAISES, Environment
from chaos.steady_load import SteadyLoad
from kit.waiting import eventually

PARKED = int(os.environ.get("CHAOS_PARKED") or 500)
FULL = 100_000
BEHIND = 10
RATE, FAILING = 50, 100
"""Healthy events a second; and of so many one is poisoned."""
QUIET_SECONDS = 5 if PARKED < FULL else 30
CONSUMERS = 2
TIMES = 2
NOTICEABLE = 5.0 if PARKED < FULL else 0.1
"""Seconds that the p99 may always have. A short run is over when both commands have started, and
other tests run beside it: there it shows only that healthy streams do not stand still."""

_LEFT = "SELECT count(*) FROM inbox_parked WHERE aggregate_id LIKE 'parked%'"
_REDRIVEN = "SELECT count(*) FROM inbox_parked WHERE next_attempt_at = '-infinity'"


@pytest.mark.timeout(3600)
async def test_a_bulk_redrive_keeps_order_and_leaves_healthy_streams_alone(
    environment: Environment, fleet: Fleet
) -> None:
    await asyncio.to_thread(park, environment, PARKED // BEHIND, BEHIND)
    effects_at_commit(environment)
    fleet.add("relay", "shop", 1)
    fleet.add("consumer", "kitchen", CONSUMERS, CHAOS_SILENT="yes")
    load = SteadyLoad(environment, rate=RATE, kind=lambda n: "" if n % FAILING else RAISES)
    async with load.running():
        await eventually(lambda: load.has_written(RATE))
        await eventually(lambda: _all_receive(environment))
        quiet, written = datetime.now(UTC), load.written
        await eventually(lambda: load.has_written(written + RATE * QUIET_SECONDS))
        began, before = datetime.now(UTC), [_memory(slot) for slot in fleet.of("consumer")]
        await _redrive_killed_half_way(environment)
        streams = await commands.redrive(environment, KITCHEN)
        await eventually(lambda: _is_done(environment), within=3000)
        ended, after = datetime.now(UTC), [_memory(slot) for slot in fleet.of("consumer")]
    [report, _] = await settled(environment)
    assert report.events == PARKED + load.written
    seconds = (ended - began).total_seconds()
    undisturbed = latencies(environment, aggregates="a%", since=quiet, until=began)
    disturbed = latencies(environment, aggregates="a%", since=began, until=ended)
    print(f"\n{PARKED} parked in {PARKED // BEHIND} streams, run again for {streams}", flush=True)
    print(f"{seconds:.1f} s, {PARKED / seconds:.0f} events/s; memory MiB {before} to {after}")
    print(f"healthy before: {undisturbed}\nmeanwhile:      {disturbed}", flush=True)
    allowed = max(TIMES * undisturbed.percentile(0.99), NOTICEABLE)
    assert disturbed.percentile(0.99) <= allowed


async def _all_receive(environment: Environment) -> bool:
    """Whether every consumer has begun, and nothing from before waits in the queue."""
    receiving = await broker_tampering.consumers(environment, KITCHEN) == CONSUMERS
    return receiving and await broker_tampering.is_empty(environment, KITCHEN)


async def _redrive_killed_half_way(environment: Environment) -> None:
    command = ("parked", "redrive", KITCHEN.queue, "--yes", "--database-url")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "outbox.cli", *command, environment.databases[KITCHEN.name]),
        stdout=asyncio.subprocess.DEVNULL,
    )
    await eventually(lambda: _has_begun(environment))
    process.kill()
    await process.wait()


async def _has_begun(environment: Environment) -> bool:
    return environment.count(KITCHEN, _REDRIVEN) > 0 or environment.count(KITCHEN, _LEFT) < PARKED


async def _is_done(environment: Environment) -> bool:
    return await asyncio.to_thread(environment.count, KITCHEN, _LEFT) == 0


def _memory(slot: Slot) -> int:
    """MiB that the process has in memory now."""
    assert slot.process is not None
    status = Path(f"/proc/{slot.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024
