"""A caller who takes nothing of the answer is hung up on; the server's own would wait for ever.

What is looked at is all that was not taken, the kernel's part too: it asks for more only when a
third of its buffer, which may be megabytes, is free again.
"""

import asyncio
import fcntl
import socket
import struct
import termios

__all__ = ["WriteWatch"]

# Several, so that a process that stood still has not had its callers wait for it.
LOOKS = 4


class WriteWatch:
    """Watches one connection while something is to be sent. `patience`: seconds of no progress."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._every = patience / LOOKS
        self._left = 0
        self._in_vain = 0
        self._next: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """From now on until all is sent; called whenever something may have stayed behind."""
        if self._next is None and self._transport.get_write_buffer_size():
            self._left, self._in_vain = self._unsent(), 0
            self._next = self._loop.call_later(self._every, self._look)

    def end(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        if not self._transport.get_write_buffer_size():
            return
        left = self._unsent()
        self._in_vain = self._in_vain + 1 if left == self._left else 0
        self._left = left
        if self._in_vain < LOOKS:
            self._next = self._loop.call_later(self._every, self._look)
        else:
            self._transport.abort()

    def _unsent(self) -> int:
        connected: socket.socket = self._transport.get_extra_info("socket")
        try:
            # What was not acknowledged (Linux, tcp(7), SIOCOUTQ).
            (queued,) = struct.unpack(
                "i", fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, b"0000")
            )
        except OSError:
            queued = 0
        return self._transport.get_write_buffer_size() + int(queued)
