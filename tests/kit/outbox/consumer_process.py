"""A consumer in a process of its own, for tests that kill it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from kit.outbox.world import World

TESTS = Path(__file__).parents[2]


async def start(
    world: World, stderr: int = asyncio.subprocess.DEVNULL, /, **environment: str
) -> asyncio.subprocess.Process:
    """Start it on the world's queue; `environment` is read by `processes/consumer.py`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(TESTS / "kit/outbox/processes/consumer.py"),
        world.database_url,
        world.broker_url,
        env={**os.environ, "PYTHONPATH": str(TESTS), **environment},
        stderr=stderr,
    )
