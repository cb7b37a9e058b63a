"""Pauses of queues and of event types, each ended after a moment while other faults go on.

A pause ends by a command or by itself, whichever comes first. Now and then a command is killed.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from chaos import commands
from chaos.commands import Target
from chaos.scenario import SIDES, Environment

LONGEST = 8
"""Seconds after which a pause ends by itself."""
PATIENCE = 120.0
"""Seconds for a command that is not killed."""


@dataclass
class Pauses:
    """`begun` counts those of which the command said that they hold."""

    environment: Environment
    rng: random.Random
    begun: int = 0
    _ends: list[asyncio.Task[bool]] = field(default_factory=list)

    async def begin(self, target: Target) -> None:
        """Pause now, and resume later."""
        lasts = str(self.rng.randint(1, LONGEST)) + "s"
        # Of the type nothing may have been parked yet, so that the database does not know it.
        words = ("pause", *target.words, "--for", lasts, "--why", "chaos", "--unknown")
        killed_after, seconds = self._killed_after(), self.rng.uniform(0.5, LONGEST / 2)
        self.begun += await commands.attempt(
            self.environment, target.side, *words, killed_after=killed_after
        )
        resume = self._resume(target, seconds, self._killed_after())
        self._ends.append(asyncio.create_task(resume))

    async def end(self) -> None:
        """Resume everything, also what a killed command has left paused."""
        await asyncio.gather(*self._ends)
        self._ends.clear()
        for side in SIDES.values():
            for target in await commands.paused(self.environment, side):
                # It may have ended by itself since.
                await commands.resume(self.environment, target)
            assert not await commands.paused(self.environment, side)

    async def _resume(self, target: Target, seconds: float, killed_after: float) -> bool:
        """The command may also fail: its database may be killed meanwhile."""
        await asyncio.sleep(seconds)
        words = ("resume", *target.words)
        return await commands.attempt(
            self.environment, target.side, *words, killed_after=killed_after
        )

    def _killed_after(self) -> float:
        """One command in five is killed soon: before, during or after what it does."""
        soon = self.rng.uniform(0, 1.5)
        return soon if self.rng.random() < 0.2 else PATIENCE
