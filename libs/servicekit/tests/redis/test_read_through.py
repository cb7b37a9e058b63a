"""Reads through a real Redis: fresh, never set back, shared, and never delayed for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis

from kit.servers.redis_server import RedisServer, redis_server
from kit.waiting import eventually
from servicekit.cache.read_through import TRUSTED, CachedValue, Entry, ReadThrough, Versioned
from servicekit.cache.redis_store import DEADLINE, RedisStore

PATIENCE = 1.0
"""Longer than the service's, so that a machine that stands still is not a Redis that hangs."""


@dataclass
class Truth:
    """A database of one row per key, whose statements can be made to wait."""

    held: dict[str, int] = field(default_factory=lambda: {"k": 1})
    statements: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def load(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        self.statements.append("load")
        self.asked.set()
        found = {key: body(self.held[key]) for key in keys if key in self.held}
        if self.gate is not None:
            await self.gate.wait()
        return found

    async def versions(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.statements.append("versions")
        return {key: self.held[key] for key in keys if key in self.held}


def body(version: int) -> Versioned:
    return Versioned(version, f"body {version}".encode())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Redis]:
    """A connection of the test's own, to look and to spoil."""
    with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    async with RedisStore(server.url, deadline=PATIENCE, pause=0.1) as store:
        await eventually(lambda: there(store))
        yield store


async def there(store: RedisStore) -> bool:
    return store.available


async def kept(store: RedisStore, key: str) -> CachedValue:
    return (await store.fetch([key])).get(key, CachedValue())


@pytest.fixture
def truth() -> Truth:
    return Truth()


@pytest.fixture
def reads(truth: Truth, store: RedisStore) -> ReadThrough[str]:
    return ReadThrough[str]("toy", truth, store)


async def test_a_second_read_asks_only_the_cache(
    reads: ReadThrough[str], truth: Truth, store: RedisStore
) -> None:
    async def from_the_cache() -> bool:
        truth.statements.clear()
        assert await reads.get("k") == body(1)
        return truth.statements == []

    assert not await from_the_cache()
    await eventually(lambda: trusted(store))
    await eventually(from_the_cache)


async def trusted(store: RedisStore) -> bool:
    return (await kept(store, "toy:k")).trusted


async def test_a_missing_value_is_not_cached(reads: ReadThrough[str], redis: Redis) -> None:
    assert await reads.get("nothing") is None
    assert redis.keys("*") == []


async def test_many_calls_for_one_key_share_one_query(
    reads: ReadThrough[str], truth: Truth
) -> None:
    answers = await asyncio.gather(*(reads.get("k") for _ in range(200)))
    assert set(answers) == {body(1)}
    assert truth.statements == ["load"]


async def test_a_value_is_trusted_for_a_second_and_then_its_version_is_compared(
    reads: ReadThrough[str], truth: Truth, store: RedisStore
) -> None:
    await reads.get("k")
    await eventually(lambda: trusted(store))
    truth.held["k"] = 2  # by somebody who died before telling the cache
    changed = asked = missed = time.monotonic()
    while await reads.get("k") == body(1):
        missed, asked = asked, time.monotonic()
    assert missed - changed < 1
    assert truth.statements == ["load", "versions", "load"]


async def test_an_unchanged_value_is_confirmed_without_being_loaded(
    reads: ReadThrough[str], truth: Truth, store: RedisStore
) -> None:
    await store.save(Entry("toy:k", 1, body(1).body))
    assert await reads.get("k") == body(1)
    assert truth.statements == ["versions"]
    await eventually(lambda: trusted(store))


async def test_a_slow_reader_does_not_put_an_old_value_back(
    reads: ReadThrough[str], truth: Truth, store: RedisStore
) -> None:
    truth.gate = asyncio.Event()
    slow = asyncio.create_task(reads.get("k"))
    await truth.asked.wait()
    truth.held["k"] = 2
    await reads.wrote("k", 2, body(2).body)
    truth.gate.set()
    assert await slow == body(1)
    truth.gate = None
    await asyncio.gather(*reads._saving)
    assert (await kept(store, "toy:k")).value == body(2)
    assert await reads.get("k") == body(2)


async def test_a_write_with_only_its_version_hides_the_old_value(
    reads: ReadThrough[str], truth: Truth, store: RedisStore
) -> None:
    await reads.get("k")
    await eventually(lambda: trusted(store))
    truth.held["k"] = 2
    await reads.wrote("k", 2)
    assert (await kept(store, "toy:k")).value is None
    assert await reads.get("k") == body(2)


async def test_trust_counts_from_before_the_query_by_the_clock_of_redis(
    store: RedisStore, redis: Redis
) -> None:
    moment = (await kept(store, "toy:k")).moment
    assert moment is not None
    await store.save(Entry("toy:k", 1, b"late", moment - TRUSTED))
    seen = await kept(store, "toy:k")
    assert (seen.value, seen.trusted) == (Versioned(1, b"late"), False)
    assert 0 < redis.pttl("toy:k") <= 300_000


GARBAGE: dict[str, Callable[[Redis], object]] = {
    "text": lambda redis: redis.set("toy:k", b"\xff\x00"),
    "list": lambda redis: (redis.delete("toy:k"), redis.rpush("toy:k", "a", "b")),
    "fields": lambda redis: redis.hset("toy:k", mapping={"version": "x", "body": b"\xff"}),
    "body": lambda redis: redis.hset("toy:k", "body", b"another"),
    "version": lambda redis: redis.hset("toy:k", "version", "1e300"),
    "trust": lambda redis: redis.hset("toy:k", "trusted_until", "9" * 18),
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_is_not_returned_and_is_replaced(
    kind: str, truth: Truth, store: RedisStore, redis: Redis
) -> None:
    reads = ReadThrough[str]("toy", truth, store)
    await reads.get("k")
    await eventually(lambda: trusted(store))
    truth.held["k"] = 2
    GARBAGE[kind](redis)
    assert await reads.get("k") == body(2)

    async def healed() -> bool:
        await reads.get("k")
        return (await kept(store, "toy:k")).value == body(2) and await trusted(store)

    await eventually(healed)
    assert store.available


async def timed(reads: ReadThrough[str]) -> float:
    began = time.perf_counter()
    assert await reads.get("k") == body(1)
    await reads.wrote("k", 1, body(1).body)
    return time.perf_counter() - began


async def assert_paid_once(reads: ReadThrough[str]) -> None:
    assert sum([await timed(reads) for _ in range(40)]) < 10 * PATIENCE


def test_a_request_waits_for_a_hanging_redis_at_most_twice_and_never_longer_than_promised() -> None:
    assert 2 * DEADLINE <= 0.05


async def test_a_hanging_redis_costs_one_deadline_and_then_nothing(
    reads: ReadThrough[str], server: RedisServer, store: RedisStore
) -> None:
    server.freeze()
    await assert_paid_once(reads)
    assert not store.available
    server.thaw()
    await eventually(lambda: there(store))
    assert await reads.get("k") == body(1)


async def test_a_restarted_redis_is_used_again(
    reads: ReadThrough[str], server: RedisServer, store: RedisStore
) -> None:
    await reads.get("k")
    server.kill()
    await assert_paid_once(reads)
    assert not store.available
    server.start()
    await eventually(lambda: there(store))
    await eventually(lambda: refilled(reads, store))


async def refilled(reads: ReadThrough[str], store: RedisStore) -> bool:
    await reads.get("k")
    return await trusted(store)


async def test_without_redis_at_the_start_every_value_is_read_from_the_database(
    tmp_path: Path, truth: Truth
) -> None:
    nobody = RedisServer(tmp_path)
    async with RedisStore(nobody.url) as store:
        reads = ReadThrough[str]("toy", truth, store)
        assert [await timed(reads) for _ in range(3)]
        assert not store.available


async def test_a_late_write_of_a_frozen_redis_is_not_trusted(
    truth: Truth, server: RedisServer, store: RedisStore
) -> None:
    """What lay in its socket takes effect when it thaws, and may be old by then."""
    reads = ReadThrough[str]("toy", truth, store)
    server.freeze()
    await reads.wrote("k", 1, body(1).body)
    truth.held["k"] = 2
    server.thaw()
    await eventually(lambda: there(store))
    assert await reads.get("k") == body(2)


async def test_a_large_body_is_not_stored_but_its_version_is(store: RedisStore) -> None:
    await store.save(Entry("toy:k", 1, b"small"))
    await store.save(Entry("toy:k", 2, b"x" * 300_000))
    seen = await kept(store, "toy:k")
    assert (seen.value, seen.trusted) == (None, False)
