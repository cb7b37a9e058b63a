"""The retrier, where it is interrupted, kept waiting, or not alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kit.outbox.deliveries import effects, events, has_effects, record, stream_of
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import Envelope, Retry, UnitOfWork
from outbox.inbox.batch import Batch, Left
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import InboxOperations, ParkedSelection, list_parked
from outbox.inbox.settings import InboxSettings
from outbox.operations.status import status
from outbox.supervise import Up, keep_running

NOW = "UPDATE inbox_parked SET next_attempt_at = clock_timestamp() WHERE reason = 'failed'"
ENTOMB = "UPDATE inbox_parked SET reason = 'discarded' WHERE sequence = 2"


class Killed(BaseException):
    """Goes through everything, as the end of a process does."""


class Kitchen:
    """A handler that fails, or is cut off as by a kill, at one place."""

    def __init__(self, world: World, **settings: object) -> None:
        self.fails_at = self.cut_at = 0
        failures = {Exception: Retry(base=600, ceiling=600)}
        self.inbox = Inbox(
            QUEUE,
            {"order.happened": self.handle},
            world.work,
            InboxSettings(failures=failures, **settings),  # type: ignore[arg-type]
        )

    async def handle(self, unit: UnitOfWork, event: Envelope) -> None:
        if event.sequence == self.fails_at:
            raise ValueError("broken")
        if event.sequence == self.cut_at:
            raise Killed
        await record(unit, event)

    async def retry(self) -> None:
        with suppress(Killed):
            await self.inbox.retry_due()


async def test_an_event_behind_a_tombstone_is_tried_after_a_crash(world: World) -> None:
    kitchen = Kitchen(world)
    kitchen.fails_at = 1
    await kitchen.inbox.handle(events(3, "a"))
    await world.execute(ENTOMB)
    await world.execute(NOW)
    kitchen.fails_at, kitchen.cut_at = 0, 1
    await kitchen.retry()  # counted and cut off, so that the next goes event by event
    kitchen.cut_at = 3
    await kitchen.retry()
    assert await effects(world) == {"a": [1]}
    kitchen.cut_at = 0
    await kitchen.retry()
    assert await effects(world) == {"a": [1, 3]}
    assert await world.rows("SELECT parked, blocked FROM inbox") == [(0, False)]


async def test_a_locked_stream_does_not_delay_others(world: World) -> None:
    kitchen = Kitchen(world, lock_timeout=0.1)
    kitchen.fails_at = 1
    for aggregate in ("a", "b", "c"):
        await kitchen.inbox.handle(events(2, aggregate))
    await world.execute(NOW)
    kitchen.fails_at = 0
    async with await world.psycopg() as holder:
        await holder.set_autocommit(False)
        await holder.execute("SELECT FROM inbox WHERE aggregate_id = 'a' FOR UPDATE")
        await kitchen.retry()
        assert await effects(world) == {"b": [1, 2], "c": [1, 2]}
    await kitchen.retry()
    assert await effects(world) == {"b": [1, 2], "c": [1, 2], "a": [1, 2]}


async def test_a_retrier_that_was_overtaken_leaves_the_next_event_alone(world: World) -> None:
    slow, quick = Kitchen(world), Kitchen(world)
    slow.fails_at = 1
    await slow.inbox.handle(events(3, "a"))
    await world.execute(NOW)
    careful, [first, *_] = slow.inbox._recovery, events(3, "a")
    head, begun = await careful._next_parked(first.stream)
    assert head is not None
    quick.fails_at = 2
    await quick.retry()
    slow.fails_at = 0
    await careful._catch_up_from(head, begun)
    assert await effects(world) == {"a": [1]}, "the second may not be tried for ten minutes"


async def test_another_server_that_a_handler_asks_stops_its_own_stream_when_it_is_away(
    world: World,
) -> None:
    away = True

    async def asks(unit: UnitOfWork, event: Envelope) -> None:
        if away and event.stream.aggregate_id == "a":
            await psycopg.AsyncConnection.connect("host=127.0.0.1 port=1 connect_timeout=60")
        await record(unit, event)

    inbox = Inbox(
        QUEUE,
        {"order.happened": asks},
        world.work,
        InboxSettings(failures={Exception: Retry(base=0.01, ceiling=0.01)}),
    )
    await inbox.handle([*events(2, "a"), *events(2, "b")])
    assert await effects(world) == {"b": [1, 2]}
    for _ in range(5):
        await world.execute(NOW)
        await inbox.retry_due()
    [(reason, attempts, error)] = await world.rows(
        "SELECT reason, attempts, last_error FROM inbox_parked WHERE sequence = 1"
    )
    assert (reason, attempts) == ("failed", 6)
    assert str(error).startswith("OperationalError: ")
    away = False
    await world.execute(NOW)
    await inbox.retry_due()
    assert await effects(world) == {"b": [1, 2], "a": [1, 2]}


async def test_a_lost_connection_of_the_inbox_is_not_a_failure_of_the_event(world: World) -> None:
    lose = True

    async def loses(unit: UnitOfWork, event: Envelope) -> None:
        if lose:
            [pid] = (await unit.connection.exec_driver_sql("SELECT pg_backend_pid()")).one()
            await world.rows("SELECT pg_terminate_backend(%s)", pid)
        await record(unit, event)

    inbox = Inbox(QUEUE, {"order.happened": loses}, world.work)
    with pytest.raises(DBAPIError):
        await inbox.handle(events(1, "a"))
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]
    lose = False
    await inbox.handle(events(1, "a"))
    assert await effects(world) == {"a": [1]}


async def test_a_pool_that_is_empty_for_a_while_ends_no_service() -> None:
    stop, sessions = asyncio.Event(), 0

    async def session(_up: Up) -> None:
        nonlocal sessions
        sessions += 1
        if sessions == 1:
            raise PoolTimeout("QueuePool limit of size 10 overflow 0 reached")
        stop.set()

    async with asyncio.timeout(10):
        await keep_running("part", session, stop)
    assert sessions == 2


@pytest.mark.parametrize("arrival", [(1, 0, 2), (2, 1, 0)])
async def test_what_came_before_a_redelivered_event_of_one_batch_is_handled_after_it(
    world: World, arrival: Sequence[int]
) -> None:
    kitchen, three = Kitchen(world), events(3, "a")
    batch = [three[place] for place in arrival]
    await kitchen.inbox.handle_some(batch, redelivered=[three[0]])
    assert await effects(world) == {"a": [1, 2, 3]}
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]


async def test_a_pool_that_is_empty_is_not_counted_as_a_crash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen, [event] = Kitchen(world), events(1, "a")
    careful, left = kitchen.inbox._recovery, 5
    handle = careful._handle

    async def starved(envelope: Envelope, counted: bool) -> bool:
        nonlocal left
        if left:
            left -= 1
            raise PoolTimeout("QueuePool limit of size 10 overflow 0 reached")
        return await handle(envelope, counted)

    async def starved_batch(_batch: Batch, together: Sequence[Envelope]) -> Left:
        if together:
            raise PoolTimeout("QueuePool limit of size 10 overflow 0 reached")
        return Left()

    monkeypatch.setattr(careful, "_handle", starved)
    monkeypatch.setattr(Batch, "_handle_together", starved_batch)
    while left:
        with pytest.raises(PoolTimeout):
            await kitchen.inbox.handle_some([event], redelivered=[event])
    await kitchen.inbox.handle_some([event], redelivered=[event])
    assert await effects(world) == {"a": [1]}
    assert await world.rows("SELECT count(*) FROM inbox_attempts") == [(0,)]


async def test_a_stream_that_is_locked_after_a_failure_is_not_counted_as_a_crash(
    world: World,
) -> None:
    async with await world.psycopg() as holder:
        await holder.set_autocommit(False)
        holding: list[asyncio.Task[object]] = []

        async def is_waiting() -> bool:
            query = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
            return await world.rows(query, holder.info.backend_pid) == [("Lock",)]

        async def fails_and_is_locked_out(unit: UnitOfWork, event: Envelope) -> None:
            if event.sequence == 1:
                if len(await world.rows("SELECT FROM inbox_parked")) == 2:
                    hold = holder.execute("SELECT FROM inbox FOR UPDATE")
                    holding.append(asyncio.create_task(hold))
                    await eventually(is_waiting, within=60)
                raise ValueError("broken")

        failures = {Exception: Retry(base=600, ceiling=600)}
        settings = InboxSettings(failures=failures, lock_timeout=0.1)
        inbox = Inbox(QUEUE, {"order.happened": fails_and_is_locked_out}, world.work, settings)
        await inbox.handle(events(2, "a"))
        for _ in range(5):
            await world.execute(NOW)
            await inbox.retry_due()
            await asyncio.gather(*holding)
            await holder.rollback()
    assert len(holding) == 5
    found = await world.rows("SELECT reason FROM inbox_parked ORDER BY sequence")
    assert found == [("failed",), ("behind",)]


async def fail(world: World, prefix: str, count: int, next_attempt: str = "now()") -> None:
    """So many streams of one event that has failed."""
    await world.execute(
        "INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, blocked, parked)"
        " SELECT %s, 'shop', 'order', %s::text || n, true, 1 FROM generate_series(1, %s) n",
        QUEUE,
        prefix,
        count,
    )
    await world.execute(
        "INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence,"
        " event_id, reason, type, version, time, body, correlation_id, next_attempt_at)"
        " SELECT consumer, source, aggregate_type, aggregate_id, 1, gen_random_uuid(), 'failed',"
        f" 'order.happened', 1, now(), '{{}}', 'c', {next_attempt} FROM inbox"
        " WHERE aggregate_id LIKE %s",
        f"{prefix}%",
    )


async def tried_first(world: World, count: int) -> set[str]:
    """The aggregates that the retrier takes before all others."""
    tried: list[str] = []

    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        tried.append(event.stream.aggregate_id)
        raise ValueError("broken")

    failures = {Exception: Retry(base=600, ceiling=600)}
    inbox = Inbox(
        QUEUE, {"order.happened": fails}, world.work, InboxSettings(failures=failures, breaker=None)
    )
    assert await inbox.retry_due()
    return set(tried[:count])


TEN = {f"z{n}" for n in range(1, 11)}


async def test_the_stream_that_has_been_due_longest_is_tried_first(world: World) -> None:
    await fail(world, "a", 300)
    await fail(world, "z", 10, "now() - interval '1 s'")
    assert await tried_first(world, 10) == TEN


async def test_a_redriven_event_is_tried_before_those_that_are_retried(
    world: World,
) -> None:
    await fail(world, "a", 300, "now() - interval '1 h'")
    await fail(world, "z", 10, "NULL")
    async with await world.psycopg() as connection:
        for name in TEN:
            assert (
                await InboxOperations(connection, QUEUE).redrive(
                    ParkedSelection(stream=stream_of(name))
                )
                == 1
            )
        listed = await list_parked(connection, QUEUE, limit=1_000)
        assert all(parked.next_attempt_at for parked in listed)
        found = await status(connection)
    assert found.inbox is not None
    assert all(parked.next_attempt for parked in found.inbox.parked)
    assert await tried_first(world, 10) == TEN


async def test_a_redrive_of_many_streams_does_not_keep_retries_waiting(world: World) -> None:
    await fail(world, "a", 300, "'-infinity'")
    await fail(world, "z", 10, "now() - interval '1 s'")
    tried = await tried_first(world, 100)
    assert tried > TEN
    assert len(tried) == 100


async def test_many_due_streams_are_tried_without_a_pause_between(world: World) -> None:
    await fail(world, "a", 450)
    async with running(world.consumer(record, retry_every=600)):
        await eventually(lambda: has_effects(world, 450), within=60)
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]
