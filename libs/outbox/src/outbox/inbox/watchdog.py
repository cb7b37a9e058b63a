"""Ends a process whose handler hangs; its supervisor starts it again.

It is a thread, because a handler that blocks the event loop stops all of its tasks. It counts its
own checks, not seconds: when the whole process was stopped, its handler could not go on either.
A handler that only waits is cancelled by its time limit long before (`outbox.inbox.time_limit`).
The event is delivered again and counted like any other crash: the third time it is parked as
`crashed`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from outbox.inbox.middleware import Handling, Proceed
from outbox.tracebacks import stacks

logger = logging.getLogger(__name__)

EXIT_STATUS = 70
"""EX_SOFTWARE of sysexits.h."""
CHECKS = 8
"""How often it checks within the limit."""


def _end(_what: str) -> None:
    logging.shutdown()
    os._exit(EXIT_STATUS)


class Watchdog:
    """Knows what is being handled since when. `end` is called once, with what hangs.

    Before that it logs the stacks of all threads, and of the tasks of the loop that it watches.
    """

    def __init__(self, limit: float, end: Callable[[str], None] = _end) -> None:
        self.limit = limit
        self._end = end
        self._since: dict[int, tuple[int, object]] = {}
        self._checks = 0
        self._next = 0
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, what: object) -> int:
        """Something begins; pass the number returned to `done`."""
        self._next += 1
        self._since[self._next] = (self._checks, what)
        return self._next

    def done(self, number: int) -> None:
        """It has ended, well or not."""
        self._since.pop(number, None)

    @contextmanager
    def over(self, what: object) -> Iterator[None]:
        """Something begins, and ends with the block."""
        number = self.start(what)
        try:
            yield
        finally:
            self.done(number)

    async def watch(self, handling: Handling, proceed: Proceed) -> None:
        """Middleware: the call of a handler."""
        number = self.start(handling.events[0])
        try:
            await proceed(handling)
        finally:
            self.done(number)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for the length of the block."""
        self._closing.clear()
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._watch, name="handler watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(self.limit / CHECKS):
            self._checks += 1
            for since, what in list(self._since.values()):
                if self._checks - since > CHECKS:
                    where = stacks(self._loop)
                    logger.critical("hangs for %g s, process ends: %s\n%s", self.limit, what, where)
                    self._end(str(what))
                    return
