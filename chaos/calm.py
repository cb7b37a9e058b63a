"""Waiting until all is as it should be, and what it is when it never is."""

from __future__ import annotations

import asyncio
import time

from chaos.checker import Verdict, examine
from chaos.sides import KITCHEN, SHOP, Place

UNSETTLED = """
SELECT (SELECT count(*) FROM outbox_scheduled)
     + (SELECT count(*) FROM outbox WHERE published_at IS NULL)
"""


async def settled(place: Place, *, within: float = 90) -> tuple[Verdict, Verdict]:
    """What the kitchen took and what the shop took, once nothing is wrong; else AssertionError."""
    until = time.monotonic() + within
    while True:
        waits = await asyncio.to_thread(_unsettled, place)
        found = [await asyncio.to_thread(examine, place, side) for side in (KITCHEN, SHOP)]
        wrong = {side: v.wrong for side, v in zip(("kitchen", "shop"), found, strict=True)}
        for verdict in found:
            assert not verdict.beyond_repair, wrong
        if not any(wrong.values()) and not waits:
            return found[0], found[1]
        assert time.monotonic() < until, f"{waits} on their way to the broker; {wrong}"
        await asyncio.sleep(0.2)


def _unsettled(place: Place) -> int:
    count = 0
    for side in (SHOP, KITCHEN):
        with place.connect(side) as connection:
            count += sum(int(str(n)) for (n,) in connection.execute(UNSETTLED).fetchall())
    return count
