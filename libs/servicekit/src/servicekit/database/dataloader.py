"""Many reads at once become few statements.

Invariant: a value is read by a statement that began after `get` was called. Calls that come while
a statement runs are gathered for the next one, so thousands of calls at once cost a handful of
round trips and one connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

__all__ = ["DataLoader"]

LIMIT = 500

K = TypeVar("K")
V = TypeVar("V")


class DataLoader(Generic[K, V]):
    """Reads values by key. `read` returns the values it finds for the keys it is given."""

    def __init__(
        self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, limit: int = LIMIT
    ) -> None:
        self._read = read
        self._limit = limit
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """Return the value as it is now, or None if there is none. Raises what `read` raises."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[: self._limit]
            asked = {key: self._waiting.pop(key) for key in keys}
            try:
                found = await self._read(keys)
            except Exception as problem:
                for answer in _unanswered(asked.values()):
                    answer.set_exception(problem)
            else:
                for key, answers in asked.items():
                    for answer in _unanswered([answers]):
                        answer.set_result(found.get(key))


def _unanswered(asked: Iterable[list[asyncio.Future[V]]]) -> Iterator[asyncio.Future[V]]:
    """The calls that still wait; some may have been cancelled."""
    return (answer for answers in asked for answer in answers if not answer.done())
