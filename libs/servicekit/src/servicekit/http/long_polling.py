"""`?wait=`: a request sleeps until what it asks for is settled; NOTIFY wakes it.

Invariants. A process has one LISTEN connection, whatever the number of waiters. No wake-up is
lost: a request subscribes, then reads, then waits. It reads again after every signal, at the
deadline, and after every (re)connect of the LISTEN connection, which signals all. When the process
stops, waiters return what they read last.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Self, TypeVar

import structlog

from outbox.delays import ReconnectDelay
from outbox.postgres.listener import Listener
from outbox.supervise import outlive
from servicekit.database.engine import connect
from servicekit.process.urls import PostgresUrl

__all__ = ["NotListening", "Signal", "Waiters"]

SLOWEST_RETRY = 5.0
REREADS_PER_SECOND = 1000

T = TypeVar("T")

logger = structlog.get_logger(__name__)


class NotListening(Exception):
    """Waiting requests are answered at their deadline, not as soon as something has settled."""


class Signal:
    """Tells a waiter to read again; it is cleared before each read."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    async def wait(self, seconds: float) -> bool:
        """Return True when signalled, False when `seconds` are over."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Waiters:
    """The waiting requests of one process. `async with Waiters(…)` listens in the background.

    `channel` carries JSON lists of the keys (strings) that have settled. The database may come and
    go: listening resumes by itself.
    """

    def __init__(self, url: PostgresUrl, channel: str, *, stop: asyncio.Event) -> None:
        self._url = url
        self._channel = channel
        self._stop = stop
        self._signals: dict[str, set[Signal]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._delay = ReconnectDelay(SLOWEST_RETRY)
        self.listening = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(
                outlive(self._listen, self._lost, self._stop, self._delay.after_failure)
            ),
            asyncio.create_task(self._release_at_stop()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def check(self) -> None:
        """For `Health`: return while notifications are heard, raise NotListening if not."""
        if not self.listening.is_set():
            raise NotListening

    async def until_settled(
        self,
        key: str,
        read: Callable[[], Awaitable[T]],
        settled: Callable[[T], bool],
        seconds: float,
    ) -> T:
        """Return what `read` returns, once it is `settled` or after `seconds`.

        Whatever `read` raises is raised; no transaction or connection is held while waiting.
        """
        if seconds <= 0:
            return await read()
        deadline = asyncio.get_running_loop().time() + seconds
        with self.subscribed(key) as signal:
            while True:
                signal.clear()
                value = await read()
                remaining = deadline - asyncio.get_running_loop().time()
                if settled(value) or remaining <= 0 or self._stop.is_set():
                    return value
                await signal.wait(remaining)
                if self._stop.is_set():
                    return value

    @contextlib.contextmanager
    def subscribed(self, key: str) -> Iterator[Signal]:
        """Hear of `key` from here on. Read only after this, so that no change is missed."""
        signal = Signal()
        signals = self._signals.setdefault(key, set())
        signals.add(signal)
        try:
            yield signal
        finally:
            signals.discard(signal)
            if not signals and self._signals.get(key) is signals:
                del self._signals[key]

    async def _release_at_stop(self) -> None:
        await self._stop.wait()
        # A request that subscribes from here on sees `stop` itself.
        for signal in self._all():
            signal.set()

    async def _listen(self) -> None:
        async with await connect(self._url, application_name="waiters") as connection:
            listener = await Listener.over(connection, self._channel)
            if self._delay.failures:
                logger.info("listening_again", channel=self._channel)
            self._delay.reset()
            self.listening.set()
            try:
                self._reread_all()
                async for payload in listener.payloads():
                    self._settled(payload)
            finally:
                self.listening.clear()

    def _settled(self, payload: str) -> None:
        for key in keys_of(payload):
            for signal in self._signals.get(key, ()):
                signal.set()

    def _lost(self, error: Exception) -> None:
        if not self._delay.failures:
            logger.warning("listening_lost", channel=self._channel, reason=type(error).__name__)

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return sum(map(len, self._signals.values()))

    def _reread_all(self) -> None:
        """Signal all, spread over time: thousands of reads at once would empty the pool."""
        loop = asyncio.get_running_loop()
        for number, signal in enumerate(self._all()):
            loop.call_later(number / REREADS_PER_SECOND, signal.set)

    def _all(self) -> list[Signal]:
        return [signal for signals in self._signals.values() for signal in signals]


def keys_of(payload: str) -> list[str]:
    """Return the keys in a notification; none if it is not a JSON list of strings."""
    try:
        keys = json.loads(payload)
    except ValueError:
        keys = None
    if not isinstance(keys, list):
        logger.warning("notification_unreadable", payload=payload[:100])
        return []
    return [key for key in keys if isinstance(key, str)]
