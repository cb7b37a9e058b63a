"""Redis as a `Store`: a deadline around every call, and no call while it is away.

Invariant: nothing here raises, and nothing waits longer than `DEADLINE` for Redis. After one call
that was not answered in time, or two failures in a row, requests leave Redis alone. A background
task asks it until it answers in time again, so no request pays for finding out. Calls that come
while one is under way share the next one. An entry carries a checksum; one that does not fit it is
treated as absent and removed. Decisions 0753 and 1224 say why.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Self, TypeVar, cast

import structlog
from prometheus_client import Gauge
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeout

from servicekit.cache.read_through import TRUSTED, CachedValue, Entry, Versioned
from servicekit.database.dataloader import DataLoader
from servicekit.process.urls import RedisUrl

__all__ = ["DEADLINE", "RedisStore"]

TTL = 300_000
"""Milliseconds."""
DEADLINE = 0.025
"""Seconds."""
CONNECT_DEADLINE = 1.0
PAUSE = 1.0
FAILURES = 2
LARGEST = 256 * 1024
"""Bytes. A longer body is not stored: other calls would wait behind it."""

AVAILABLE = Gauge(
    "cache_available",
    "1 while Redis is asked, 0 while it is left alone.",
    multiprocess_mode="livemin",
)

T = TypeVar("T")
logger = structlog.get_logger(__name__)

# With Redis' own time, so that the clocks of two machines are never compared.
_FETCH = """
local time = redis.call('TIME')
local found = {time[1] * 1000 + math.floor(time[2] / 1000)}
for index, key in ipairs(KEYS) do
  local entry = redis.pcall('HMGET', key, 'version', 'seal', 'body', 'trusted_until')
  found[index + 1] = entry.err and {'of another type'} or entry
end
return found
"""

# A higher version stays. The same version keeps its body, and the later trust.
_SAVE = """
for index, key in ipairs(KEYS) do
  local version, seal, body, trusted_until = unpack(ARGV, index * 4 - 3, index * 4)
  if redis.call('TYPE', key).ok ~= 'hash' then redis.call('DEL', key) end
  local held = redis.call('HMGET', key, 'version', 'trusted_until')
  local there, wanted = tonumber(held[1] or '') or 0, tonumber(version)
  if not (there > wanted) then
    if there == wanted then
      local until_now = tonumber(held[2] or '') or 0
      if until_now > tonumber(trusted_until) then trusted_until = held[2] end
    end
    if there ~= wanted or body ~= '' then
      redis.call('HSET', key, 'version', version, 'seal', seal, 'body', body)
    end
    redis.call('HSET', key, 'trusted_until', trusted_until)
    redis.call('PEXPIRE', key, ARGV[#ARGV])
  end
end
"""


class RedisStore:
    """`async with RedisStore(url) as store:`; Redis may be away, then and later."""

    def __init__(self, url: RedisUrl, *, deadline: float = DEADLINE, pause: float = PAUSE) -> None:
        self._url = url
        self._deadline = deadline
        self._pause = pause
        self._failures = 0
        self._away = asyncio.Event()
        self._away.set()
        # Cancelled calls close their connection; nothing is tried twice within a request.
        self._redis: Redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        self._fetch_script = self._redis.register_script(_FETCH)
        self._save_script = self._redis.register_script(_SAVE)
        self._saves = DataLoader[Entry, bool](self._save)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def available(self) -> bool:
        """Whether Redis is being asked."""
        return not self._away.is_set()

    async def __aenter__(self) -> Self:
        self._background(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CONNECT_DEADLINE):
                await self._redis.aclose()

    async def fetch(self, keys: Sequence[str]) -> Mapping[str, CachedValue]:
        """Return what is stored under these keys; nothing while Redis is away."""
        return await self._ask(lambda: self._fetch(keys)) or {}

    async def save(self, entry: Entry) -> None:
        """Store it, unless a higher version is stored; not at all while Redis is away."""
        if self.available:
            await self._saves.get(entry)

    async def _fetch(self, keys: Sequence[str]) -> Mapping[str, CachedValue]:
        now, *entries = cast("list[Any]", await self._fetch_script(keys=keys))
        seen = {
            key: _cached_value(key, entry, now) for key, entry in zip(keys, entries, strict=True)
        }
        if garbage := [key for key, one in seen.items() if one is None]:
            self._background(self._forget(garbage))
        return {key: one or CachedValue(moment=now) for key, one in seen.items()}

    async def _save(self, entries: Sequence[Entry]) -> Mapping[Entry, bool]:
        arguments: list[Any] = []
        for entry in entries:
            body = entry.body if len(entry.body) <= LARGEST else b""
            seal = _seal(entry.key, entry.version, body)
            arguments += [entry.version, seal, body, entry.trusted_until]
        keys = [entry.key for entry in entries]
        await self._ask(lambda: self._save_script(keys=keys, args=[*arguments, TTL]))
        return {}

    async def _forget(self, keys: Sequence[str]) -> None:
        logger.warning("cache_garbage", keys=len(keys), first=keys[0])
        await self._ask(lambda: self._redis.unlink(*keys))

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T | None:
        """Return the answer, or None if it does not come in time."""
        if not self.available:
            return None
        try:
            async with asyncio.timeout(self._deadline):
                answer = await command()
        except Exception as problem:
            self._failed(problem)
            return None
        self._failures = 0
        return answer

    def _failed(self, problem: Exception) -> None:
        self._failures += 1
        hangs = isinstance(problem, TimeoutError | RedisTimeout)
        if (hangs or self._failures >= FAILURES) and self.available:
            logger.warning("cache_away", reason=type(problem).__name__)
            AVAILABLE.set(0)
            self._away.set()

    async def _watch(self) -> None:
        """Open the connections; later, notice when Redis is back."""
        while True:
            await self._away.wait()
            try:
                await self._warm_up()
            except Exception:
                await asyncio.sleep(self._pause)
                continue
            self._failures = 0
            self._away.clear()
            AVAILABLE.set(1)
            logger.info("cache_there", redis=self._url.address)
            await self._away.wait()
            await asyncio.sleep(self._pause)

    async def _warm_up(self) -> None:
        """Run both scripts in time, over the two connections that fetches and saves will use."""
        async with asyncio.timeout(CONNECT_DEADLINE):
            await asyncio.gather(self._fetch_script(keys=[]), self._redis.ping())
            await asyncio.gather(
                self._fetch_script(keys=[]), self._save_script(keys=[], args=[TTL])
            )
        async with asyncio.timeout(self._deadline):
            await self._fetch_script(keys=[])

    def _background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _seal(key: str, version: int, body: bytes) -> str:
    return blake2b(body, digest_size=8, key=f"{key} {version}".encode()[-64:]).hexdigest()


def _cached_value(key: str, fields: Any, now: int) -> CachedValue | None:
    """Read an entry; None for one that this class cannot have stored."""
    if fields == [None] * 4:
        return CachedValue(moment=now)
    try:
        version, seal, body, trusted_until = fields
        number, until = int(version), int(trusted_until)
        if _seal(key, number, body).encode() != seal:
            return None
    except (ValueError, TypeError):
        return None
    value = Versioned(number, body) if body else None
    trusted = value is not None and now < until <= now + TRUSTED
    return CachedValue(value, trusted, now)
