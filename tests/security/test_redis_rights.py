"""What service-orders may do at Redis is what its cache does, with its own keys only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from devstack.native.redis import users
from devstack.native.services import ORDERS
from kit.servers.redis_server import RedisServer, redis_server
from kit.waiting import eventually
from servicekit.cache.read_through import Entry, Versioned
from servicekit.cache.redis_store import RedisStore
from servicekit.process.urls import RedisUrl

LOOKING = "user looking on nopass +acl|log"
KEY = f"ticket-1:{UUID(int=1)}"
WITHIN = 10.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    configured = users(ORDERS.name, ORDERS.password) + LOOKING
    with redis_server(tmp_path, users=configured) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> RedisUrl:
    return RedisUrl(f"redis://{ORDERS.name}:{ORDERS.password}@127.0.0.1:{server.port}/0")


@pytest.fixture
async def orders(url: RedisUrl) -> AsyncIterator[Redis]:
    async with Redis.from_url(url) as redis:
        yield redis


async def refusals(server: RedisServer) -> list[str]:
    """What Redis has refused so far, except the client's telling its name, which is not missed."""
    async with Redis.from_url(f"redis://looking:x@127.0.0.1:{server.port}/0") as redis:
        lines = await redis.execute_command("ACL", "LOG")  # type: ignore[no-untyped-call]
    refused = [dict(zip(line[::2], line[1::2], strict=True))[b"object"].decode() for line in lines]
    return [one for one in refused if one != "client|setinfo"]


async def test_the_cache_does_all_it_does(server: RedisServer, url: RedisUrl) -> None:
    """Look, keep, and forget what is of another type, or was not kept by this."""
    spoilt = f"ticket-1:{UUID(int=2)}"
    async with RedisStore(url, deadline=WITHIN) as store, Redis.from_url(url) as redis:
        await eventually(lambda: _is_asked(store))
        await redis.hset(spoilt, mapping={"version": "1", "seal": "none"})
        assert (await store.fetch([spoilt]))[spoilt].value is None
        await store.save(Entry(KEY, 3, b"body"))
        assert (await store.fetch([KEY]))[KEY].value == Versioned(3, b"body")
        await eventually(lambda: _is_gone(redis, spoilt))
    assert await refusals(server) == []


async def _is_asked(store: RedisStore) -> bool:
    return store.available


async def _is_gone(redis: Redis, key: str) -> bool:
    fields = await redis.hmget(key, "seal")
    return fields == [None]


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("GET", KEY),
        ("EVAL", "return 1", "0"),
        ("SCRIPT", "FLUSH"),
        ("ACL", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("PUBLISH", "ticket-1", "x"),
        ("HSET", "other", "field", "value"),
        ("HMGET", "other", "field"),
        ("UNLINK", "other"),
        ("ROLE",),
    ],
    ids=" ".join,
)
async def test_it_does_nothing_else(orders: Redis, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        await orders.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_nobody_comes_in_without_a_name(server: RedisServer) -> None:
    for login in ("", ":redis-dev-only@", "default:@"):
        async with Redis.from_url(f"redis://{login}127.0.0.1:{server.port}/0") as redis:
            with pytest.raises(AuthenticationError):
                await redis.hmget(KEY, "body")
