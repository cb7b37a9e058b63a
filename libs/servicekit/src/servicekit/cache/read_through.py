"""Reads through a cache that is never believed for longer than a second.

Invariant: what `get` answers was current within the last second (`TRUSTED` and the way back), no
matter who died between a commit and the cache. A cached value is believed for a moment counted,
by the cache's own clock, from before the database was last asked; after that its version alone is
compared with the database. So a lost or late write to the cache costs nothing but that comparison.

Many who ask for one key at once share one look into the cache and one query.
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
    """A value as it goes out. The same version always has the same body."""

    version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class CachedValue:
    """What a look into the cache found.

    `moment` is the cache's time of the look, in milliseconds; None if it could not be asked.
    """

    value: Versioned | None = None
    trusted: bool = False
    moment: int | None = None


NOTHING = CachedValue()


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to keep: never instead of a higher version.

    Without a body only the version is raised. `trusted_until` is by the cache's clock, 0 for not.
    """

    key: str
    version: int
    body: bytes = b""
    trusted_until: int = 0


class Store(Protocol):
    """A cache. It answers in bounded time, raises nothing, and knows nothing while it is away."""

    async def look(self, keys: Sequence[str]) -> Mapping[str, CachedValue]: ...
    async def keep(self, entry: Entry) -> None: ...


class Source(Protocol[K]):
    """Where the truth is, asked for many keys in one statement each."""

    async def load(self, keys: Sequence[K]) -> Mapping[K, Versioned]: ...
    async def versions(self, keys: Sequence[K]) -> Mapping[K, int]: ...


class ReadThrough(Generic[K]):
    """One kind of thing, by key. Change `name` with the shape of the bodies: old ones stay away."""

    def __init__(self, name: str, source: Source[K], store: Store | None) -> None:
        self._name = name
        self._source = source
        self._store = store
        self._looks = DataLoader[K, CachedValue](self._look)
        self._reads = DataLoader[K, Versioned](self._read)
        self._unconfirmed: dict[K, CachedValue] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> Versioned | None:
        """The value as it was within the last second; None if there is none."""
        if self._store is not None:
            seen = await self._looks.get(key) or NOTHING
            if seen.trusted:
                READS.labels(self._name, "cache").inc()
                return seen.value
            self._unconfirmed[key] = seen
        return await self._reads.get(key)

    async def wrote(self, key: K, version: int, body: bytes = b"") -> None:
        """Say what was committed: lower versions are not kept from now on. Raises nothing."""
        if self._store is not None:
            await self._store.keep(Entry(self._stored(key), version, body))

    async def _look(self, keys: Sequence[K]) -> Mapping[K, CachedValue]:
        assert self._store is not None
        found = await self._store.look([self._stored(key) for key in keys])
        return {key: found.get(self._stored(key), NOTHING) for key in keys}

    async def _read(self, keys: Sequence[K]) -> Mapping[K, Versioned]:
        """Compare what the cache has, load what it has not, and have both kept."""
        seen = {key: self._unconfirmed.pop(key, NOTHING) for key in keys}
        held = {key: one.value for key, one in seen.items() if one.value is not None}
        current = await self._source.versions(list(held)) if held else {}
        confirmed = {key: held[key] for key in held if current.get(key) == held[key].version}
        missing = [key for key in keys if key not in confirmed]
        loaded = await self._source.load(missing) if missing else {}
        READS.labels(self._name, "version").inc(len(confirmed))
        READS.labels(self._name, "database").inc(len(missing))
        for key, value in {**confirmed, **loaded}.items():
            self._keep(key, seen[key], value, known=key in confirmed)
        return {**confirmed, **loaded}

    def _keep(self, key: K, seen: CachedValue, value: Versioned, *, known: bool) -> None:
        """Beside the answer, not before it."""
        if self._store is None or seen.moment is None:
            return
        body = b"" if known else value.body
        entry = Entry(self._stored(key), value.version, body, seen.moment + TRUSTED)
        task = asyncio.create_task(self._store.keep(entry))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    def _stored(self, key: K) -> str:
        return f"{self._name}:{key}"
