"""Reads through a cache whose values are trusted for less than a second.

Invariant: what `get` returns was current within the last second (`TRUSTED` and the way back),
whichever process died between a commit and the cache. A cached value is trusted for a time that
counts from before the database was last asked, by the cache's own clock. After that its version is
compared with the database. A lost or late write to the cache costs that comparison, nothing more.

Many calls for one key at once share one fetch from the cache and one query. See decision 0752.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from prometheus_client import Counter

from servicekit.database.dataloader import DataLoader

__all__ = ["NOTHING", "CachedValue", "Entry", "ReadThrough", "Source", "Store", "Versioned"]

TRUSTED = 900
"""Milliseconds; the rest of the second is for the answer's way back."""

READS = Counter("cache_reads", "Reads through a cache, by what served them.", ("cache", "served"))

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Versioned:
    """A value as it is sent. The same version always has the same body."""

    version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class CachedValue:
    """What the cache had under a key.

    `moment` is the cache's time when it was asked, in milliseconds; None if it could not be asked.
    """

    value: Versioned | None = None
    trusted: bool = False
    moment: int | None = None


NOTHING = CachedValue()


@dataclass(frozen=True, slots=True)
class Entry:
    """A value to store; a higher version that is stored already stays.

    Without a body only the version is raised. `trusted_until` is by the cache's clock; 0 means
    that the value is not trusted.
    """

    key: str
    version: int
    body: bytes = b""
    trusted_until: int = 0


class Store(Protocol):
    """A cache. It answers in bounded time, raises nothing, and has nothing while it is away."""

    async def fetch(self, keys: Sequence[str]) -> Mapping[str, CachedValue]: ...
    async def save(self, entry: Entry) -> None: ...


class Source(Protocol[K]):
    """The database, asked for many keys with one statement."""

    async def load(self, keys: Sequence[K]) -> Mapping[K, Versioned]: ...
    async def versions(self, keys: Sequence[K]) -> Mapping[K, int]: ...


class ReadThrough(Generic[K]):
    """One kind of value, by key. Change `name` with the shape of the bodies: it hides old ones."""

    def __init__(self, name: str, source: Source[K], store: Store | None) -> None:
        self._name = name
        self._source = source
        self._store = store
        self._fetches = DataLoader[K, CachedValue](self._fetch)
        self._reads = DataLoader[K, Versioned](self._read)
        self._unconfirmed: dict[K, CachedValue] = {}
        self._saving: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> Versioned | None:
        """Return the value as it was within the last second; None if there is none."""
        if self._store is not None:
            seen = await self._fetches.get(key) or NOTHING
            if seen.trusted:
                READS.labels(self._name, "cache").inc()
                return seen.value
            self._unconfirmed[key] = seen
        return await self._reads.get(key)

    async def wrote(self, key: K, version: int, body: bytes = b"") -> None:
        """Tell the cache what was committed, so that it stores no lower version. Raises nothing."""
        if self._store is not None:
            await self._store.save(Entry(self._stored(key), version, body))

    async def _fetch(self, keys: Sequence[K]) -> Mapping[K, CachedValue]:
        assert self._store is not None
        found = await self._store.fetch([self._stored(key) for key in keys])
        return {key: found.get(self._stored(key), NOTHING) for key in keys}

    async def _read(self, keys: Sequence[K]) -> Mapping[K, Versioned]:
        """Compare the versions of cached values, load the others, and store both."""
        seen = {key: self._unconfirmed.pop(key, NOTHING) for key in keys}
        cached = {key: one.value for key, one in seen.items() if one.value is not None}
        current = await self._source.versions(list(cached)) if cached else {}
        confirmed = {
            key: value for key, value in cached.items() if current.get(key) == value.version
        }
        missing = [key for key in keys if key not in confirmed]
        loaded = await self._source.load(missing) if missing else {}
        READS.labels(self._name, "version").inc(len(confirmed))
        READS.labels(self._name, "database").inc(len(missing))
        for key, value in {**confirmed, **loaded}.items():
            self._save(key, seen[key], value, known=key in confirmed)
        return {**confirmed, **loaded}

    def _save(self, key: K, seen: CachedValue, value: Versioned, *, known: bool) -> None:
        """Store a value beside the answer; the answer does not wait for it."""
        if self._store is None or seen.moment is None:
            return
        body = b"" if known else value.body
        entry = Entry(self._stored(key), value.version, body, seen.moment + TRUSTED)
        task = asyncio.create_task(self._store.save(entry))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    def _stored(self, key: K) -> str:
        return f"{self._name}:{key}"
