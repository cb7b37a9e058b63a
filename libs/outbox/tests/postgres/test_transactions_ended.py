"""Handlers that end or break the transaction they were lent: parked, never lost, never twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import pytest
from psycopg import AsyncCursor
from psycopg.sql import SQL
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.outbox.deliveries import effects, record
from kit.outbox.orm_models import Taken, effect
from kit.outbox.world import QUEUE, SOURCE, Happened, World
from outbox import Envelope, UnitOfWork, Work, handle_many, jobs
from outbox.errors import TransactionEnded
from outbox.failures import RetryPolicy
from outbox.inbox.operations import ParkedEvent
from outbox.log.deferred import raw_connection
from outbox.testing import Source, deliver

Handler = Callable[[UnitOfWork, Envelope], Awaitable[None]]
TAKEN = text("INSERT INTO taken VALUES (1)")


async def swallows_a_failed_flush(unit: UnitOfWork, event: Envelope) -> None:
    async with AsyncSession(unit.connection) as session:
        session.add(effect(event))
        await session.flush()
        session.add(Taken(number=1))
        with suppress(Exception):
            await session.flush()


async def does_not_see_integrity_error(unit: UnitOfWork, event: Envelope) -> None:
    async with AsyncSession(unit.connection) as session:
        session.add(effect(event))
        await session.flush()
        session.add(Taken(number=1))
        with suppress(IntegrityError):
            await session.flush()


async def rolls_its_session_back(unit: UnitOfWork, event: Envelope) -> None:
    async with AsyncSession(unit.connection) as session:
        session.add(effect(event))
        await session.flush()
        await session.rollback()


async def rolls_the_connection_back(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.connection.rollback()


async def sends_a_commit(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.send("COMMIT", {})


async def sends_commits(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    for _ in range(2):
        await unit.send("COMMIT", {})


async def commits_the_connection(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.connection.commit()


async def commits_and_swallows(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    with suppress(Exception):
        await unit.connection.commit()


async def commits_the_driver(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await (await raw_connection(unit.connection)).commit()


async def rolls_the_driver_back(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await (await raw_connection(unit.connection)).rollback()


async def says_commit(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.connection.execute(text("COMMIT"))


async def says_commit_to_the_driver(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await (await raw_connection(unit.connection)).execute("  commit and chain")


async def says_rollback(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.connection.execute(text("ROLLBACK"))


async def swallows_a_failed_statement(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    with suppress(IntegrityError):
        await unit.connection.execute(TAKEN)


async def says_commit_after_a_comment(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.connection.execute(text("/* app=shop */ -- now\n COMMIT"))


async def says_commit_after_another_statement(unit: UnitOfWork, event: Envelope) -> None:
    await unit.connection.exec_driver_sql("INSERT INTO effects (aggregate_id) VALUES ('x'); commit")


async def composes_a_commit(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await (await raw_connection(unit.connection)).execute(SQL("COMMIT"))


async def leaves_a_savepoint_open(unit: UnitOfWork, event: Envelope) -> None:
    await unit.connection.begin_nested()
    await record(unit, event)


async def abandons_a_generator_within_a_session(unit: UnitOfWork, event: Envelope) -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        async with unit.session() as session:
            for row in await session.execute(text("SELECT generate_series(1, 3)")):
                yield row[0]

    await record(unit, event)
    abandoned.append(numbers())
    async for _ in abandoned[-1]:
        break


async def cancels_a_statement_and_goes_on(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await unit.connection.execute(text("SELECT pg_sleep(60)"))


async def invalidates_the_connection(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.connection.invalidate()


async def leaves_a_pipeline_open(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    left.append((await raw_connection(unit.connection)).pipeline())
    await left[-1].__aenter__()


async def leaves_a_copy_open(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    cursor = (await raw_connection(unit.connection)).cursor()
    left.append(cursor.copy("COPY effects (aggregate_id) FROM STDIN"))
    await left[-1].__aenter__()


abandoned: list[AsyncGenerator[int, None]] = []
left: list[AbstractAsyncContextManager[object]] = []
"""What handlers have begun and not ended: kept, so that nothing tidies it up for them."""


async def closes_the_connection(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    await unit.connection.close()


ENDING: list[Handler] = [
    says_commit_after_a_comment,
    says_commit_after_another_statement,
    composes_a_commit,
    leaves_a_savepoint_open,
    abandons_a_generator_within_a_session,
    cancels_a_statement_and_goes_on,
    invalidates_the_connection,
    leaves_a_pipeline_open,
    leaves_a_copy_open,
    closes_the_connection,
    swallows_a_failed_flush,
    does_not_see_integrity_error,
    rolls_its_session_back,
    rolls_the_connection_back,
    commits_the_connection,
    commits_and_swallows,
    commits_the_driver,
    rolls_the_driver_back,
    says_commit,
    says_commit_to_the_driver,
    says_rollback,
    swallows_a_failed_statement,
]


@pytest.fixture
async def work(world: World) -> Work:
    await world.execute("CREATE TABLE taken (number int PRIMARY KEY)")
    await world.execute("INSERT INTO taken VALUES (1)")
    return world.work


async def delivered(work: Work, handler: Handler) -> list[ParkedEvent]:
    """One of these among healthy events of other streams, all in one batch."""
    handlers = {"order.happened": record, "order.broke": handler}
    kinds = {"b": "order.broke"}
    events = [Happened(id_, type=kinds.get(id_, "order.happened")) for id_ in "abc"]
    return await deliver(work, QUEUE, handlers, *Source(SOURCE).envelopes(*events))


@pytest.mark.parametrize(
    "handler", [*ENDING, sends_a_commit, sends_commits], ids=lambda handler: handler.__name__
)
async def test_a_handler_that_ends_its_transaction_parks_its_event_alone(
    world: World, work: Work, handler: Handler
) -> None:
    [parked] = await delivered(work, handler)
    assert (parked.stream.aggregate_id, parked.reason) == ("b", "failed")
    assert "it is not the one to end the transaction" in str(parked.last_error)
    assert await effects(world) == {"a": [1], "c": [1]}


async def test_a_handler_that_goes_on_in_another_transaction_commits_nothing_of_that(
    world: World, work: Work
) -> None:
    async def goes_behind_the_guard(unit: UnitOfWork, event: Envelope) -> None:
        cursor = AsyncCursor(await raw_connection(unit.connection))
        await cursor.execute("COMMIT")
        await record(unit, event)

    events = Source(SOURCE).envelopes(Happened("a"))
    [parked] = await deliver(work, QUEUE, {"order.happened": goes_behind_the_guard}, *events)
    assert "it is not the one to end the transaction" in str(parked.last_error)
    assert parked.next_attempt_at is None, "its first transaction may be committed"
    assert await effects(world) == {}


async def test_a_list_handler_that_ends_its_transaction_parks_the_failing_event_alone(
    world: World, work: Work
) -> None:
    async def handle(unit: UnitOfWork, events: Sequence[Envelope]) -> None:
        for event in events:
            await record(unit.caused_by(event), event)
            if event.stream.aggregate_id == "b":
                await unit.connection.rollback()

    events = Source(SOURCE).envelopes(*[Happened(id_) for id_ in "abc"])
    handlers = {"order.happened": handle_many(handle)}
    [parked] = await deliver(work, QUEUE, handlers, *events)
    assert parked.stream.aggregate_id == "b"
    assert await effects(world) == {"a": [1], "c": [1]}


@pytest.mark.parametrize("handler", ENDING, ids=lambda handler: handler.__name__)
async def test_a_block_of_work_that_ends_its_transaction_raises_and_leaves_nothing(
    world: World, work: Work, handler: Handler
) -> None:
    [event] = Source(SOURCE).envelopes(Happened("a"))

    async def write() -> None:
        async with work.begin() as unit:
            await unit.emit(Happened("a"))
            await unit.connection.execute(text("SELECT 1"))
            await handler(unit, event)

    with pytest.raises(TransactionEnded):
        await write()
    assert await effects(world) == {}
    assert await world.unpublished() == 0
    await is_usable(world, work)


@pytest.mark.parametrize("handler", ENDING, ids=lambda handler: handler.__name__)
async def test_a_result_of_a_job_that_ends_its_transaction_is_a_failed_attempt(
    world: World, work: Work, handler: Handler
) -> None:
    [event] = Source(SOURCE).envelopes(Happened("a"))

    async def call(_job: jobs.Job) -> jobs.Result:
        async def result(unit: UnitOfWork) -> None:
            await handler(unit, event)

        return result

    async with work.begin() as unit:
        await jobs.enqueue(unit, "call", key="1", payload={})
    policy = RetryPolicy(attempts=1)
    worker = jobs.JobWorker(work, {"call": call}, jobs.JobSettings(retry=policy))
    assert await worker.run_due() == 1
    [(state, error)] = await world.rows("SELECT state, last_error FROM outbox_jobs")
    assert (state, await effects(world)) == ("failed", {})
    assert "it is not the one to end the transaction" in str(error)


async def is_usable(world: World, work: Work) -> None:
    """Nothing of a refused transaction is left open in the pool."""
    async with work.begin() as unit:
        await unit.send("INSERT INTO effects (aggregate_id, sequence) VALUES ('z', 1)", {})
    assert await effects(world) == {"z": [1]}
