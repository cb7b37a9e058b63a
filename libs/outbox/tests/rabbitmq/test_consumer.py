"""What consumer and inbox promise, on the real database and broker."""

from __future__ import annotations

import asyncio

import aio_pika

from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    parks,
    publish,
    queue_is_empty,
    record,
)
from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, Outbox, UnitOfWork
from outbox.rabbitmq.cloudevents import to_message
from outbox.rabbitmq.topology import dead_letters_of


async def test_each_event_takes_effect_once_and_in_order(world: World) -> None:
    async with running(world.relay(), world.consumer(record)):
        for number in range(10):
            await world.emit(*(Happened(f"a{n}", number) for n in range(20)))
        await eventually(lambda: has_effects(world, 200))
    assert await effects(world) == {f"a{n}": list(range(1, 11)) for n in range(20)}


async def test_duplicates_and_reorderings_change_nothing(world: World) -> None:
    found = events(6)
    async with running(world.consumer(record)):
        await publish(world, *(found[n] for n in (0, 0, 3, 1, 1, 5, 4, 2, 0, 3)))
        await eventually(lambda: has_effects(world, 6))
        await publish(world, found[5])
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5, 6]}
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]


async def test_an_event_beyond_a_gap_waits_until_the_missing_event_arrives(world: World) -> None:
    found = events(3)
    async with running(world.consumer(record)):
        await publish(world, found[0], found[2])
        await eventually(lambda: parks(world, [("gap", 3)]))
        assert await effects(world) == {"a": [1]}
        await publish(world, found[1])
        await eventually(lambda: has_effects(world, 3))
    assert await effects(world) == {"a": [1, 2, 3]}


async def test_a_failing_event_stops_its_own_aggregate_only_and_resumes_in_order(
    world: World,
) -> None:
    broken = True

    async def fails_at_two(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        if broken and event.stream.aggregate_id == "a" and event.sequence == 2:
            raise ValueError("not now")

    async with running(world.relay(), world.consumer(fails_at_two)):
        await world.emit(*(Happened(id_) for id_ in "abababab"))
        await eventually(lambda: parks(world, [("failed", 2), ("behind", 3), ("behind", 4)]))
        await eventually(lambda: has_effects(world, 5))
        assert await effects(world) == {"a": [1], "b": [1, 2, 3, 4]}
        await world.emit(Happened("a"))
        broken = False
        await eventually(lambda: has_effects(world, 9))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 4]}
    assert await world.rows("SELECT sum(parked), bool_or(blocked) FROM inbox") == [(0, False)]


async def test_another_event_with_the_same_sequence_is_parked_as_forked(world: World) -> None:
    [first], [other] = events(1), events(1)
    async with running(world.consumer(record)):
        await publish(world, first)
        await eventually(lambda: has_effects(world, 1))
        await publish(world, other)
        await eventually(lambda: parks(world, [("forked", 1)]))
    assert await effects(world) == {"a": [1]}


async def test_a_message_without_a_stream_goes_to_the_dead_letters(world: World) -> None:
    [event] = events(1)
    async with running(world.consumer(record)):
        async with world.broker() as channel:
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            await exchange.publish(aio_pika.Message(b"what?", message_id="x"), "order.odd")
        await publish(world, event)
        await eventually(lambda: has_effects(world, 1))
        async with world.broker() as channel:
            dead = await channel.get_queue(dead_letters_of(QUEUE), ensure=False)
            async with asyncio.timeout(10), dead.iterator() as arriving:
                message = await anext(arriving)
                await message.ack()
    assert message.body == b"what?"


async def test_headers_that_the_inbox_cannot_store_do_no_harm(world: World) -> None:
    good, bad, odd = events(3)
    async with running(world.consumer(record)):
        async with world.broker() as channel:
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            message = to_message(bad)
            message.headers["version"] = 40_000
            await exchange.publish(message, bad.type)
            message = to_message(odd)
            message.correlation_id = "a\0b"
            await exchange.publish(message, odd.type)
        await publish(world, good)
        await eventually(lambda: parks(world, [("gap", 3)]))
        async with world.broker() as channel:
            dead = await channel.get_queue(dead_letters_of(QUEUE), ensure=False)
            async with asyncio.timeout(10), dead.iterator() as arriving:
                await (await anext(arriving)).ack()
        await publish(world, bad)
        await eventually(lambda: has_effects(world, 3))


async def test_answers_of_a_handler_commit_with_its_effects(world: World) -> None:
    answered = False

    async def answers(unit: UnitOfWork, event: Envelope) -> None:
        nonlocal answered
        if event.stream.aggregate_id == "question":
            await unit.emit(Happened("answer"))
            if not answered:
                answered = True
                raise ValueError("after emitting")
        await record(unit, event)

    async with running(world.relay(), world.consumer(answers)):
        await world.emit(Happened("question"))
        await eventually(lambda: has_effects(world, 2))
    assert await effects(world) == {"question": [1], "answer": [1]}
    [(cause, question)] = await world.rows(
        "SELECT a.causation_id, q.event_id::text FROM outbox a, outbox q"
        " WHERE a.aggregate_id = 'answer' AND q.aggregate_id = 'question'"
    )
    assert cause == question


async def test_a_deleted_queue_comes_back_with_its_consumer(world: World) -> None:
    async with running(world.relay(), world.consumer(record)):
        await world.emit(Happened("a"))
        await eventually(lambda: has_effects(world, 1))
        async with world.broker() as channel:
            await channel.queue_delete(QUEUE)
        await world.emit(Happened("a"))
        await eventually(lambda: has_effects(world, 2))


async def test_a_consumer_survives_the_loss_of_all_its_database_sessions(world: World) -> None:
    async with running(world.relay(), world.consumer(record)):
        for _ in range(5):
            # By a connection of its own: the pool's are dead, and only the consumer is to notice.
            async with await world.psycopg() as writer, writer.transaction():
                await Outbox(SOURCE).add(writer, Happened("a"))
            await world.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        await eventually(lambda: has_effects(world, 5))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5]}
