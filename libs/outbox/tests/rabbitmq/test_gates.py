"""Closed event types: their events wait without an attempt, and go on in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.outbox.deliveries import effects, events, parks, record
from kit.outbox.world import QUEUE, World
from outbox import Envelope, Retry, UnitOfWork
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import InboxOperations
from outbox.inbox.settings import InboxSettings

PAUSED = {"order.payed": "paused by a test"}


class Kitchen:
    """Handles both types; fails on demand, and counts how often it was called."""

    def __init__(self, world: World) -> None:
        self.fails, self.calls = False, 0
        settings = InboxSettings(failures={Exception: Retry(base=0.001, ceiling=0.001)})
        handlers = {"order.happened": record, "order.payed": self.pay}
        self.inbox = Inbox(QUEUE, handlers, world.work, settings)

    async def pay(self, unit: UnitOfWork, event: Envelope) -> None:
        self.calls += 1
        if self.fails:
            raise ValueError("the bank is away")
        await record(unit, event)


@pytest.fixture
def kitchen(world: World) -> Kitchen:
    return Kitchen(world)


def payed(event: Envelope) -> Envelope:
    return replace(event, type="order.payed")


def three(aggregate: str = "a") -> list[Envelope]:
    first, second, third = events(3, aggregate)
    return [first, payed(second), third]


async def test_a_closed_type_stops_its_streams_only_and_is_not_handled(
    world: World, kitchen: Kitchen
) -> None:
    kitchen.inbox.paused.close(PAUSED)
    await kitchen.inbox.handle([*three("a"), *events(3, "b")])
    assert await effects(world) == {"a": [1], "b": [1, 2, 3]}
    assert await parks(world, [("paused", 2), ("behind", 3)])
    found = await world.rows(
        "SELECT attempts, next_attempt_at, last_error, failed_with FROM inbox_parked"
        " WHERE reason = 'paused'"
    )
    assert found == [(0, None, "paused by a test", [])]
    assert kitchen.calls == 0


async def test_what_was_postponed_goes_on_in_order_when_its_type_opens(
    world: World, kitchen: Kitchen
) -> None:
    kitchen.inbox.paused.close(PAUSED)
    await kitchen.inbox.handle([*three("a"), *three("b")])
    assert await kitchen.inbox.resume("paused") == 0
    kitchen.inbox.paused.close({})
    assert await kitchen.inbox.resume("paused") == 2
    await kitchen.inbox.retry_due()
    assert await effects(world) == {"a": [1, 2, 3], "b": [1, 2, 3]}
    assert await world.rows("SELECT DISTINCT parked, blocked FROM inbox") == [(0, False)]


async def test_types_open_one_by_one(world: World, kitchen: Kitchen) -> None:
    kitchen.inbox.paused.close({**PAUSED, "order.happened": "this one too"})
    await kitchen.inbox.handle([payed(events(1, "a")[0]), *events(1, "b")])
    kitchen.inbox.paused.close(PAUSED)
    assert await kitchen.inbox.resume("paused") == 1
    await kitchen.inbox.retry_due()
    assert await effects(world) == {"b": [1]}


async def test_a_failed_event_keeps_its_attempts_and_error_while_its_type_is_closed(
    world: World, kitchen: Kitchen
) -> None:
    kitchen.fails = True
    await kitchen.inbox.handle(three())
    kitchen.inbox.paused.close(PAUSED)
    await world.execute("UPDATE inbox_parked SET next_attempt_at = '-infinity' WHERE attempts > 0")
    called = kitchen.calls
    await kitchen.inbox.retry_due()
    assert kitchen.calls == called
    assert await parks(world, [("paused", 2), ("behind", 3)])
    kitchen.inbox.paused.close({})
    await kitchen.inbox.resume("paused")
    await kitchen.inbox.retry_due()
    [(reason, attempts, error)] = await world.rows(
        "SELECT reason, attempts, last_error FROM inbox_parked WHERE sequence = 2"
    )
    assert (reason, attempts, error) == ("failed", 2, "ValueError: the bank is away")


async def test_a_redrive_does_not_pass_a_closed_type(world: World, kitchen: Kitchen) -> None:
    kitchen.inbox.paused.close(PAUSED)
    await kitchen.inbox.handle(three())
    async with await world.psycopg() as connection:
        assert await InboxOperations(connection, QUEUE).redrive() == 1
    await kitchen.inbox.retry_due()
    assert await parks(world, [("paused", 2), ("behind", 3)])
    assert kitchen.calls == 0
    assert await world.rows("SELECT count(*) FROM inbox_attempts") == [(0,)]


async def test_a_redelivered_event_of_a_closed_type_is_no_attempt(
    world: World, kitchen: Kitchen
) -> None:
    kitchen.inbox.paused.close(PAUSED)
    first, second, _ = three()
    await kitchen.inbox.handle([first])
    await kitchen.inbox.handle_some([second], redelivered=[second])
    assert await parks(world, [("paused", 2)])
    assert await world.rows("SELECT count(*) FROM inbox_attempts") == [(0,)]


async def test_a_closed_type_behind_a_gap_waits_when_it_is_next(
    world: World, kitchen: Kitchen
) -> None:
    kitchen.inbox.paused.close(PAUSED)
    first, second, third = three()
    await kitchen.inbox.handle([third, second])
    await kitchen.inbox.handle([first])
    assert await parks(world, [("paused", 2), ("gap", 3)])
    kitchen.inbox.paused.close({})
    await kitchen.inbox.resume("paused")
    await kitchen.inbox.retry_due()
    assert await effects(world) == {"a": [1, 2, 3]}


async def test_a_postponed_event_can_be_discarded(world: World, kitchen: Kitchen) -> None:
    kitchen.inbox.paused.close(PAUSED)
    found = three()
    await kitchen.inbox.handle(found)
    async with await world.psycopg() as connection:
        await InboxOperations(connection, QUEUE).discard(found[1].stream, 2)
    await kitchen.inbox.retry_due()
    assert await effects(world) == {"a": [1, 3]}
