"""An operator on the producer's side, on jobs, controls, queues and dead letters."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aio_pika import Message

from kit.outbox.deliveries import record
from kit.outbox.job_rows import enqueue
from kit.outbox.operator import management_url
from kit.outbox.world import QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import Application
from outbox.errors import ChangedSince, InvalidSetting, NotThere
from outbox.event import Stream
from outbox.operations import Actor, Operator, open_operator
from outbox.operations.controls import OfQueue
from outbox.operations.replay import Selection
from outbox.rabbitmq.topology import dead_letters_of

ANN = Actor("ann", via="console")


@pytest.fixture
async def ann(world: World) -> AsyncIterator[Operator]:
    async with open_operator(
        world.database_url,
        by=ANN,
        broker_url=world.broker_url,
        management_url=management_url(),
        application=Application(world.topology),
    ) as operator:
        yield operator


def in_hours(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


async def schedule(world: World, **hours: float) -> None:
    async with world.work.begin() as unit:
        for key, later in hours.items():
            await unit.schedule(Happened(key), key=key, at=in_hours(later))


async def test_scheduled_events_are_listed_by_time_in_pages(world: World, ann: Operator) -> None:
    await schedule(world, ride_b=2, ride_a=1, close_c=3)
    first = await ann.scheduled.list(limit=2)
    rest = await ann.scheduled.list(limit=2, after=first.next)
    found = [*first.items, *rest.items]
    assert [event.key for event in found] == ["ride_a", "ride_b", "close_c"]
    assert rest.next is None
    assert found[0].stream == Stream(SOURCE, "order", "ride_a")
    page = await ann.scheduled.list(prefix="close_", type="order.happened")
    assert [event.key for event in page.items] == ["close_c"]
    assert (await ann.scheduled.list(type="other")).items == []


async def test_a_scheduled_event_is_sent_now(world: World, ann: Operator) -> None:
    await schedule(world, a=5)
    async with running(world.relay()):
        seen = await ann.scheduled.preview(SOURCE, "a")
        await ann.scheduled.send_now(SOURCE, "a", seen=seen)
        [message] = await world.delivered(1)
    assert message.headers["sequence"] == 1
    with pytest.raises(NotThere):
        await ann.scheduled.send_now(SOURCE, "a")


async def test_a_scheduled_event_is_moved_and_unscheduled(world: World, ann: Operator) -> None:
    await schedule(world, a=5)
    seen = await ann.scheduled.preview(SOURCE, "a")
    later = in_hours(9)
    await ann.scheduled.move(SOURCE, "a", later, seen=seen)
    assert (await ann.scheduled.show(SOURCE, "a")).due_at == later
    with pytest.raises(ChangedSince):
        await ann.scheduled.unschedule(SOURCE, "a", seen=seen)
    await ann.scheduled.unschedule(SOURCE, "a", seen=await ann.scheduled.preview(SOURCE, "a"))
    assert (await ann.scheduled.list()).items == []
    assert [(row.what, row.outcome) for row in (await ann.history()).items] == [
        ("unschedule", "done"),
        ("unschedule", "refused"),
        ("move scheduled", "done"),
    ]
    with pytest.raises(InvalidSetting):
        await ann.scheduled.move(SOURCE, "a", datetime(2030, 1, 1))  # noqa: DTZ001 it is the test


@pytest.mark.parametrize(
    "due_at", ["9999-12-31T23:59:59-12:00", "2199-01-01T00:00:00Z", "0001-01-01T00:00:00+12:00"]
)
async def test_an_event_is_not_moved_out_of_sight(world: World, ann: Operator, due_at: str) -> None:
    await schedule(world, a=5)
    with pytest.raises(InvalidSetting, match="hundred years"):
        await ann.scheduled.move(SOURCE, "a", datetime.fromisoformat(due_at))
    [event] = (await ann.scheduled.list()).items
    await ann.scheduled.unschedule(SOURCE, event.key)


async def test_what_cannot_be_published_is_redriven_or_discarded(
    world: World, ann: Operator
) -> None:
    await world.emit(*(Happened(name) for name in "abc"))
    await world.execute("UPDATE outbox SET parked_at = now(), last_error = 'too large'")
    first = await ann.unpublished.list(limit=2)
    rest = await ann.unpublished.list(limit=2, after=first.next)
    ids = [event.event_id for event in (*first.items, *rest.items)]
    assert len(ids) == 3
    seen = await ann.unpublished.preview_redrive(ids)
    assert (seen.events, seen.streams) == (3, 3)
    assert await ann.unpublished.discard(ids[:1]) == ids[:1]
    with pytest.raises(ChangedSince):
        await ann.unpublished.redrive(ids, seen=seen)
    assert len(await ann.unpublished.redrive(ids[1:])) == 2
    assert await world.unpublished() == 3
    assert (await ann.unpublished.list()).items == []


async def published(world: World, *names: str) -> None:
    await world.emit(*(Happened(name) for name in names))
    await world.execute("UPDATE outbox SET published_at = now() WHERE published_at IS NULL")


async def test_a_replay_is_counted_before_and_bounded_in_its_rate(
    world: World, ann: Operator
) -> None:
    await published(world, *"aabbb")
    chosen = Selection(type="order.happened")
    seen = await ann.replay.preview(chosen)
    assert (seen.total.events, seen.total.streams, seen.is_more) == (5, 2, False)
    began = time.monotonic()
    assert await ann.replay.run(chosen, seen=seen.total, per_second=5) == 5
    assert time.monotonic() - began >= 0.9
    assert await world.unpublished() == 5
    [row] = (await ann.history()).items
    assert (row.what, row.events, row.detail) == (
        "replay",
        5,
        "type order.happened",
    )


async def test_what_was_under_way_at_the_preview_is_no_part_of_a_replay(
    world: World, ann: Operator
) -> None:
    await published(world, *"ab")
    await world.emit(Happened("c"))
    chosen = Selection(type="order.happened", until=in_hours(1))
    seen = await ann.replay.preview(chosen)
    assert seen.total.events == 2
    await world.execute("UPDATE outbox SET published_at = now() WHERE published_at IS NULL")
    assert await ann.replay.run(chosen, seen=seen.total) == 2


async def test_a_name_that_nothing_knows_is_not_paused(world: World, ann: Operator) -> None:
    with pytest.raises(NotThere, match="no queue is known"):
        await ann.controls.pause(OfQueue("mistyped"))
    assert await ann.controls.list() == []


async def test_a_replay_of_what_is_no_longer_there_is_refused(world: World, ann: Operator) -> None:
    await published(world, *"ab")
    chosen = Selection(aggregate=("order", "a"))
    seen = await ann.replay.preview(chosen)
    assert seen.total.events == 1
    await ann.replay.run(chosen)
    with pytest.raises(ChangedSince):
        await ann.replay.run(chosen, seen=seen.total)
    assert await world.unpublished() == 1
    with pytest.raises(InvalidSetting):
        await ann.replay.run(Selection())


async def test_a_count_that_ends_early_says_so(world: World, ann: Operator) -> None:
    await published(world, *"abc")
    seen = await ann.replay.preview(Selection(type="order.happened"), counted_to=2)
    assert (seen.total.events, seen.is_more) == (2, True)
    assert (
        await ann.replay.run(Selection(type="order.happened"), seen=seen.total, counted_to=2) == 3
    )


async def test_a_stream_is_shown_with_its_events_wherever_they_are(
    world: World, ann: Operator
) -> None:
    await published(world, "a", "a")
    await world.emit(Happened("a"), Happened("b"))
    shown = await ann.streams.show(Stream(SOURCE, "order", "a"), limit=2)
    assert shown.last == 3
    assert [(e.sequence, e.published_at is None) for e in shown.events] == [(3, True), (2, False)]
    rest = await ann.streams.show(shown.stream, limit=2, before=shown.before)
    assert [event.sequence for event in rest.events] == [1]
    assert rest.before is None
    assert await ann.streams.find("a") == [shown.stream]
    assert await ann.streams.find("nothing") == []


async def test_jobs_are_redriven_as_seen_and_discarded_once(world: World, ann: Operator) -> None:
    await enqueue(world, "one", "two", "three")
    await world.execute("UPDATE outbox_jobs SET state = 'failed' WHERE key <> 'three'")
    page = await ann.jobs.list(state="failed", limit=1)
    assert [job.key for job in page.items] == ["one"]
    page = await ann.jobs.list(state="failed", limit=1, after=page.next)
    assert ([job.key for job in page.items], page.next) == (["two"], None)
    seen = await ann.jobs.preview_redrive(kind="pay")
    assert seen.events == 3
    await ann.jobs.discard("pay", "one", seen=await ann.jobs.preview_discard("pay", "one"))
    with pytest.raises(ChangedSince):
        await ann.jobs.redrive(kind="pay", seen=seen)
    assert await ann.jobs.redrive(kind="pay") == 2
    with pytest.raises(NotThere):
        await ann.jobs.discard("pay", "one")


async def test_a_pause_says_who_ordered_it(world: World, ann: Operator) -> None:
    target = OfQueue(QUEUE, "order.happened")
    await ann.controls.pause(target, why="deploy", seconds=60, unknown=True)
    [control] = await ann.controls.list()
    assert (control.set_by, control.why) == ("ann", "deploy")
    assert await ann.controls.resume(target)
    assert not await ann.controls.resume(target)
    rows = (await ann.history()).items
    assert [(row.what, row.target) for row in rows] == [
        ("resume", f"queue {QUEUE} order.happened"),
        ("resume", f"queue {QUEUE} order.happened"),
        ("pause", f"queue {QUEUE} order.happened"),
    ]
    assert (rows[0].detail, rows[2].note) == ("there was nothing to end", "deploy")


async def dead(world: World, count: int) -> None:
    async with world.broker() as channel:
        for number in range(count):
            message = Message(b"not json", message_id=str(number), headers={"x": "y"})
            await channel.default_exchange.publish(message, dead_letters_of(QUEUE))


async def has_dead(ann: Operator, count: int) -> bool:
    return (await ann.broker.preview_dead_letters(QUEUE)).events == count


async def test_dead_letters_are_moved_back_with_their_properties(
    world: World, ann: Operator
) -> None:
    await dead(world, 3)
    seen = await ann.broker.preview_dead_letters(QUEUE)
    assert seen.events == 3
    assert await ann.broker.move_dead_letters(QUEUE, seen=seen) == 3
    messages = await world.delivered(3)
    assert {message.message_id for message in messages} == {"0", "1", "2"}
    assert messages[0].headers["x"] == "y"
    assert await has_dead(ann, 0)
    with pytest.raises(ChangedSince):
        await ann.broker.move_dead_letters(QUEUE, seen=seen)


async def test_dead_letters_that_still_cannot_be_read_come_back(
    world: World, ann: Operator
) -> None:
    await dead(world, 2)
    async with running(world.consumer(record)):
        assert await ann.broker.move_dead_letters(QUEUE) == 2
        await eventually(lambda: has_dead(ann, 2))
    with pytest.raises(NotThere):
        await ann.broker.preview_dead_letters("unknown")


async def test_queues_are_shown_with_arguments_that_differ(world: World, ann: Operator) -> None:
    await dead(world, 1)

    async def is_shown() -> bool:
        [view] = await ann.queues()
        return (view.ready, view.dead, view.type, view.differs) == (0, 1, "quorum", ())

    await eventually(is_shown)
    async with open_operator(
        world.database_url, by=ANN, broker_url=world.broker_url, application=ann.application
    ) as without_api:
        [view] = await without_api.queues()
    assert (view.queue, view.ready, view.dead, view.unacked) == (QUEUE, 0, 1, None)
