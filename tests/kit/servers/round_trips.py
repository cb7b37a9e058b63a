"""How often a client waits for its server: a TCP proxy that counts turns of the conversation."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from kit.servers.tcp_proxy import tcp_proxy


class RoundTrips:
    """`count` is how often the server has answered after something was sent, on any connection."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._asked = False
        self.count = 0

    def serving(self) -> AbstractAsyncContextManager[int]:
        """Give the port to connect to."""
        return tcp_proxy(*self._target, self._pass_on)

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        self.count += self._asked and is_answer
        self._asked = not is_answer
        writer.write(data)
