"""Whatever befalls one unit of a group or its connection, each unit gets its own right outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.units import EFFECT, emitted, outcomes, write, written
from kit.outbox.world import SOURCE, Happened, World
from kit.servers.round_trips import RoundTrips
from kit.servers.tcp_proxy import losing_commits, server_of, tcp_proxy, through
from outbox import Event, InvalidEvent, Notifier, Outbox, Work
from outbox.errors import TransactionEnded
from outbox.event import MAX_PAYLOAD
from outbox.losses import database_lost, sqlstate_of

DEADLOCK, SERIALIZATION = "40P01", "40001"
OTHERS = [f"a{number}" for number in range(10)]
RAISE = "INSERT INTO effects SELECT 0, {raising}(%(id)s), %(number)s"


@asynccontextmanager
async def working(world: World, url: str | None = None, **options: object) -> AsyncIterator[Work]:
    """Units of work on an engine of their own."""
    address = (url or world.database_url).replace("postgresql://", "postgresql+psycopg://")
    engine = create_async_engine(address, **options)
    async with Notifier(world.database_url) as notifier:
        yield Work(engine, Outbox(SOURCE), notifier)
    await engine.dispose()


@pytest.fixture
async def work(world: World) -> AsyncIterator[Work]:
    async with working(world) as work:
        yield work


async def send(work: Work, statement: str) -> None:
    async with work.begin() as unit:
        await unit.send(statement, {})
        await unit.emit(Happened("bad"))


@pytest.mark.parametrize(
    "statement", ["COMMIT", "ROLLBACK", "/* a */ end", "PREPARE TRANSACTION 'x'"]
)
async def test_a_unit_that_would_end_the_transaction_of_its_group_is_refused(
    world: World, work: Work, statement: str
) -> None:
    units = [write(work, id_) for id_ in OTHERS]
    found = await outcomes(*units[:5], send(work, statement), *units[5:])
    [problem] = [one for one in found if one]
    assert isinstance(problem, TransactionEnded)
    assert await written(world) == dict.fromkeys(OTHERS, 1)
    assert sorted(await emitted(world)) == [(id_, 1, 1) for id_ in OTHERS]


@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL timezone = 'Asia/Tokyo'",
        "SELECT set_config('timezone', 'Asia/Tokyo', true)",
        "/* mine */ set local timezone to 'Asia/Tokyo'",
    ],
)
async def test_a_setting_of_one_unit_reaches_no_other_unit(
    world: World, work: Work, statement: str
) -> None:
    zone = "INSERT INTO effects SELECT 0, current_setting('timezone') || %(id)s, %(number)s"
    found = await outcomes(
        write(work, "a"), send(work, statement), *(write(work, id_, statement=zone) for id_ in "bc")
    )
    assert found == [None] * 4
    assert not [id_ for id_ in await written(world) if "Tokyo" in id_]


async def test_a_savepoint_of_one_unit_takes_back_nothing_of_another(
    world: World, work: Work
) -> None:
    async def changes_its_mind() -> None:
        async with work.begin() as unit:
            await unit.send("SAVEPOINT s", {})
            await unit.send(EFFECT, {"id": "taken back", "number": 1})
            await unit.send("ROLLBACK TO s", {})
            await unit.send(EFFECT, {"id": "kept", "number": 1})

    found = await outcomes(write(work, "a"), changes_its_mind(), write(work, "b"))
    assert found == [None] * 3
    assert await written(world) == {"a": 1, "kept": 1, "b": 1}


@pytest.mark.parametrize("state", [DEADLOCK, SERIALIZATION, "57014", "53200", "XX000"])
async def test_an_error_of_the_server_is_that_of_its_unit_alone(
    world: World, work: Work, state: str
) -> None:
    await world.execute(
        "CREATE FUNCTION raising(text) RETURNS text LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$"
    )
    bad = write(work, "bad", statement=RAISE.format(raising="raising"))
    found = await outcomes(*(write(work, id_) for id_ in OTHERS), bad)
    assert found[:-1] == [None] * len(OTHERS)
    assert sqlstate_of(found[-1]) == state
    assert await written(world) == dict.fromkeys(OTHERS, 1)


async def test_an_event_that_is_too_large_never_comes_into_a_group(
    world: World, work: Work
) -> None:
    async def emit(event: Event) -> None:
        async with work.begin() as unit:
            await unit.emit(event)

    large = emit(Happened("large", body=b'"' + b"x" * MAX_PAYLOAD + b'"'))
    found = await outcomes(*(write(work, id_) for id_ in OTHERS), large)
    assert isinstance(found[-1], InvalidEvent)
    assert found[:-1] == [None] * len(OTHERS)
    assert await written(world) == dict.fromkeys(OTHERS, 1)


async def test_a_unit_sees_what_an_earlier_one_of_its_group_wrote(world: World, work: Work) -> None:
    counting = "INSERT INTO effects SELECT 0, %(id)s, count(*) FROM effects"
    found = await outcomes(*(write(work, id_, statement=counting) for id_ in "abc"))
    assert found == [None] * 3
    rows = await world.rows("SELECT sequence, xmin::text FROM effects ORDER BY sequence")
    assert [sequence for sequence, _ in rows] == [0, 1, 2]
    assert len({xmin for _, xmin in rows}) == 1


async def test_callers_that_are_cancelled_leave_whole_units_or_none(
    world: World, work: Work
) -> None:
    """At any moment: each of 40 rounds cancels a few steps of the event loop later."""
    for steps in range(40):
        ids = [f"{steps}/{number}" for number in range(4)]
        tasks = [asyncio.create_task(write(work, id_)) for id_ in ids]
        for _ in range(steps):
            await asyncio.sleep(0)
        tasks[1].cancel()
        kept = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one for number, one in enumerate(kept) if number != 1] == [None] * 3
    await write(work, "last")
    effects, events = await written(world), {id_ for id_, *_ in await emitted(world)}
    assert set(effects.values()) == {1}
    assert events == effects.keys()
    assert len(effects) >= 40 * 3 + 1


async def test_without_a_free_connection_each_unit_of_the_group_is_refused(world: World) -> None:
    async with working(world, pool_size=1, max_overflow=0, pool_timeout=0.2) as work:
        async with work.engine.connect():
            found = await outcomes(*(write(work, id_) for id_ in OTHERS))
        assert {type(one) for one in found} == {PoolTimeout}
        assert await written(world) == {}
        assert await outcomes(*(write(work, id_) for id_ in OTHERS)) == [None] * len(OTHERS)
    assert await written(world) == dict.fromkeys(OTHERS, 1)


async def test_connections_that_have_died_cost_errors_of_a_loss_and_nothing_twice(
    world: World, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    """As at a restart of the server."""
    await asyncio.gather(*(write(work, id_) for id_ in OTHERS))
    await world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with caplog.at_level(logging.ERROR):
        found = await outcomes(*(write(work, id_, 2) for id_ in OTHERS))
        assert all(isinstance(one, DBAPIError) and database_lost(one) for one in found)
    assert not caplog.records
    assert await written(world) == dict.fromkeys(OTHERS, 1)
    assert await outcomes(*(write(work, id_, 3) for id_ in OTHERS)) == [None] * len(OTHERS)
    assert await written(world) == dict.fromkeys(OTHERS, 2)


@pytest.mark.parametrize("count", [1, 5])
async def test_a_commit_whose_answer_is_lost_is_a_loss_and_is_not_tried_again(
    world: World, count: int
) -> None:
    cuts = asyncio.Event()
    async with (
        tcp_proxy(*server_of(world.database_url), losing_commits(cuts)) as port,
        working(world, through(world.database_url, port)) as work,
    ):
        await write(work, "before")
        cuts.set()
        found = await outcomes(*(write(work, id_) for id_ in OTHERS[:count]))
    assert all(isinstance(one, DBAPIError) and database_lost(one) for one in found)
    assert await written(world) == {"before": 1, **dict.fromkeys(OTHERS[:count], 1)}


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_unit_that_only_writes_has_the_isolation_level_of_its_engine(
    world: World, level: str, count: int
) -> None:
    noting = "INSERT INTO effects SELECT 0, current_setting('transaction_isolation'), %(number)s"

    async def note(work: Work) -> None:
        async with work.begin() as unit:
            await unit.send(noting, {"number": 1})

    async with working(world, isolation_level=level) as work:
        await asyncio.gather(*(note(work) for _ in range(count)))
    assert await written(world) == {level.lower(): count}


async def test_a_unit_alone_is_one_round_trip_however_many_statements_it_has(
    world: World,
) -> None:
    trips = RoundTrips(*server_of(world.database_url))
    async with (
        trips.serving() as port,
        working(world, through(world.database_url, port), pool_size=1) as work,
    ):
        await write(work, "a")
        before = trips.count
        await write(work, "b")
        assert trips.count - before == 1
    assert await written(world) == {"a": 1, "b": 1}
