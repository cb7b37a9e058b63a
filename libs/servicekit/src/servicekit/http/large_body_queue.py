"""Large bodies are parsed one after the other, in a fifth of the event loop's time at most.

Parsing cannot be interrupted, and takes some milliseconds for a megabyte or for thousands of
values: a few callers who send nothing else would delay every step of every other request. Few
bodies wait in the queue, and not for long; others are refused with 503. See decision 1241.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import ClientDisconnect

from servicekit.http import strict_json
from servicekit.http.problems import Overloaded

__all__ = ["LARGE", "LargeBodyQueue"]

LARGE = 16 * 1024
"""Bytes up to which a body is small, if it does not have many values."""
MANY = 500
WAITING = 16
PATIENCE = 5.0
REST = 4.0


class LargeBodyQueue:
    """The queue of one application. A body that is large waits in it, any other does not.

    A body of many values is large too. One waits `patience` seconds at most.
    """

    def __init__(
        self, parse: Callable[[bytes], Any] = strict_json.parse, patience: float = PATIENCE
    ) -> None:
        self._parse = parse
        self._patience = patience
        self._turn = asyncio.Lock()
        self.waiting = 0
        """How many bodies wait now."""

    async def parse(self, body: bytes, is_gone: Callable[[], Awaitable[bool]]) -> Any:
        """Return the body's value; raise what `strict_json.parse` raises.

        Raises Overloaded if too many wait already or its turn does not come in time, and
        ClientDisconnect if the caller has gone by then.
        """
        if len(body) <= LARGE and strict_json.signs(body) <= MANY:
            return self._parse(body)
        async with self._one_at_a_time():
            if await is_gone():
                raise ClientDisconnect
            began = time.perf_counter()
            try:
                return self._parse(body)
            finally:
                await asyncio.sleep(REST * (time.perf_counter() - began))

    @asynccontextmanager
    async def _one_at_a_time(self) -> AsyncIterator[None]:
        await self._wait()
        try:
            yield
        finally:
            self._turn.release()

    async def _wait(self) -> None:
        if self.waiting >= WAITING:
            raise Overloaded
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._turn.acquire()
        except TimeoutError:
            raise Overloaded from None
        finally:
            self.waiting -= 1
