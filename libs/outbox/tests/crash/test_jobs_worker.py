"""Job workers that are killed, or stand still for longer than their lease."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from kit.outbox.job_rows import enqueue, states
from kit.outbox.world import World
from kit.waiting import eventually

TESTS = Path(__file__).parents[4] / "tests"


async def test_a_handler_that_blocks_its_loop_for_longer_than_the_lease_is_called_a_few_times(
    world: World,
) -> None:
    await world.execute("CREATE TABLE calls (key text)")
    await enqueue(world, "a")
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "APP_ENV": "test", "BLOCKED": "3"}
    command = [sys.executable, str(TESTS / "kit/outbox/processes/jobs.py"), world.database_url]
    workers = [await asyncio.create_subprocess_exec(*command, env=environment) for _ in "ab"]
    try:
        await eventually(lambda: states(world, ("a", "done")))
    finally:
        for process in workers:
            process.kill()
            await process.wait()
    assert await world.rows("SELECT count(*) FROM outbox") == [(1,)]
    [(calls,)] = await world.rows("SELECT count(*) FROM calls")
    assert isinstance(calls, int)
    assert calls <= 3


@pytest.mark.parametrize("step", ["claimed", "called", "committed"])
async def test_a_killed_worker_is_followed_by_another_with_the_same_key(
    world: World, step: str
) -> None:
    await world.execute("CREATE TABLE calls (key text)")
    await enqueue(world, "a")
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "APP_ENV": "test"}
    command = [sys.executable, str(TESTS / "kit/outbox/processes/jobs.py"), world.database_url]
    killed = await asyncio.create_subprocess_exec(
        *command, env={**environment, "OUTBOX_FAILPOINT": f"job.{step}"}
    )
    async with asyncio.timeout(60):
        assert await killed.wait() == -signal.SIGKILL
    other = await asyncio.create_subprocess_exec(*command, env={**environment, "LEASE": "30"})
    await eventually(lambda: states(world, ("a", "done")))
    other.kill()
    await other.wait()
    assert await world.rows("SELECT count(*) FROM outbox") == [(1,)]
    called = await world.rows("SELECT key FROM calls")
    assert called == [("pay:a",)] * (2 if step == "called" else 1)
