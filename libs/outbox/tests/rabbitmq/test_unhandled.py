"""Event types that a consumer does not know: parked until it does, or skipped and said."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kit.outbox.deliveries import effects, events, has_effects, parks, publish, record
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import Envelope, HandlersByType, InboxSettings, UnitOfWork, handle_many, ignore
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import InboxOperations, ParkedSelection
from outbox.metrics import CONSUMED
from outbox.testing import deliver

ORDERS: HandlersByType = {"order.happened": record}
BOTH: HandlersByType = {**ORDERS, "order.payed": record}


def payed(event: Envelope) -> Envelope:
    return replace(event, type="order.payed")


def three(aggregate: str = "a") -> list[Envelope]:
    """The second is of a type that nobody has heard of."""
    first, second, third = events(3, aggregate)
    return [first, payed(second), third]


def counted(decision: str) -> float:
    return float(CONSUMED.labels(QUEUE, decision)._value.get())


async def test_an_unknown_type_stops_its_stream_and_loses_nothing(world: World) -> None:
    await Inbox(QUEUE, ORDERS, world.work).handle([*three("a"), *events(3, "b")])
    assert await effects(world) == {"a": [1], "b": [1, 2, 3]}
    assert await parks(world, [("unhandled", 2), ("behind", 3)])
    [(error, due)] = await world.rows(
        "SELECT last_error, next_attempt_at FROM inbox_parked WHERE reason = 'unhandled'"
    )
    assert (error, due) == ("there is no handler of order.payed", None)


@pytest.mark.parametrize("later", [BOTH, {**ORDERS, "order.payed": ignore}])
async def test_a_consumer_that_starts_and_knows_the_type_goes_on_by_itself(
    world: World, later: HandlersByType
) -> None:
    await Inbox(QUEUE, ORDERS, world.work).handle(three())
    handled = [1, 2, 3] if later is BOTH else [1, 3]
    async with running(world.consumer(record, more=later)):  # type: ignore[arg-type]
        await eventually(lambda: has_effects(world, len(handled)))
    assert await effects(world) == {"a": handled}
    assert await world.rows("SELECT parked, blocked FROM inbox") == [(0, False)]


async def test_a_consumer_that_starts_without_the_type_leaves_it_parked(world: World) -> None:
    inbox = Inbox(QUEUE, ORDERS, world.work)
    await inbox.handle(three())
    assert await Inbox(QUEUE, ORDERS, world.work).resume_unhandled() == 0
    assert await parks(world, [("unhandled", 2), ("behind", 3)])


async def test_an_older_process_parks_again_what_was_redriven(world: World) -> None:
    old, new = Inbox(QUEUE, ORDERS, world.work), Inbox(QUEUE, BOTH, world.work)
    await old.handle(three())
    assert await new.resume_unhandled() == 1
    await old.retry_due()
    assert await parks(world, [("unhandled", 2), ("behind", 3)])
    assert await new.resume_unhandled() == 1
    await new.retry_due()
    assert await effects(world) == {"a": [1, 2, 3]}


async def test_a_person_may_redrive_an_unhandled_event(world: World) -> None:
    await Inbox(QUEUE, ORDERS, world.work).handle(three())
    async with await world.psycopg() as connection:
        assert (
            await InboxOperations(connection, QUEUE).redrive(ParkedSelection(reason="unhandled"))
            == 1
        )
    await Inbox(QUEUE, BOTH, world.work).retry_due()
    assert await effects(world) == {"a": [1, 2, 3]}


async def test_an_unknown_type_behind_a_gap_stops_the_stream_when_it_is_next(
    world: World,
) -> None:
    first, second, third = three()
    inbox = Inbox(QUEUE, ORDERS, world.work)
    await inbox.handle([third, second])
    assert await parks(world, [("gap", 2), ("gap", 3)])
    await inbox.handle([first])
    assert await effects(world) == {"a": [1]}
    assert await parks(world, [("unhandled", 2), ("gap", 3)])
    assert await world.rows("SELECT parked, blocked FROM inbox") == [(2, True)]


async def test_events_one_by_one_end_as_in_a_batch(world: World) -> None:
    inbox = Inbox(QUEUE, {"order.happened": handle_many(_fails_together)}, world.work)
    await inbox.handle([*three(), *events(2, "b")])
    assert await effects(world) == {"a": [1], "b": [1, 2]}
    assert await parks(world, [("unhandled", 2), ("behind", 3)])


async def test_skipped_types_are_counted_and_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox(QUEUE, ORDERS, world.work, InboxSettings(unhandled="skip"))
    before = counted("unhandled")
    with caplog.at_level(logging.WARNING):
        await inbox.handle([*three("a"), *three("b")])
    assert await effects(world) == {"a": [1, 3], "b": [1, 3]}
    assert counted("unhandled") == before + 2
    assert [said for said in caplog.messages if "order.payed" in said] == [
        f"{QUEUE} has no handler of order.payed: its events are skipped; handle or ignore the type"
    ]


async def test_a_consumer_that_now_skips_unknown_types_passes_parked_ones(world: World) -> None:
    await Inbox(QUEUE, ORDERS, world.work).handle(three())
    skips = Inbox(QUEUE, ORDERS, world.work, InboxSettings(unhandled="skip"))
    assert await skips.resume_unhandled() == 1
    await skips.retry_due()
    assert await effects(world) == {"a": [1, 3]}


async def test_an_ignored_event_passes_and_is_counted_as_ignored(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("ignore")
    await Inbox(QUEUE, {**ORDERS, "order.payed": ignore}, world.work).handle(three())
    assert await effects(world) == {"a": [1, 3]}
    assert counted("ignore") == before + 1
    assert not caplog.messages


async def test_a_tombstone_of_the_producer_needs_no_handler(world: World) -> None:
    first, second, third = events(3)
    gone = replace(second, type="order.discarded", payload=b"{}")
    await Inbox(QUEUE, ORDERS, world.work).handle([first, gone, third])
    assert await effects(world) == {"a": [1, 3]}


async def test_an_unhandled_event_can_be_discarded(world: World) -> None:
    inbox = Inbox(QUEUE, ORDERS, world.work)
    found = three()
    await inbox.handle(found)
    async with await world.psycopg() as connection:
        await InboxOperations(connection, QUEUE).discard(found[1].stream, 2)
    await inbox.retry_due()
    assert await effects(world) == {"a": [1, 3]}


async def test_deliver_shows_an_unhandled_type_to_the_tests_of_an_application(world: World) -> None:
    [unhandled, behind] = await deliver(world.work, QUEUE, ORDERS, *three("a"))
    assert (unhandled.reason, unhandled.type, behind.reason) == (
        "unhandled",
        "order.payed",
        "behind",
    )
    skips = InboxSettings(unhandled="skip")
    assert await deliver(world.work, "other", ORDERS, *three("b"), settings=skips) == []


async def test_an_unhandled_type_is_parked_through_the_broker_too(world: World) -> None:
    async with running(world.consumer(record)):
        await publish(world, *three())
        await eventually(lambda: parks(world, [("unhandled", 2), ("behind", 3)]))


async def _fails_together(unit: UnitOfWork, found: Sequence[Envelope]) -> None:
    [event] = found  # More than one cannot be unpacked.
    await record(unit, event)
