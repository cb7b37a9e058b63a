"""Waiting until nothing is under way any more and the checker finds nothing wrong."""

from __future__ import annotations

import asyncio
import time

from chaos.checker import Report, examine
from chaos.scenario import KITCHEN, SHOP, Environment

UNSETTLED = """
SELECT (SELECT count(*) FROM outbox_scheduled)
     + (SELECT count(*) FROM outbox WHERE published_at IS NULL)
"""


async def settled(environment: Environment, *, within: float = 90) -> tuple[Report, Report]:
    """The reports on kitchen and shop, once nothing is wrong; AssertionError after `within`."""
    until = time.monotonic() + within
    while True:
        waits = await asyncio.to_thread(_unsettled, environment)
        found = [await asyncio.to_thread(examine, environment, side) for side in (KITCHEN, SHOP)]
        wrong = {side: v.wrong for side, v in zip(("kitchen", "shop"), found, strict=True)}
        for report in found:
            assert not report.beyond_repair, wrong
        if not any(wrong.values()) and not waits:
            return found[0], found[1]
        assert time.monotonic() < until, f"{waits} on their way to the broker; {wrong}"
        await asyncio.sleep(0.2)


def _unsettled(environment: Environment) -> int:
    count = 0
    for side in (SHOP, KITCHEN):
        with environment.connect(side) as connection:
            count += sum(int(str(n)) for (n,) in connection.execute(UNSETTLED).fetchall())
    return count
