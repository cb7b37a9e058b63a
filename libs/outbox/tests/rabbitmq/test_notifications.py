"""What a process hears: on one connection, at its time, and again after a loss.

Everything here has polls that are minutes apart, so that only what is heard or timed is in time.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from kit.outbox.deliveries import events, has_effects, publish, record
from kit.outbox.job_rows import enqueue, states
from kit.outbox.world import SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, Outbox, Relay, Retry, UnitOfWork, jobs
from outbox.jobs import Job, JobSettings, JobWorker, Result
from outbox.postgres import notifications
from outbox.postgres.listener import Listener
from outbox.postgres.notifications import Notifications
from outbox.postgres.notify import DOORBELL
from outbox.relay.settings import RelaySettings

SELDOM: dict[str, Any] = {"poll_first": 60.0, "poll_ceiling": 60.0, "rescan_interval": 3600.0}
LISTENERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'outbox listener'
"""
CUT = LISTENERS.replace("count(*)", "pg_terminate_backend(pid)")


class Ear:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []

    def hear(self, payload: str | None) -> None:
        self.heard.append(payload)

    async def has(self, *payloads: str | None) -> bool:
        return all(payload in self.heard for payload in payloads)


async def notify(world: World, channel: str, payload: str) -> None:
    await world.execute(f"SELECT pg_notify('{channel}', '{payload}')")


async def test_all_parts_of_a_process_listen_on_one_connection(world: World) -> None:
    heard, one, other = Notifications(world.engine), Ear(), Ear()
    async with heard.hearing("one", one.hear):
        await eventually(lambda: _is(heard))
        async with heard.hearing("other", other.hear):
            await eventually(lambda: other.has(None))
            await notify(world, "other", "b")
            await notify(world, "one", "a")
            await eventually(lambda: other.has("b"))
            await eventually(lambda: one.has("a"))
            assert await world.rows(LISTENERS) == [(1,)]
        await notify(world, "one", "c")
        await eventually(lambda: one.has("c"))
    assert not heard.are_heard
    assert {"b", None} == set(other.heard)
    await eventually(lambda: _has(world, LISTENERS, 0))


async def test_a_lost_connection_is_noticed_and_parts_poll_until_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, ear = Notifications(world.engine), Ear()
    assert heard.poll(30) == notifications.OFTEN
    async with heard.hearing("one", ear.hear):
        await eventually(lambda: _is(heard))
        assert heard.poll(30) == 30
        ear.heard.clear()
        monkeypatch.setattr(notifications, "RECONNECT_AFTER", 0.5)
        await world.execute(CUT)
        await eventually(lambda: ear.has(None))
        assert heard.poll(30) == notifications.OFTEN
        await eventually(lambda: _is(heard))
        await notify(world, "one", "again")
        await eventually(lambda: ear.has("again"))


async def test_a_connection_that_hears_nothing_is_not_relied_on(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifications, "HEARD_WITHIN", 0.1)

    async def hears_nothing(*_: object) -> bool:
        return False

    monkeypatch.setattr(Listener, "hears_itself", hears_nothing)
    heard, ear = Notifications(world.engine), Ear()
    async with heard.hearing("one", ear.hear):
        await eventually(lambda: ear.has(None))
        assert heard.poll(30) == notifications.OFTEN
    assert caplog.text.count("is there a pooler in between?") == 1


async def test_a_parked_event_is_retried_at_its_time(world: World) -> None:
    tried: list[float] = []

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        tried.append(asyncio.get_running_loop().time())
        if len(tried) < 4:
            raise ValueError("not yet")
        await record(unit, event)

    failures = {Exception: Retry(base=0.4, ceiling=0.4)}
    async with running(world.consumer(handle, failures=failures, retry_every=600)):
        await publish(world, *events(2))
        await eventually(lambda: has_effects(world, 2))


async def test_a_new_job_starts_at_once_and_a_later_one_at_its_time(world: World) -> None:
    async def call(job: Job) -> Result:
        async def result(unit: UnitOfWork) -> None:
            await unit.emit(Happened(job.key))

        return result

    worker = JobWorker(world.work, {"pay": call}, JobSettings(poll=600))
    async with running(worker):
        await eventually(lambda: _is(world.work.notifications))
        await enqueue(world, *"abcdefgh")
        await eventually(lambda: states(world, *((key, "done") for key in "abcdefgh")))
        [(now,)] = await world.rows("SELECT clock_timestamp()")
        async with world.work.begin() as unit:
            at = now + timedelta(seconds=0.5)
            await jobs.enqueue(unit, "pay", key="later", payload=None, at=at)
        done = [(key, "done") for key in (*"abcdefgh", "later")]
        await eventually(lambda: states(world, *done))
        [(waited,)] = await world.rows(
            "SELECT ended_at - next_attempt_at FROM outbox_jobs WHERE key = 'later'"
        )
        assert timedelta(0) <= waited < timedelta(seconds=2)


async def test_parts_of_a_worker_share_its_listening_connection(world: World) -> None:
    async with AsyncExitStack() as stack:
        consumer = world.consumer(record)
        worker = JobWorker(world.work, {"pay": _never}, JobSettings())
        await stack.enter_async_context(running(consumer, worker))
        await eventually(lambda: _is(world.work.notifications))
        assert await world.rows(LISTENERS) == [(1,)]


async def test_a_relay_that_owns_all_lanes_is_rung_within_its_process(world: World) -> None:
    """Nothing is sent until another relay owns lanes, too."""
    heard, ear = Notifications(world.engine), Ear()
    relay = world.relay(notifications=world.work.notifications, **SELDOM)
    async with heard.hearing(DOORBELL, ear.hear):
        async with running(relay):
            await eventually(lambda: _own_lanes(relay))
            await eventually(lambda: _is(heard))
            ear.heard.clear()
            await world.emit(Happened("a"))
            await eventually(lambda: world.has_unpublished(0))
            assert ear.heard == []
            other = world.relay(**SELDOM)
            async with running(other):
                await eventually(lambda: _own_lanes(relay, other))
                await world.emit(*(Happened(name) for name in "abcdefgh"))
                await eventually(lambda: world.has_unpublished(0))
                await eventually(lambda: ear.has(""))
        ear.heard.clear()
        await world.emit(Happened("a"))
        await eventually(lambda: ear.has(""))


async def _own_lanes(*relays: Relay) -> bool:
    return all(relay.lanes for relay in relays)


async def test_an_event_without_a_ring_waits_for_the_poll(world: World) -> None:
    assert RelaySettings().poll_ceiling <= 1
    async with running(world.relay(rescan_interval=3600.0)):
        for count in (1, 2, 3):
            async with world.engine.begin() as connection:
                await Outbox(SOURCE).add(connection, Happened("a"))
            await world.delivered(1)
            await eventually(lambda: world.has_unpublished(0))
            assert await world.rows("SELECT count(*) FROM outbox") == [(count,)]


async def _never(_: Job) -> Result:
    raise AssertionError


async def _is(heard: Notifications) -> bool:
    return heard.are_heard


async def _has(world: World, query: str, count: int) -> bool:
    return await world.rows(query) == [(count,)]
