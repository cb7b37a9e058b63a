"""What can be done about parked events, while the consumer runs."""

from __future__ import annotations

from dataclasses import replace

import aio_pika
import psycopg
import pytest
from uuid_utils.compat import uuid7

from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    parks,
    publish,
    record,
    stream_of,
)
from kit.outbox.world import EXCHANGE, QUEUE, World, running
from kit.waiting import eventually
from outbox import Envelope, Failures, Park, UnitOfWork, Unreadable, UnsequencedMessages
from outbox.errors import NothingMissing, NotParked
from outbox.event import Stream
from outbox.inbox import operations, unsequenced
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import InboxOperations, ParkedSelection, list_parked, producer_streams
from outbox.inbox.parked_events import ParkedEvents
from outbox.inbox.settings import InboxSettings

A = stream_of("a")
NEVER: Failures = {Exception: Park()}


class Switch:
    """A handler that fails at one place until it is mended."""

    def __init__(self, problem: Exception, sequence: int = 2) -> None:
        self.problem: Exception | None = problem
        self.sequence = sequence
        self.stream = "a"
        self.calls = 0

    async def __call__(self, unit: UnitOfWork, event: Envelope) -> None:
        if event.stream.aggregate_id == self.stream and event.sequence == self.sequence:
            self.calls += 1
            if self.problem is not None:
                raise self.problem
        await record(unit, event)


async def test_redrive_works_after_the_last_attempt_and_followers_come_in_order(
    world: World,
) -> None:
    switch = Switch(ValueError("broken"))
    async with running(world.consumer(switch, failures=NEVER, retry_every=600)):
        await publish(world, *events(40, "a"))
        await eventually(lambda: world_counts(world, 39))
        async with await world.psycopg() as connection:
            [first, *_] = await list_parked(connection, QUEUE)
            assert (first.reason, first.attempts, first.next_attempt_at) == ("failed", 1, None)
            assert first.last_error == "ValueError: broken"
            [shown] = await InboxOperations(connection, QUEUE).show(A, 2)
            assert shown.body == b"{}"
            switch.problem = None
            assert (
                await InboxOperations(connection, QUEUE).redrive(ParkedSelection(reason="crashed"))
                == 0
            )
            assert await InboxOperations(connection, QUEUE).redrive(ParkedSelection(stream=A)) == 1
        await eventually(lambda: has_effects(world, 40))
    assert await effects(world) == {"a": list(range(1, 41))}
    assert await world.rows("SELECT parked, blocked FROM inbox") == [(0, False)]


async def world_counts(world: World, count: int) -> bool:
    return await world.rows("SELECT count(*) FROM inbox_parked") == [(count,)]


