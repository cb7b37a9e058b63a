"""Handlers of many events, and statements that are sent together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import text

from kit.outbox.deliveries import effects, events, has_effects, parks, publish
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork, handle_many

SEND = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, %(sequence)s)"


async def send(unit: UnitOfWork, event: Envelope) -> None:
    await unit.send(SEND, {"id": event.stream.aggregate_id, "sequence": event.sequence})


async def test_many_events_are_one_call_and_each_takes_effect_once_in_order(world: World) -> None:
    calls: list[int] = []

    async def together(unit: UnitOfWork, found: Sequence[Envelope]) -> None:
        calls.append(len(found))
        for event in found:
            await send(unit, event)

    several = [event for name in "abcde" for event in events(20, name)]
    await publish(world, *several, *several[:30])
    async with running(world.consumer(handle_many(together))):
        await eventually(lambda: has_effects(world, 100))
    assert await effects(world) == {name: list(range(1, 21)) for name in "abcde"}
    assert sum(calls) == 100
    assert len(calls) < 20


async def test_types_of_one_stream_keep_their_order_across_groups(world: World) -> None:
    other = "order.other"
    several = [
        replace(e, type=kind)
        for name in "ab"
        for e, kind in zip(events(6, name), ("order.happened", other) * 3, strict=True)
    ]

    async def together(unit: UnitOfWork, found: Sequence[Envelope]) -> None:
        for event in found:
            await send(unit, event)

    await publish(world, *several)
    async with running(world.consumer(handle_many(together), more={other: handle_many(together)})):
        await eventually(lambda: has_effects(world, 12))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5, 6], "b": [1, 2, 3, 4, 5, 6]}


async def test_one_failing_event_of_many_is_parked_alone(world: World) -> None:
    async def together(unit: UnitOfWork, found: Sequence[Envelope]) -> None:
        for event in found:
            await send(unit, event)
            if event.stream.aggregate_id == "b" and event.sequence == 2:
                raise ValueError("not this one")

    await publish(world, *(event for name in "abc" for event in events(3, name)))
    async with running(world.consumer(handle_many(together))):
        await eventually(lambda: parks(world, [("failed", 2), ("behind", 3)]))
        await eventually(lambda: has_effects(world, 7))
    assert await effects(world) == {"a": [1, 2, 3], "b": [1], "c": [1, 2, 3]}


async def test_each_answer_of_many_names_the_event_that_caused_it(world: World) -> None:
    async def together(unit: UnitOfWork, found: Sequence[Envelope]) -> None:
        for event in found:
            if event.stream.aggregate_id.startswith("q"):
                answer = Happened(event.stream.aggregate_id.replace("q", "a"))
                await unit.caused_by(event).emit(answer)
            await send(unit, event)

    async with running(world.relay(), world.consumer(handle_many(together))):
        await world.emit(*(Happened(f"q{number}") for number in range(5)))
        await eventually(lambda: has_effects(world, 10))
    assert await world.rows(
        "SELECT count(*) FROM outbox a JOIN outbox q ON a.causation_id = q.event_id::text"
        " AND replace(q.aggregate_id, 'q', 'a') = a.aggregate_id"
    ) == [(5,)]


async def test_what_was_sent_is_seen_by_the_next_statement(world: World) -> None:
    seen: list[int] = []

    async def looks(unit: UnitOfWork, event: Envelope) -> None:
        await send(unit, event)
        if event.sequence % 2 == 0:
            found = await unit.connection.execute(text("SELECT count(*) FROM effects"))
            seen.append(found.scalar_one())

    await publish(world, *events(6))
    async with running(world.consumer(looks)):
        await eventually(lambda: has_effects(world, 6))
    assert seen == [2, 4, 6]


async def test_a_statement_that_fails_when_it_is_sent_parks_its_own_event_only(
    world: World,
) -> None:
    await world.execute("CREATE UNIQUE INDEX ON effects ((sequence * 0)) WHERE sequence = 2")
    await publish(world, *events(3, "a"), *events(3, "b"))
    async with running(world.consumer(send)):
        await eventually(lambda: parks(world, [("failed", 2), ("behind", 3)]))
        await eventually(lambda: has_effects(world, 4))
    found = await effects(world)
    assert sorted(found.values()) == [[1], [1, 2, 3]]
