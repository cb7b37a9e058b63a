"""Units of work that only wrote are committed together, and each gets its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kit.outbox.units import EFFECT, emitted, outcomes, write, written
from kit.outbox.world import SOURCE, Happened, World
from kit.waiting import eventually
from outbox import Notifier, Outbox, Work
from outbox.errors import UnitEnded
from outbox.log.group_commit import SIZE
from outbox.losses import sqlstate_of

LOCK_NOT_AVAILABLE = "55P03"
DIES = "INSERT INTO effects SELECT 0, pg_terminate_backend(pg_backend_pid())::text, 0"


@pytest.fixture
async def engine(world: World) -> AsyncIterator[AsyncEngine]:
    """One whose statements wait half a second for a lock."""
    url = world.database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_async_engine(url, connect_args={"options": "-c lock_timeout=500ms"})
    yield engine
    await engine.dispose()


@pytest.fixture
async def work(world: World, engine: AsyncEngine) -> AsyncIterator[Work]:
    async with Notifier(world.database_url) as notifier:
        yield Work(engine, Outbox(SOURCE), notifier)


@asynccontextmanager
async def locked(world: World, *aggregates: str) -> AsyncIterator[None]:
    """Another transaction holds the streams of these aggregates for the length of the block."""
    async with await psycopg.AsyncConnection.connect(world.database_url) as other:
        await other.execute(
            "UPDATE outbox_streams SET last = last WHERE aggregate_id = ANY(%s)", [list(aggregates)]
        )
        yield
        await other.rollback()


async def waits_for_a_lock(world: World, count: int) -> bool:
    [(waiting,)] = await world.rows(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(waiting == count)


async def test_units_that_end_together_are_one_transaction(world: World, work: Work) -> None:
    await asyncio.gather(*(write(work, f"a{number}") for number in range(SIZE)))
    [(count, transactions)] = await world.rows(
        "SELECT count(*), count(DISTINCT xmin::text) FROM effects"
    )
    assert (count, transactions, await world.unpublished()) == (SIZE, 1, SIZE)


async def test_a_unit_that_only_writes_takes_no_connection(
    world: World, work: Work, engine: AsyncEngine
) -> None:
    async with work.begin() as unit:
        await unit.send(EFFECT, {"id": "a", "number": 1})
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        await unit.connection.execute(text("SELECT 1"))
        assert engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    assert await written(world) == {"a": 1}


async def test_a_unit_that_reads_sees_what_it_wrote_before(work: Work) -> None:
    async with work.begin() as unit:
        await unit.send(EFFECT, {"id": "a", "number": 1})
        assert await unit.connection.scalar(text("SELECT count(*) FROM effects")) == 1
        await unit.send(EFFECT, {"id": "b", "number": 1})
        async with unit.session() as session:
            assert await session.scalar(text("SELECT count(*) FROM effects")) == 2


@pytest.mark.parametrize("reads", [False, True])
async def test_a_block_that_raises_writes_nothing(world: World, work: Work, reads: bool) -> None:
    async def fail() -> None:
        async with work.begin() as unit:
            await unit.send(EFFECT, {"id": "a", "number": 1})
            if reads:
                await unit.connection.execute(text("SELECT 1"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await written(world) == {}


async def test_a_savepoint_begins_the_transaction(world: World, work: Work) -> None:
    async with work.begin() as unit:
        savepoint = await unit.connection.begin_nested()
        await unit.send(EFFECT, {"id": "a", "number": 1})
        await savepoint.rollback()
        await unit.send(EFFECT, {"id": "b", "number": 1})
    assert await written(world) == {"b": 1}


async def test_rows_are_streamed_on_a_connection_that_had_not_begun(work: Work) -> None:
    async with (
        work.begin() as unit,
        unit.connection.stream(text("SELECT generate_series(1, 3)")) as rows,
    ):
        assert [row[0] async for row in rows] == [1, 2, 3]


async def test_a_connection_kept_past_its_block_does_not_begin(work: Work) -> None:
    async with work.begin() as unit:
        kept = unit.connection
    with pytest.raises(UnitEnded):
        await kept.execute(text("SELECT 1"))


async def test_units_of_one_aggregate_in_one_group_keep_their_order(
    world: World, work: Work
) -> None:
    await asyncio.gather(*(write(work, "ab"[n % 2], n) for n in range(SIZE)))
    for aggregate in "ab":
        events = [event[1:] for event in await emitted(world) if event[0] == aggregate]
        assert [sequence for sequence, _ in events] == list(range(1, SIZE // 2 + 1))
        assert [number for _, number in events] == sorted(number for _, number in events)


async def test_one_of_a_group_that_violates_a_constraint_fails_alone(
    world: World, work: Work
) -> None:
    await world.execute("CREATE UNIQUE INDEX ON effects (aggregate_id)")
    await write(work, "taken")
    ids = [f"a{number}" for number in range(SIZE)]
    ids[SIZE // 2] = "taken"
    found = await outcomes(*(write(work, id_) for id_ in ids))
    [problem] = [one for one in found if one]
    assert isinstance(problem, IntegrityError)
    assert found[SIZE // 2] is problem
    assert await written(world) == dict.fromkeys(ids, 1)
    assert sorted(await emitted(world)) == sorted((id_, 1, 1) for id_ in ids)


async def test_two_of_a_group_that_want_the_same_have_one_winner(world: World, work: Work) -> None:
    await world.execute("CREATE UNIQUE INDEX ON effects (aggregate_id)")
    found = await outcomes(*(write(work, id_) for id_ in ("a", "b", "b", "c")))
    [problem] = [one for one in found if one]
    assert isinstance(problem, IntegrityError)
    assert await written(world) == {"a": 1, "b": 1, "c": 1}


async def test_a_constraint_that_is_checked_at_the_commit_fails_its_own_unit(
    world: World, work: Work
) -> None:
    await world.execute(
        "ALTER TABLE effects ADD UNIQUE (aggregate_id) DEFERRABLE INITIALLY DEFERRED"
    )
    await write(work, "taken")
    found = await outcomes(*(write(work, id_) for id_ in ("a", "taken", "b")))
    assert [isinstance(one, IntegrityError) for one in found] == [False, True, False]
    assert await written(world) == {"taken": 1, "a": 1, "b": 1}


async def test_one_of_a_group_that_waits_for_a_lock_holds_up_nobody(
    world: World, work: Work
) -> None:
    await write(work, "locked")
    async with locked(world, "locked"):
        late = asyncio.create_task(write(work, "locked", 2))
        others = [write(work, f"a{number}") for number in range(10)]
        assert await outcomes(*others) == [None] * 10
        assert not late.done()
        [problem] = await outcomes(late)
    assert sqlstate_of(problem) == LOCK_NOT_AVAILABLE
    assert await written(world) == {"locked": 1, **{f"a{number}": 1 for number in range(10)}}


async def test_a_unit_cancelled_while_it_waits_is_not_written(world: World, work: Work) -> None:
    await asyncio.gather(write(work, "a"), write(work, "b"))
    async with locked(world, "a", "b"):
        first = asyncio.create_task(write(work, "a", 2))
        await eventually(lambda: waits_for_a_lock(world, 1))
        second = asyncio.create_task(write(work, "b", 2))
        await eventually(lambda: waits_for_a_lock(world, 2))
        waiting, cancelled = (asyncio.create_task(write(work, id_)) for id_ in "cd")
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
    assert cancelled.cancelled()
    assert await outcomes(first, second, waiting) == [None] * 3
    assert await written(world) == {"a": 2, "b": 2, "c": 1}


async def test_the_commit_decides_about_a_unit_cancelled_under_way(
    world: World, work: Work
) -> None:
    await write(work, "a")
    async with locked(world, "a"):
        task = asyncio.create_task(write(work, "a", 2))
        await eventually(lambda: waits_for_a_lock(world, 1))
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()
    await write(work, "a", 3)
    assert await emitted(world) == [("a", 1, 1), ("a", 2, 2), ("a", 3, 3)]
    assert await written(world) == {"a": 3}


async def test_a_lost_connection_fails_the_whole_group_and_nothing_runs_twice(
    world: World, work: Work
) -> None:
    found = await outcomes(write(work, "a"), write(work, "b", statement=DIES), write(work, "c"))
    assert [isinstance(one, psycopg.OperationalError | DBAPIError) for one in found] == [True] * 3
    assert await written(world) == {}
    assert await outcomes(write(work, "a"), write(work, "c")) == [None, None]
    assert await written(world) == {"a": 1, "c": 1}


async def test_a_parameter_that_cannot_be_sent_fails_its_own_unit(world: World, work: Work) -> None:
    found = await outcomes(write(work, "a"), write(work, "b", statement=EFFECT + "%(no)s"))
    assert [isinstance(one, DBAPIError) for one in found] == [False, True]
    assert await written(world) == {"a": 1}


@pytest.mark.usefixtures("patience")
async def test_groups_that_lock_streams_in_different_orders_all_commit(
    world: World, work: Work, engine: AsyncEngine
) -> None:
    """As of two processes; the events of one unit may be of any aggregates, in any order."""
    other = Work(engine, Outbox(SOURCE), Notifier(world.database_url))

    async def crossing(one: Work, number: int) -> None:
        async with one.begin() as unit:
            for step in (0, number % 3 + 1):
                await unit.emit(Happened("abcd"[(number + step) % 4], number))

    units = [crossing(one, number) for number in range(SIZE) for one in (work, other)]
    assert await outcomes(*units) == [None] * 2 * SIZE
    events = await emitted(world)
    assert len(events) == 4 * SIZE
    for aggregate in "abcd":
        sequences = [sequence for id_, sequence, _ in events if id_ == aggregate]
        assert sequences == list(range(1, len(sequences) + 1))
