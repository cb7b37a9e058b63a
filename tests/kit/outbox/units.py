"""Units of work that only write, begun side by side, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from kit.outbox.world import Happened, World
from outbox import Work

EFFECT = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, %(number)s)"


async def write(work: Work, id_: str, number: int = 1, statement: str = EFFECT) -> None:
    async with work.begin() as unit:
        await unit.send(statement, {"id": id_, "number": number})
        await unit.emit(Happened(id_, number))


async def outcomes(*writes: Awaitable[None]) -> list[BaseException | None]:
    return list(await asyncio.gather(*writes, return_exceptions=True))


async def written(world: World) -> dict[str, int]:
    rows = await world.rows("SELECT aggregate_id, count(*) FROM effects GROUP BY 1")
    return dict(rows)


async def emitted(world: World) -> list[tuple[str, int, int]]:
    """Aggregate, sequence and number of each event, in the order of ids."""
    return await world.rows(
        "SELECT aggregate_id, sequence, (payload->>'number')::int FROM outbox ORDER BY id"
    )
