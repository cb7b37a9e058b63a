"""Large bodies are read one after the other and together take a fifth of the loop's time at most.

Reading is work in one piece, some milliseconds for a megabyte: a few callers who send nothing else
would have everybody else wait for all of them at each step of a request.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from servicekit import json_body

__all__ = ["LargeBodies"]

LARGE = 16 * 1024
REST = 4.0


class LargeBodies:
    """The turns of one application: a body that is large waits for its own, any other does not."""

    def __init__(self, parse: Callable[[bytes], Any] = json_body.parse) -> None:
        self._parse = parse
        self._turn = asyncio.Lock()

    async def parse(self, body: bytes) -> Any:
        """Return the body's value; raise what `json_body.parse` raises."""
        if len(body) <= LARGE:
            return self._parse(body)
        async with self._turn:
            began = time.perf_counter()
            try:
                return self._parse(body)
            finally:
                await asyncio.sleep(REST * (time.perf_counter() - began))
