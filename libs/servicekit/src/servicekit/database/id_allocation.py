"""Integer ids known before their row is written: drawn from a sequence in blocks.

An event carries the id of its thing, and both are written by one statement; so the id has to be
there first. A block costs a round trip, its ids cost none. What is left of a block when the process
ends is never used: ids have gaps, and are in no order between processes.
"""

import asyncio
from collections import deque

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["IdBlocks"]

_DRAW = text("SELECT nextval(CAST(:sequence AS regclass)) FROM generate_series(1, :count)")


class IdBlocks:
    """The ids of one sequence."""

    def __init__(self, engine: AsyncEngine, sequence: str, *, block: int = 20) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sequence = sequence
        self._block = block
        self._drawn: deque[int] = deque()
        self._drawing = asyncio.Lock()

    async def next(self) -> int:
        """An id that nobody else gets. Call it before a transaction: it may need a connection."""
        async with self._drawing:
            if not self._drawn:
                await self._draw()
            return self._drawn.popleft()

    async def _draw(self) -> None:
        async with self._engine.connect() as connection:
            wanted = {"sequence": self._sequence, "count": self._block}
            self._drawn.extend((await connection.execute(_DRAW, wanted)).scalars())
