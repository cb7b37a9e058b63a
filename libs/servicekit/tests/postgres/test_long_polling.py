"""Waiting requests on a real PostgreSQL: woken by NOTIFY, never lost, never many connections."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import psycopg
import pytest

from kit.waiting import eventually
from servicekit.database.engine import connect
from servicekit.http import long_polling
from servicekit.http.long_polling import Waiters, keys_of
from servicekit.process.urls import PostgresUrl
from servicekit.testing import Outage

CHANNEL = "settled"


class Thing:
    """What a request reads; counts the reads."""

    def __init__(self) -> None:
        self.status = "CREATED"
        self.reads = 0

    async def read(self) -> str:
        self.reads += 1
        return self.status


def settled(status: str) -> bool:
    return status == "DONE"


@pytest.fixture
def stop() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def waiters(database: PostgresUrl, stop: asyncio.Event) -> AsyncIterator[Waiters]:
    async with Waiters(database, CHANNEL, stop=stop) as waiters:
        await waiters.listening.wait()
        yield waiters


@pytest.fixture
async def writer(database: PostgresUrl) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(database, application_name="writer") as connection:
        yield connection


async def notify(writer: psycopg.AsyncConnection, *keys: str) -> None:
    await writer.execute("SELECT pg_notify(%s, %s)", (CHANNEL, json.dumps(keys)))


def waits(waiters: Waiters, thing: Thing, key: str = "a", seconds: float = 20) -> asyncio.Task[str]:
    return asyncio.create_task(waiters.until_settled(key, thing.read, settled, seconds))


async def has_read(thing: Thing, times: int = 1) -> bool:
    return thing.reads >= times


async def test_a_settled_thing_is_answered_without_waiting(waiters: Waiters) -> None:
    thing = Thing()
    thing.status = "DONE"
    assert await waiters.until_settled("a", thing.read, settled, 20) == "DONE"
    assert thing.reads == 1


async def test_a_notification_wakes_the_waiter_of_that_key_only(
    waiters: Waiters, writer: psycopg.AsyncConnection
) -> None:
    mine, other = Thing(), Thing()
    waiting_for_mine, waiting_for_other = waits(waiters, mine, "a"), waits(waiters, other, "b")
    await eventually(lambda: has_read(mine))
    await eventually(lambda: has_read(other))
    mine.status = "DONE"
    await notify(writer, "x", "a", "y")
    assert await waiting_for_mine == "DONE"
    assert other.reads == 1
    waiting_for_other.cancel()


async def test_a_notification_of_something_not_yet_settled_waits_on(
    waiters: Waiters, writer: psycopg.AsyncConnection
) -> None:
    thing = Thing()
    request = waits(waiters, thing)
    await eventually(lambda: has_read(thing))
    await notify(writer, "a")
    await eventually(lambda: has_read(thing, 2))
    assert not request.done()
    thing.status = "DONE"
    await notify(writer, "a")
    assert await request == "DONE"


async def test_a_change_between_the_read_and_the_wait_is_not_lost(
    waiters: Waiters, writer: psycopg.AsyncConnection
) -> None:
    status, reads = "CREATED", 0
    heard = asyncio.Event()

    async def read() -> str:
        nonlocal status, reads
        reads += 1
        seen = status
        if reads == 1:  # it settles, and is announced, after this read and before the wait
            status = "DONE"
            with waiters.subscribed("a") as witness:
                await notify(writer, "a")
                assert await witness.wait(10)
            heard.set()
        return seen

    began = time.monotonic()
    assert await waiters.until_settled("a", read, settled, 20) == "DONE"
    assert heard.is_set()
    assert time.monotonic() - began < 10


async def test_at_the_deadline_it_is_read_again(waiters: Waiters) -> None:
    thing = Thing()
    request = waits(waiters, thing, seconds=1)
    await eventually(lambda: has_read(thing))
    thing.status = "DONE"  # and nobody says so
    assert await request == "DONE"
    assert thing.reads == 2


async def test_without_a_wait_it_is_read_once(waiters: Waiters) -> None:
    thing = Thing()
    assert await waiters.until_settled("a", thing.read, settled, 0) == "CREATED"
    assert thing.reads == 1


async def test_an_error_of_the_read_is_raised_and_nothing_stays_subscribed(
    waiters: Waiters,
) -> None:
    async def read() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        await waiters.until_settled("a", read, settled, 20)
    assert waiters.waiting == 0


async def test_a_settlement_during_an_outage_is_seen_after_it(
    unsteady_database: PostgresUrl,
    database_outage: Outage,
    stop: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_polling, "SLOWEST_RETRY", 0.05)
    thing = Thing()
    async with Waiters(unsteady_database, CHANNEL, stop=stop) as waiters:
        await waiters.listening.wait()
        request = waits(waiters, thing)
        await eventually(lambda: has_read(thing))
        await database_outage.begin()

        async def deaf() -> bool:
            return not waiters.listening.is_set()

        await eventually(deaf)
        thing.status = "DONE"  # its notification is lost with the connection
        await database_outage.end()
        async with asyncio.timeout(60):
            assert await request == "DONE"


async def test_the_database_may_be_away_at_first(
    unsteady_database: PostgresUrl, database_outage: Outage, stop: asyncio.Event
) -> None:
    await database_outage.begin()
    async with Waiters(unsteady_database, CHANNEL, stop=stop) as waiters:
        assert await waiters.until_settled("a", Thing().read, settled, 0.05) == "CREATED"
        await database_outage.end()
        async with asyncio.timeout(60):
            await waiters.listening.wait()


async def test_listening_resumes_after_any_number_of_failures(
    database: PostgresUrl, stop: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 1,023 of them a power without a limit was no number any more: the task ended."""
    failures = 0

    async def refused(url: PostgresUrl, *, application_name: str) -> psycopg.AsyncConnection:
        nonlocal failures
        if failures < 1_100:
            failures += 1
            raise psycopg.OperationalError("connection refused")
        return await connect(url, application_name=application_name)

    monkeypatch.setattr(long_polling, "connect", refused)
    monkeypatch.setattr(long_polling, "SLOWEST_RETRY", 0.0)
    async with Waiters(database, CHANNEL, stop=stop) as waiters:
        with pytest.raises(long_polling.NotListening):
            await waiters.check()
        async with asyncio.timeout(60):
            await waiters.listening.wait()
        await waiters.check()


