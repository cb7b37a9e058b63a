"""A server that answers slowly: a TCP proxy that holds certain answers back for a while."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from kit.servers.tcp_proxy import tcp_proxy


class Delays:
    """Of each connection, what comes back waits for `by` seconds at the bytes `of`."""

    def __init__(self, host: str, port: int, *, of: bytes, by: float) -> None:
        self._target = (host, port)
        self._of = of
        self._by = by

    def serving(self) -> AbstractAsyncContextManager[int]:
        """Give the port to connect to."""
        return tcp_proxy(*self._target, self._pass_on)

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        if is_answer and self._of in data:
            at = data.index(self._of)
            writer.write(data[:at])
            await asyncio.sleep(self._by)
            data = data[at:]
        writer.write(data)
