"""`outbox.testing`, used as the tests of an application would."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import pytest

from kit.outbox.operator import effects, record
from kit.outbox.world import Happened, World
from outbox import Envelope, HandlersByType, UnitOfWork
from outbox.log.deferred import DeferredStatements
from outbox.testing import (
    RecordingPublisher,
    Source,
    deliver,
    duplicated,
    emitted,
    killed_at,
    relay_once,
    reordered,
)

HANDLERS: HandlersByType = {"order.happened": record}


def ten() -> list[Envelope]:
    return Source("shop").envelopes(*(Happened(a, n) for n in range(5) for a in "ab"))


async def test_delivered_events_take_effect_in_order(world: World) -> None:
    assert await deliver(world.work, "kitchen.orders", HANDLERS, *ten()) == []
    assert await effects(world) == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 4, 5]}


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("seed", range(5))
async def test_duplicates_and_another_order_change_nothing(
    world: World, seed: int, one_by_one: bool
) -> None:
    arranged = reordered(duplicated(ten(), seed=seed), seed=seed)
    assert len(arranged) == 20
    parked = await deliver(world.work, "q", HANDLERS, *arranged, one_by_one=one_by_one)
    assert parked == []
    assert await effects(world) == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 4, 5]}


async def test_what_a_handler_refuses_is_returned_as_parked(world: World) -> None:
    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        raise ValueError("no such meal")

    [parked] = await deliver(
        world.work, "q", {"order.happened": fails}, *Source("shop").envelopes(Happened("a"))
    )
    assert (parked.reason, parked.attempts) == ("failed", 1)
    assert "no such meal" in str(parked.last_error)


async def test_the_relay_publishes_once_what_an_open_transaction_has_written(world: World) -> None:
    publisher = RecordingPublisher()
    async with world.engine.connect() as connection:
        deferred = DeferredStatements(connection)
        await world.work.within(connection, ten()[0], deferred).emit(Happened("a"), Happened("a"))
        await deferred.flush()
        assert len(await relay_once(connection, publisher)) == 2
        assert await relay_once(connection, publisher) == []
        await connection.rollback()
    assert publisher.types == ["order.happened"] * 2
    assert await world.rows("SELECT count(*) FROM outbox") == [(0,)]


async def test_what_was_emitted_is_read_in_order_published_or_not(world: World) -> None:
    assert await emitted(world.work) == []
    await world.emit(Happened("a", 1))
    async with world.engine.begin() as connection:
        published = await relay_once(connection, RecordingPublisher())
    await world.emit(Happened("b", 2), Happened("a", 3))
    found = await emitted(world.work)
    assert found[:1] == published
    assert [(event.aggregate_id, event.sequence) for event in found] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
    ]


@dataclass(frozen=True)
class Read:
    type: ClassVar[str] = "order.happened"
    number: int

    @classmethod
    def parse(cls, body: bytes) -> Read:
        return cls(json.loads(body)["number"])


async def test_emitted_events_of_one_class_are_its_instances(world: World) -> None:
    await world.emit(Happened("a", 1), Happened("a", 5, type="order.other"), Happened("b", 2))
    assert await emitted(world.work, Read) == [Read(1), Read(2)]


async def test_events_wait_behind_one_that_the_broker_refuses(world: World) -> None:
    await world.emit(Happened("a", 1), Happened("a", 2), Happened("b", 3))
    refused: set[UUID] = set()

    def refuses(envelope: Envelope) -> bool:
        if not refused:
            refused.add(envelope.id)
        return envelope.id in refused

    publisher = RecordingPublisher(refuses)
    async with world.engine.begin() as connection:
        taken = await relay_once(connection, publisher)
    assert [envelope.payload for envelope in taken] == [b'{"number": 3}']
    assert await world.unpublished() == 2


async def test_a_program_is_expected_to_die_at_its_step() -> None:
    dies = (
        "import os, signal\n"
        "if os.environ['OUTBOX_FAILPOINT'] == 'here' and os.environ['APP_ENV'] == 'test':\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    await killed_at("here", sys.executable, "-c", dies)
    with pytest.raises(AssertionError, match="ended with 0"):
        await killed_at("elsewhere", sys.executable, "-c", dies)
    with pytest.raises(AssertionError, match="did not come"):
        await killed_at("x", sys.executable, "-c", "import time; time.sleep(60)", within=0.2)