async def test_a_redrive_of_many_streams_is_several_transactions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "CHUNK", 2)
    switch = Switch(ValueError("broken"))
    inbox = Inbox(QUEUE, {"order.happened": switch}, world.work, InboxSettings(failures=NEVER))
    for name in "abcde":
        switch.stream = name
        await inbox.handle(events(3, name))
    async with await world.psycopg() as connection, await world.psycopg() as holder:
        await holder.set_autocommit(False)
        await holder.execute("SELECT FROM inbox WHERE aggregate_id = 'e' FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await InboxOperations(connection, QUEUE).redrive()
        await holder.rollback()
        due = "SELECT aggregate_id FROM inbox_parked WHERE next_attempt_at IS NOT NULL ORDER BY 1"
        assert await world.rows(due) == [("a",), ("b",), ("c",), ("d",)]
        assert (
            await InboxOperations(connection, QUEUE).redrive(ParkedSelection(reason="failed")) == 5
        )
    switch.problem = None
    await inbox.retry_due()
    assert await effects(world) == {name: [1, 2, 3] for name in "abcde"}


async def test_discard_leaves_no_hole_and_keeps_the_event_on_record(world: World) -> None:
    async with running(
        world.consumer(Switch(ValueError("broken")), failures=NEVER, retry_every=600)
    ):
        await publish(world, *events(4, "a"))
        await eventually(lambda: world_counts(world, 3))
        async with await world.psycopg() as connection:
            await InboxOperations(connection, QUEUE).discard(A, 3, note="not this either")
            await eventually(lambda: parks(world, [("failed", 2), ("discarded", 3), ("behind", 4)]))
            await InboxOperations(connection, QUEUE).discard(A, 2)
            with pytest.raises(NotParked):
                await InboxOperations(connection, QUEUE).discard(A, 2)
        await publish(world, *events(1, "a", first=5))
        await eventually(lambda: has_effects(world, 3))
    assert await effects(world) == {"a": [1, 4, 5]}
    assert await world.rows(
        "SELECT reason, first_sequence, note FROM inbox_discarded ORDER BY id"
    ) == [("behind", 3, "not this either"), ("failed", 2, "")]
    assert await world.rows("SELECT parked, last_sequence FROM inbox") == [(0, 5)]


async def test_skipping_events_that_never_arrived_lets_the_rest_flow(world: World) -> None:
    one, _, _, four, _, six = events(6, "a")
    async with running(world.consumer(record, retry_every=600)):
        await publish(world, one, four, six)
        await eventually(lambda: parks(world, [("gap", 4), ("gap", 6)]))
        async with await world.psycopg() as connection:
            [gap] = await InboxOperations(connection, QUEUE).gaps()
            assert (gap.stream, gap.first, gap.last, gap.waiting) == (A, 2, 3, 2)
            with pytest.raises(NothingMissing):
                await InboxOperations(connection, QUEUE).skip(A, through=4)
            assert await InboxOperations(connection, QUEUE).skip(A) == (2, 3)
            await eventually(lambda: has_effects(world, 2))
            assert await InboxOperations(connection, QUEUE).skip(A) == (5, 5)
        await eventually(lambda: has_effects(world, 3))
    assert await effects(world) == {"a": [1, 4, 6]}


async def test_events_that_may_still_come_are_skipped_only_on_request(world: World) -> None:
    inbox = world.consumer(record).inbox
    await inbox.handle(events(5, "a"))
    async with await world.psycopg() as connection:
        assert await InboxOperations(connection, QUEUE).progress(A) == (5, None)
        with pytest.raises(NothingMissing, match="may be yet to come"):
            await InboxOperations(connection, QUEUE).skip(A, through=1000)
        await inbox.handle(events(2, "a", first=6))
        assert await effects(world) == {"a": [1, 2, 3, 4, 5, 6, 7]}
        assert await InboxOperations(connection, QUEUE).skip(A, through=9, tail=True) == (8, 9)
        await inbox.handle(events(1, "a", first=12))
        assert await InboxOperations(connection, QUEUE).progress(A) == (9, 12)
        with pytest.raises(NothingMissing, match="12 waits"):
            await InboxOperations(connection, QUEUE).skip(A, through=12, tail=True)


async def test_the_first_of_two_events_with_one_sequence_behind_a_gap_is_applied(
    world: World,
) -> None:
    first, second, third = events(3, "a")
    other = replace(second, id=uuid7())
    async with running(world.consumer(record)):
        await publish(world, second, other, third)
        await eventually(lambda: parks(world, [("gap", 2), ("forked", 2), ("gap", 3)]))
        await publish(world, first)
        await eventually(lambda: parks(world, [("forked", 2)]))
        async with await world.psycopg() as connection:
            [left] = await list_parked(connection, QUEUE)
            assert left.event_id == other.id
            await InboxOperations(connection, QUEUE).discard(A, 2, event_id=other.id)
    assert await effects(world) == {"a": [1, 2, 3]}
    assert await world.rows("SELECT parked, last_sequence FROM inbox") == [(0, 3)]


async def test_a_waiting_event_comes_before_one_that_arrives_with_its_sequence(
    world: World,
) -> None:
    [first], [other] = events(1, "a"), events(1, "a")
    inbox = world.consumer(record).inbox
    async with await world.psycopg() as connection:
        await InboxOperations(connection, QUEUE).baseline({A: 0})
        await ParkedEvents(connection, QUEUE).park([(first, "gap")])
        await connection.execute("UPDATE inbox SET parked = 1")
    await inbox.handle([other])
    assert await effects(world) == {"a": [1]}
    [(reason, id_)] = await world.rows("SELECT reason, event_id FROM inbox_parked")
    assert (reason, id_) == ("forked", other.id)
    assert await world.rows("SELECT last_event_id, parked FROM inbox") == [(first.id, 1)]


async def test_an_unreadable_body_is_parked_at_once_and_not_tried_again(world: World) -> None:
    switch = Switch(Unreadable("what is this?"))
    async with running(world.consumer(switch)):
        event = events(2, "a")
        await publish(world, event[0], replace(event[1], payload=b"\xff\x00"))
        await eventually(lambda: parks(world, [("unreadable", 2)]))
        calls = switch.calls
        await publish(world, *events(3, "b"))
        await eventually(lambda: has_effects(world, 4))
        [(body, due)] = await world.rows("SELECT body, next_attempt_at FROM inbox_parked")
        assert (body, due, switch.calls) == (b"\xff\x00", None, calls)
        switch.problem = None
        async with await world.psycopg() as connection:
            assert (
                await InboxOperations(connection, QUEUE).redrive(
                    ParkedSelection(reason="unreadable")
                )
                == 1
            )
        await eventually(lambda: has_effects(world, 5))


async def test_a_baseline_says_where_a_consumer_begins(world: World) -> None:
    async with await world.psycopg() as connection:
        await InboxOperations(connection, QUEUE).baseline({A: 5})
    async with running(world.consumer(record, retry_every=600)):
        await publish(world, *events(7, "a"), *events(2, "b", first=3))
        await eventually(lambda: has_effects(world, 2))
        await eventually(lambda: parks(world, [("gap", 3), ("gap", 4)]))
        async with await world.psycopg() as connection:
            await InboxOperations(connection, QUEUE).baseline({stream_of("b"): 3})
        await eventually(lambda: has_effects(world, 3))
    assert await effects(world) == {"a": [6, 7], "b": [4]}
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]


