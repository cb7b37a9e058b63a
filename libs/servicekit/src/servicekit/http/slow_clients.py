"""A client that reads nothing of its answer is disconnected; the server itself would wait for ever.

All unsent bytes count, the kernel's too: it asks for more only when a third of its buffer, which
may be megabytes, is free again. See decision 0853.
"""

import asyncio
import fcntl
import socket
import struct
import termios

__all__ = ["WriteWatch"]

# Several, so that a process which stood still for a moment disconnects no client.
CHECKS = 4


class WriteWatch:
    """Watches one connection while it has unsent bytes, for `patience` seconds without progress."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._every = patience / CHECKS
        self._left = 0
        self._without_progress = 0
        self._next: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Begin to watch, until all is sent. Call it whenever bytes may be unsent."""
        if self._next is None and self._transport.get_write_buffer_size():
            self._left, self._without_progress = self._unsent(), 0
            self._next = self._loop.call_later(self._every, self._check)

    def end(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _check(self) -> None:
        self._next = None
        if not self._transport.get_write_buffer_size():
            return
        left = self._unsent()
        self._without_progress = self._without_progress + 1 if left == self._left else 0
        self._left = left
        if self._without_progress < CHECKS:
            self._next = self._loop.call_later(self._every, self._check)
        else:
            self._transport.abort()

    def _unsent(self) -> int:
        connected: socket.socket = self._transport.get_extra_info("socket")
        try:
            # Bytes that the client has not acknowledged (Linux, tcp(7), SIOCOUTQ).
            (queued,) = struct.unpack(
                "i", fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, b"0000")
            )
        except OSError:
            queued = 0
        return self._transport.get_write_buffer_size() + int(queued)
