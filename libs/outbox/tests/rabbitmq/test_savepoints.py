"""A handler that takes part of its work back by a savepoint, and what it had to say by then."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from kit.outbox.deliveries import effects, events, has_effects, publish, record
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork

SEND = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, 0)"
TAKEN = text("INSERT INTO taken VALUES (1)")


async def test_a_rolled_back_savepoint_undoes_only_what_was_sent_inside(world: World) -> None:
    """Events come in one batch, so that what the first says still waits when the next begins."""
    await world.execute("CREATE TABLE taken (number int PRIMARY KEY)")
    await world.execute("INSERT INTO taken VALUES (1)")

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        await unit.emit(Happened("said", event.sequence))
        try:
            async with unit.connection.begin_nested():
                await unit.send(SEND, {"id": "taken back"})
                await unit.emit(Happened("taken back", event.sequence))
                await unit.connection.execute(TAKEN)
        except IntegrityError:
            await unit.emit(Happened("said after", event.sequence))

    await publish(world, *events(5, "a"))
    async with running(world.consumer(handle)):
        await eventually(lambda: has_effects(world, 5))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5]}
    assert await said(world) == {"said": 5, "said after": 5}


async def test_what_was_sent_in_a_released_savepoint_stays(world: World) -> None:
    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        async with unit.connection.begin_nested():
            await unit.emit(Happened("kept", event.sequence))
            async with unit.connection.begin_nested() as inner:
                await unit.emit(Happened("taken back", event.sequence))
                await inner.rollback()
        await record(unit, event)

    await publish(world, *events(3, "a"))
    async with running(world.consumer(handle)):
        await eventually(lambda: has_effects(world, 3))
    assert await said(world) == {"kept": 3}


async def said(world: World) -> dict[str, int]:
    """How many events there are by aggregate."""
    counted = "SELECT aggregate_id, count(*) FROM outbox GROUP BY 1"
    return dict(await world.rows(counted))