async def test_a_baseline_can_be_read_from_the_producer(world: World) -> None:
    await world.execute("INSERT INTO outbox_streams VALUES ('shop', 'order', 'a', 4)")
    async with await world.psycopg() as connection:
        found = await producer_streams(connection, aggregate_types=["order"])
        assert found == {A: 4}
        assert await InboxOperations(connection, QUEUE).baseline(found) == 1
    assert await world.rows("SELECT last_sequence FROM inbox") == [(4,)]


async def test_unsequenced_messages_are_deduplicated_by_their_id(world: World) -> None:
    message = aio_pika.Message(b"{}", message_id="m-1", app_id="till", type="order.happened")
    async with running(world.consumer(record, unsequenced=UnsequencedMessages())):
        async with world.broker() as channel:
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            for _ in range(3):
                await exchange.publish(message, "order.happened")
        await publish(world, *events(1, "a"))
        await eventually(lambda: has_effects(world, 2))
    assert await effects(world) == {"m-1": [1], "a": [1]}
    await world.execute("UPDATE inbox_messages SET taken_at = taken_at - interval '8 days'")
    async with await world.psycopg() as connection:
        assert (
            await unsequenced.MessageIds(connection, QUEUE).forget_old(
                UnsequencedMessages().retention
            )
            == 1
        )
    assert await world.rows("SELECT aggregate_id FROM inbox") == [("a",)]
    assert unsequenced.is_unsequenced(Stream("till", unsequenced.MESSAGE, "m-1"))
