"""What a handler may do with its unit of work, and when nothing can be done with it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from kit.outbox.deliveries import effects, record
from kit.outbox.orm_models import Taken, effect
from kit.outbox.world import QUEUE, SOURCE, Happened, World, install, running
from kit.waiting import eventually
from outbox import Envelope, Notifier, Outbox, RetryPolicy, UnitOfWork, Work, jobs
from outbox.errors import AutocommitRefused, UnitEnded
from outbox.inbox.watchdog import Watchdog
from outbox.testing import Source, deliver

AUTOCOMMIT = "AUTOCOMMIT"


async def test_a_session_of_the_unit_is_flushed_at_its_end(world: World) -> None:
    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        async with unit.session() as session:
            session.add(effect(event))

    events = Source(SOURCE).envelopes(Happened("a"), Happened("a"))
    assert await deliver(world.work, QUEUE, {"order.happened": handle}, *events) == []
    assert await effects(world) == {"a": [1, 2]}


async def test_a_failed_flush_in_a_session_of_the_unit_takes_back_that_session_alone(
    world: World,
) -> None:
    await world.execute("CREATE TABLE taken (number int PRIMARY KEY)")

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        try:
            async with unit.session() as session:
                session.add(Taken(number=1))
        except IntegrityError:
            await unit.emit(Happened("somebody was faster"))

    events = Source(SOURCE).envelopes(Happened("a"), Happened("b"))
    assert await deliver(world.work, QUEUE, {"order.happened": handle}, *events) == []
    assert await effects(world) == {"a": [1], "b": [1]}
    assert await world.unpublished() == 1


async def test_a_session_that_swallows_a_failed_flush_parks_its_event(world: World) -> None:
    await world.execute("CREATE TABLE taken (number int PRIMARY KEY)")
    await world.execute("INSERT INTO taken VALUES (1)")

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        async with unit.session() as session:
            session.add(effect(event))
            await session.flush()
            session.add(Taken(number=1))
            with suppress(IntegrityError):
                await session.flush()

    events = Source(SOURCE).envelopes(Happened("a"))
    [parked] = await deliver(world.work, QUEUE, {"order.happened": handle}, *events)
    assert "PendingRollbackError" in str(parked.last_error)
    assert await effects(world) == {}


Use = Callable[[UnitOfWork, Envelope], Awaitable[None]]


async def _emits(unit: UnitOfWork, event: Envelope) -> None:
    await unit.emit(Happened("late"))


async def _emits_by_a_child(unit: UnitOfWork, event: Envelope) -> None:
    await unit.caused_by(event).emit(Happened("late"))


async def _writes(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)


async def _sends(unit: UnitOfWork, event: Envelope) -> None:
    await unit.send("INSERT INTO effects (aggregate_id, sequence) VALUES ('late', 0)", {})


async def _opens_a_session(unit: UnitOfWork, event: Envelope) -> None:
    async with unit.session() as session:
        session.add(effect(event))


@pytest.mark.parametrize("use", [_emits, _emits_by_a_child, _writes, _sends, _opens_a_session])
async def test_a_unit_kept_past_its_handler_writes_nothing(world: World, use: Use) -> None:
    kept: list[UnitOfWork] = []

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        kept.append(unit)

    [event] = Source(SOURCE).envelopes(Happened("a"))
    assert await deliver(world.work, QUEUE, {"order.happened": handle}, event) == []
    with pytest.raises(UnitEnded, match="has ended, nothing was written"):
        await use(kept[0], event)
    assert (await effects(world), await world.unpublished()) == ({}, 0)


async def test_a_block_without_a_statement_is_fine(world: World) -> None:
    async with world.work.begin() as unit:
        unit.announce("channel", "key")


async def test_a_unit_kept_past_its_block_writes_nothing(world: World) -> None:
    async with world.work.begin() as unit:
        await unit.emit(Happened("a"))
    with pytest.raises(UnitEnded):
        await unit.emit(Happened("late"))
    assert await world.unpublished() == 1


async def test_a_task_that_writes_before_the_commit_but_after_its_handler_parks_the_event(
    world: World,
) -> None:
    """The next handler lets the task run, in the same transaction."""
    tasks: list[asyncio.Task[None]] = []

    async def begins_a_task(unit: UnitOfWork, event: Envelope) -> None:
        tasks.append(asyncio.create_task(record(unit, event)))

    async def waits(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        await asyncio.wait(tasks)

    handlers = {"order.begun": begins_a_task, "order.happened": waits}
    events = Source(SOURCE).envelopes(Happened("a", type="order.begun"), Happened("b"))
    [parked] = await deliver(world.work, QUEUE, handlers, *events)
    assert parked.stream.aggregate_id == "a"
    assert "has ended, nothing was written" in str(parked.last_error)
    assert await effects(world) == {"b": [1]}
    assert all(isinstance(task.exception(), UnitEnded) for task in tasks)


async def test_a_task_that_the_last_handler_leaves_behind_parks_the_event(world: World) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def forgets_to_wait(unit: UnitOfWork, event: Envelope) -> None:
        tasks.append(asyncio.create_task(unit.emit(Happened("never"))))

    events = Source(SOURCE).envelopes(Happened("a"))
    [parked] = await deliver(world.work, QUEUE, {"order.happened": forgets_to_wait}, *events)
    assert "has ended, nothing was written" in str(parked.last_error)
    assert await world.unpublished() == 0


async def test_a_task_that_writes_after_the_commit_is_refused_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    committed = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def later(unit: UnitOfWork, event: Envelope) -> None:
        await committed.wait()
        await record(unit, event)

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        tasks.append(asyncio.create_task(later(unit, event)))

    events = Source(SOURCE).envelopes(Happened("a"))
    await deliver(world.work, QUEUE, {"order.happened": handle}, *events)
    committed.set()
    await asyncio.wait(tasks)
    assert await effects(world) == {}
    assert isinstance(tasks[0].exception(), UnitEnded)
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "shop/order/a" in line.getMessage()


async def test_a_handler_that_swallows_its_cancellation_applies_nothing(world: World) -> None:
    """It comes again: delivered, not applied, not parked, not acked."""
    begun = asyncio.Event()

    async def swallows(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    events = Source(SOURCE).envelopes(Happened("a"))
    delivery = asyncio.create_task(
        deliver(world.work, QUEUE, {"order.happened": swallows}, *events)
    )
    await begun.wait()
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    assert await effects(world) == {}
    assert await deliver(world.work, QUEUE, {"order.happened": record}, *events) == []
    assert await effects(world) == {"a": [1]}


async def test_a_handler_may_use_time_limits_of_its_own(world: World) -> None:
    async def gives_up(unit: UnitOfWork, event: Envelope) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            await record(unit, event)

    events = Source(SOURCE).envelopes(Happened("a"))
    assert await deliver(world.work, QUEUE, {"order.happened": gives_up}, *events) == []
    assert await effects(world) == {"a": [1]}


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_events_alone_in_autocommit_are_refused(world: World, driver: str) -> None:
    url = world.database_url.replace("postgresql://", f"postgresql+{driver}://")
    outbox = Outbox(SOURCE)
    engine = create_async_engine(url, isolation_level=AUTOCOMMIT)
    async with engine.begin() as connection:
        with pytest.raises(AutocommitRefused, match="the connection is in autocommit"):
            await outbox.add(connection, Happened("a"))
        with pytest.raises(AutocommitRefused):
            await outbox.unschedule(connection, "key")
    async with AsyncSession(engine) as session:
        with pytest.raises(AutocommitRefused):
            await outbox.add(session, Happened("a"))
    await engine.dispose()
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as raw:
        with pytest.raises(AutocommitRefused):
            await outbox.add(raw, Happened("a"))
        async with raw.transaction():
            await outbox.add(raw, Happened("fine"))
    assert await world.unpublished() == 1


def test_synchronous_connections_in_autocommit_are_refused_as_well(database_url: str) -> None:
    install(database_url)
    outbox = Outbox(SOURCE)
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url, isolation_level=AUTOCOMMIT)
    with engine.begin() as connection, pytest.raises(AutocommitRefused):
        outbox.add_sync(connection, Happened("a"))
    with Session(engine) as session, pytest.raises(AutocommitRefused):
        outbox.add_sync(session, Happened("a"))
    engine.dispose()
    with psycopg.connect(database_url, autocommit=True) as raw:
        with pytest.raises(AutocommitRefused):
            outbox.add_sync(raw, Happened("a"))
        with raw.transaction():
            outbox.add_sync(raw, Happened("fine"))


async def test_work_refuses_an_engine_in_autocommit(world: World) -> None:
    async with Notifier(world.database_url) as notifier:
        with pytest.raises(AutocommitRefused, match="the engine"):
            Work(
                world.engine.execution_options(isolation_level=AUTOCOMMIT),
                Outbox(SOURCE),
                notifier,
            )


async def test_a_consumer_on_an_engine_made_in_autocommit_ends_at_once(world: World) -> None:
    url = world.database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_async_engine(url, isolation_level=AUTOCOMMIT)
    async with Notifier(world.database_url) as notifier:
        world.work = Work(engine, Outbox(SOURCE), notifier)
        with pytest.raises(AutocommitRefused):
            await world.consumer(record).run(asyncio.Event())
        with pytest.raises(AutocommitRefused):
            async with world.work.begin() as unit:
                await unit.emit(Happened("a"))
        with pytest.raises(AutocommitRefused):
            async with world.work.begin() as unit:
                await unit.connection.exec_driver_sql("SELECT 1")
    await engine.dispose()


async def test_a_transaction_that_stands_still_is_ended_by_the_server(world: World) -> None:
    """As of a worker that was stopped in mid-handler. The limit is on the whole transaction."""
    limit: dict[str, Any] = {"transaction_timeout": 1.0, "hangs_after": 1.0, "time_limit": 0}
    stood_still = asyncio.Event()

    async def stands_still_once(unit: UnitOfWork, event: Envelope) -> None:
        if not stood_still.is_set():
            stood_still.set()
            await eventually(lambda: _no_transaction_is_idle(world))
        await record(unit, event)

    consumer = world.consumer(stands_still_once, watchdog=Watchdog(60.0), **limit)
    async with running(world.relay(), consumer):
        await world.emit(Happened("a"))
        await eventually(lambda: _has_effect(world))
    assert await effects(world) == {"a": [1]}


async def _no_transaction_is_idle(world: World) -> bool:
    open_ones = await world.rows(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND state LIKE 'idle in transaction%'"
    )
    return not open_ones


async def _has_effect(world: World) -> bool:
    return await effects(world) != {}


async def test_a_cancellation_from_within_is_the_handlers_failure(world: World) -> None:
    """Of a task that the handler waited for; nobody had cancelled the handler."""

    async def passes_it_on(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    handlers = {"order.happened": record, "order.broke": passes_it_on}
    events = Source(SOURCE).envelopes(Happened("a", type="order.broke"), Happened("b"))
    [parked] = await deliver(world.work, QUEUE, handlers, *events)
    assert parked.stream.aggregate_id == "a"
    assert "HandlerCancelled" in str(parked.last_error)
    assert await effects(world) == {"b": [1]}


@pytest.mark.parametrize("where", ["call", "result"])
async def test_a_cancellation_from_within_is_the_jobs_failure(world: World, where: str) -> None:
    async def passes_it_on() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    async def call(_job: jobs.Job) -> jobs.Result:
        async def result(_unit: UnitOfWork) -> None:
            await passes_it_on()

        if where == "call":
            await passes_it_on()
        return result

    async with world.work.begin() as unit:
        await jobs.enqueue(unit, "call", key="1", payload={})
    settings = jobs.JobSettings(retry=RetryPolicy(attempts=1))
    assert await jobs.JobWorker(world.work, {"call": call}, settings).run_due() == 1
    [(state, error)] = await world.rows("SELECT state, last_error FROM outbox_jobs")
    assert state == "failed"
    assert "HandlerCancelled" in str(error)


async def test_parameters_of_a_sent_statement_may_be_filled_again(world: World) -> None:
    statement = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, %(sequence)s)"

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        parameters: dict[str, object] = {"id": event.stream.aggregate_id}
        for number in range(3):
            parameters["sequence"] = number
            await unit.send(statement, parameters)

    events = Source(SOURCE).envelopes(Happened("a"))
    assert await deliver(world.work, QUEUE, {"order.happened": handle}, *events) == []
    assert await effects(world) == {"a": [0, 1, 2]}


@pytest.mark.parametrize("begin", ["SAVEPOINT s", "savepoint s", "/* app */ Savepoint s"])
async def test_a_savepoint_by_statement_undoes_only_what_came_after_it(
    world: World, begin: str
) -> None:
    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        await unit.emit(Happened(f"{event.stream.aggregate_id} before"))
        await unit.connection.execute(text(begin))
        await unit.emit(Happened(f"{event.stream.aggregate_id} within"))
        await unit.connection.execute(text(begin.lower().replace("savepoint", "rollback to")))
        await unit.emit(Happened(f"{event.stream.aggregate_id} after"))

    events = Source(SOURCE).envelopes(Happened("a"), Happened("b"))
    assert await deliver(world.work, QUEUE, {"order.happened": handle}, *events) == []
    said = await world.rows("SELECT aggregate_id FROM outbox ORDER BY id")
    assert said == [("a before",), ("a after",), ("b before",), ("b after",)]


async def test_events_emitted_within_a_session_are_undone_with_it(world: World) -> None:
    await world.execute("CREATE TABLE taken (number int PRIMARY KEY)")
    await world.execute("INSERT INTO taken VALUES (1)")

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        with suppress(IntegrityError):
            async with unit.session() as session:
                await unit.emit(Happened("within"))
                session.add(Taken(number=1))

    events = Source(SOURCE).envelopes(Happened("a"))
    assert await deliver(world.work, QUEUE, {"order.happened": handle}, *events) == []
    assert await world.unpublished() == 0
