"""Events past the relay, in whatever order and number, and what came of them."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import text

from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, Happened, World
from outbox import Envelope, UnitOfWork
from outbox.event import Stream
from outbox.rabbitmq.cloudevents import to_message
from outbox.testing import Source

INSERT = text("INSERT INTO effects (aggregate_id, sequence) VALUES (:id, :sequence)")


async def record(unit: UnitOfWork, event: Envelope) -> None:
    """The effect that the tests count."""
    parameters = {"id": event.stream.aggregate_id, "sequence": event.sequence}
    await unit.connection.execute(INSERT, parameters)


def stream_of(aggregate: str) -> Stream:
    return Stream(SOURCE, "order", aggregate)


def events(count: int, aggregate: str = "a", *, first: int = 1) -> list[Envelope]:
    """So many events of one aggregate, as they would be published."""
    happened = [Happened(aggregate, body=b"{}")] * (first - 1 + count)
    return Source(SOURCE).envelopes(*happened)[first - 1 :]


async def publish(world: World, *envelopes: Envelope) -> None:
    async with world.broker() as channel:
        exchange = await channel.get_exchange(world.topology.entry(EXCHANGE), ensure=False)
        for envelope in envelopes:
            await exchange.publish(to_message(envelope), envelope.type)


async def effects(world: World) -> dict[str, list[int]]:
    """Sequences by aggregate, in the order in which they took effect."""
    found: dict[str, list[int]] = defaultdict(list)
    for aggregate, sequence in await world.rows(
        "SELECT aggregate_id, sequence FROM effects ORDER BY id"
    ):
        found[str(aggregate)].append(int(str(sequence)))
    return dict(found)


async def has_effects(world: World, count: int) -> bool:
    return sum(len(sequences) for sequences in (await effects(world)).values()) >= count


async def parks(world: World, expected: list[tuple[str, int]]) -> bool:
    found = await world.rows(
        "SELECT reason, sequence FROM inbox_parked ORDER BY aggregate_id, sequence, parked_at"
    )
    return found == expected


async def queue_is_empty(world: World) -> bool:
    async with world.broker() as channel:
        queue = await channel.declare_queue(QUEUE, passive=True)
        return queue.declaration_result.message_count == 0
