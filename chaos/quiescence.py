"""Waiting until nothing is under way any more and the checker finds nothing wrong."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from chaos.checker import Report, examine
from chaos.scenario import KITCHEN, SHOP, Environment, Side

UNSETTLED = """
SELECT (SELECT count(*) FROM outbox_scheduled)
     + (SELECT count(*) FROM outbox WHERE published_at IS NULL)
"""
HEADS = """
SELECT p.aggregate_id, p.sequence, p.reason, p.attempts, p.next_attempt_at, p.last_error,
       i.last_sequence, i.blocked, i.parked, a.attempts AS crashes
  FROM inbox i JOIN inbox_parked p USING (consumer, source, aggregate_type, aggregate_id)
  LEFT JOIN inbox_attempts a USING (consumer, source, aggregate_type, aggregate_id, sequence)
 WHERE p.sequence <= i.last_sequence + 1
"""
"""What waits first in each stream, for the message of a run that is stuck."""

STILL = 60.0
"""Seconds without progress after which something is stuck."""


class Progress:
    """Whether a run comes nearer to its end. How long all of it takes depends on the machine.

    Both figures count only when they are better than ever before: an event that goes back and
    forth is stuck.
    """

    def __init__(self, still: float = STILL, clock: Callable[[], float] = time.monotonic) -> None:
        self._still = still
        self._clock = clock
        self._moved_at = clock()
        self._most_applied, self._least_left = -1.0, math.inf

    def is_made(self, *, applied: int, left: int) -> bool:
        """False once nothing has moved for too long: more effects, or less that is left to do."""
        if applied > self._most_applied or left < self._least_left:
            self._moved_at = self._clock()
        self._most_applied = max(applied, self._most_applied)
        self._least_left = min(left, self._least_left)
        return self._clock() - self._moved_at < self._still

    def is_made_by(self, reports: Sequence[Report], *, on_their_way: int = 0) -> bool:
        """The same by what the checker has found."""
        wrong = sum(len(tokens) for report in reports for tokens in report.wrong.values())
        applied = sum(report.applied for report in reports)
        return self.is_made(applied=applied, left=on_their_way + wrong)


async def settled(environment: Environment, *, still: float = STILL) -> tuple[Report, Report]:
    """The reports on kitchen and shop, once nothing is wrong.

    AssertionError when something is that waiting cannot mend, or nothing has moved for `still`
    seconds.
    """
    progress = Progress(still)
    while True:
        waits = await asyncio.to_thread(_unsettled, environment)
        found = [await asyncio.to_thread(examine, environment, side) for side in (KITCHEN, SHOP)]
        wrong = {side: v.wrong for side, v in zip(("kitchen", "shop"), found, strict=True)}
        for report in found:
            assert not report.beyond_repair, wrong
        if not any(wrong.values()) and not waits:
            return found[0], found[1]
        moves = progress.is_made_by(found, on_their_way=waits)
        if not moves:
            heads = [await asyncio.to_thread(_heads, environment, side) for side in (KITCHEN, SHOP)]
            raise AssertionError(
                f"nothing moves: {waits} on their way to the broker; {wrong}; first: {heads}"
            )
        await asyncio.sleep(0.2)


def _heads(environment: Environment, side: Side) -> list[str]:
    with environment.connect(side) as connection:
        return [str(row) for row in connection.execute(HEADS).fetchall()]


def _unsettled(environment: Environment) -> int:
    count = 0
    for side in (SHOP, KITCHEN):
        with environment.connect(side) as connection:
            count += sum(int(str(n)) for (n,) in connection.execute(UNSETTLED).fetchall())
    return count
