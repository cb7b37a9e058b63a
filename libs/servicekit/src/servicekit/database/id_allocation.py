"""Integer ids that are known before their row is written, drawn from a sequence in blocks.

An event carries the id of its aggregate, and one statement writes both, so the id has to be known
first. A block costs one round trip, its ids cost none. A process that ends leaves the rest of its
block unused: ids have gaps, and are in no order between processes. See decision 0605.
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
        """Return an id that no other call gets.

        Call it before a transaction begins: it may need a connection itself.
        """
        async with self._drawing:
            if not self._drawn:
                await self._draw()
            return self._drawn.popleft()

    async def _draw(self) -> None:
        async with self._engine.connect() as connection:
            wanted = {"sequence": self._sequence, "count": self._block}
            self._drawn.extend((await connection.execute(_DRAW, wanted)).scalars())