async def test_a_stopping_process_answers_with_what_is_known(
    waiters: Waiters, stop: asyncio.Event
) -> None:
    thing = Thing()
    request = waits(waiters, thing)
    await eventually(lambda: has_read(thing))
    stop.set()
    async with asyncio.timeout(15):
        assert await request == "CREATED"
        assert await waiters.until_settled("a", thing.read, settled, 20) == "CREATED"


async def test_thousands_wait_over_one_connection(
    waiters: Waiters, writer: psycopg.AsyncConnection
) -> None:
    things = [Thing() for _ in range(3000)]
    requests = [waits(waiters, thing, str(n)) for n, thing in enumerate(things)]
    await eventually(lambda: has_read(things[-1]))
    cursor = await writer.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'waiters'"
    )
    assert await cursor.fetchone() == (1,)
    for thing in things:
        thing.status = "DONE"
    for start in range(0, len(things), 500):
        await notify(writer, *map(str, range(start, start + 500)))
    async with asyncio.timeout(60):
        assert set(await asyncio.gather(*requests)) == {"DONE"}
    assert waiters.waiting == 0


async def test_an_unreadable_notification_does_no_harm(
    waiters: Waiters, writer: psycopg.AsyncConnection
) -> None:
    thing = Thing()
    request = waits(waiters, thing)
    await eventually(lambda: has_read(thing))
    for payload in ("", "nonsense", "{}", "[1, null]"):
        await writer.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
    thing.status = "DONE"
    await notify(writer, "a")
    assert await request == "DONE"


def test_only_strings_of_a_list_are_keys() -> None:
    assert keys_of('["a", 1, "b", null]') == ["a", "b"]
    assert keys_of('"a"') == keys_of("[") == []
