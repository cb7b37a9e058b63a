"""`outbox tripped reset`: a person has a tripped type handled again before a probe succeeds."""

from __future__ import annotations

from kit.outbox.deliveries import effects, events, has_effects, publish, record
from kit.outbox.operator import say
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import CircuitBreaker, Envelope, UnitOfWork
from outbox.inbox.consumer import Consumer

TYPE, STREAMS = "order.happened", 3
SOMETIME = CircuitBreaker(streams=STREAMS, base=600, ceiling=600)
RESET = ("tripped", "reset", QUEUE)


class Bank:
    """A dependency of the handler that may be away."""

    away = True

    async def pay(self, unit: UnitOfWork, event: Envelope) -> None:
        if self.away:
            raise ConnectionError("the bank is away")
        await record(unit, event)


async def has_tripped(consumers: list[Consumer]) -> bool:
    return all(consumer.tripped_types == [TYPE] for consumer in consumers)


async def waits(world: World, count: int) -> bool:
    return await world.rows("SELECT count(*) FROM inbox_parked WHERE reason = 'tripped'") == [
        (count,)
    ]


async def test_a_reset_has_all_that_waits_tried_at_once_in_all_processes(world: World) -> None:
    bank, url = Bank(), {"DATABASE_URL": world.database_url}
    consumers = [world.consumer(bank.pay, breaker=SOMETIME) for _ in range(2)]
    async with running(*consumers):
        await publish(world, *(event for n in range(STREAMS) for event in events(2, f"s{n}")))
        await eventually(lambda: has_tripped(consumers))
        await eventually(lambda: waits(world, STREAMS))
        bank.away = False
        shown = await say(url, *RESET, "--dry-run")
        assert f"{TYPE} to handle again. {STREAMS} streams wait for this." in shown.out
        asked = await say(url, *RESET, "--type", TYPE, answer="n\n", status=3)
        assert f"Handle {TYPE} again now? {STREAMS} streams wait for this." in asked.err
        assert await has_tripped(consumers)
        said = await say(url, *RESET, "--type", TYPE, "--yes", "--json")
        assert (said.json["reset"], said.json["selected"]["streams"]) == ([TYPE], STREAMS)
        await eventually(lambda: has_effects(world, 2 * STREAMS), within=10)
        assert [consumer.tripped_types for consumer in consumers] == [[], []]
    assert await effects(world) == {f"s{n}": [1, 2] for n in range(STREAMS)}


async def test_a_type_whose_dependency_is_still_away_trips_again(world: World) -> None:
    consumer = world.consumer(Bank().pay, breaker=SOMETIME)
    async with running(consumer):
        await publish(world, *(event for n in range(STREAMS) for event in events(1, f"s{n}")))
        await eventually(lambda: waits(world, STREAMS))
        [(before,)] = await world.rows("SELECT tripped_at FROM inbox_tripped")
        await say({"DATABASE_URL": world.database_url}, *RESET, "--yes")

        async def has_tripped_again() -> bool:
            found = await world.rows("SELECT tripped_at FROM inbox_tripped")
            return found not in ([], [(before,)])

        await eventually(has_tripped_again)
        await eventually(lambda: waits(world, STREAMS))


async def test_a_reset_of_a_type_that_has_not_tripped_names_those_that_have(world: World) -> None:
    url = {"DATABASE_URL": world.database_url}
    said = await say(url, *RESET, "--yes", status=1)
    assert said.err == f"{QUEUE}: no type has tripped\n"
    await world.execute(
        "INSERT INTO inbox_tripped (consumer, type, cause, next_probe_at)"
        f" VALUES ('{QUEUE}', '{TYPE}', 'the bank is away', now())"
    )
    said = await say(url, *RESET, "--type", "order.hapened", "--yes", status=1)
    assert said.err == f"of {QUEUE} only {TYPE} has tripped\n"
    assert await world.rows("SELECT type FROM inbox_tripped") == [(TYPE,)]
