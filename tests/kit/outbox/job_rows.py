"""Jobs as a test adds them and finds them again."""

from __future__ import annotations

from kit.outbox.world import World
from outbox import jobs


async def enqueue(world: World, *keys: str, kind: str = "pay") -> None:
    async with world.work.begin() as unit:
        for key in keys:
            await jobs.enqueue(unit, kind, key=key, payload={"order": key})


async def states(world: World, *expected: tuple[str, str]) -> bool:
    found = await world.rows("SELECT key, state FROM outbox_jobs ORDER BY key")
    return found == sorted(expected)
