"""A journey tells the whole way of a request through two databases, whatever happened on it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from kit.outbox.operator import Pair, open_pair, record
from kit.outbox.world import QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, Outbox, UnitOfWork
from outbox.event import Stream
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import InboxOperations
from outbox.operations.database import Connection, open_database
from outbox.operations.journey import (
    Journey,
    JourneyEvent,
    Reception,
    State,
    journey,
    search,
    slowest,
    steps,
)
from outbox.operations.unpublished import discard

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADER = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


@asynccontextmanager
async def opened(pair: Pair) -> AsyncIterator[dict[str, Connection]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(open_database(world.database_url))
            for name, world in (("shop", pair.producer), ("kitchen", pair.consumer))
        }


async def journey_of(pair: Pair, id_: object) -> Journey:
    async with opened(pair) as databases:
        return await journey(databases, str(id_))


async def answers(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    if not event.aggregate_id.startswith("answer"):
        await unit.emit(Happened(f"answer to {event.aggregate_id}"))


async def consumed(pair: Pair, count: int) -> None:
    """So many effects, and all that the producer has written is marked as published."""

    async def is_done() -> bool:
        return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]

    await eventually(is_done)
    await eventually(lambda: pair.producer.has_unpublished(0))


async def emit_traced(world: World, *aggregates: str) -> list[UUID]:
    async with world.work.begin() as unit:
        events = [Happened(aggregate) for aggregate in aggregates]
        return await Outbox(SOURCE).add(unit.connection, *events, traceparent=HEADER)


def only(found: Journey) -> tuple[JourneyEvent, Reception]:
    [one] = found.events
    [reception] = one.receptions
    return one, reception


def states(found: Journey) -> list[State]:
    return [reception.state for one in found.events for reception in one.receptions]


async def test_the_stages_of_an_event_add_up(pair: Pair) -> None:
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await pair.producer.emit(Happened("a"))
        await consumed(pair, 1)
    found = await journey_of(pair, "a")
    one, reception = only(found)
    assert (one.database, reception.database, reception.consumer) == ("shop", "kitchen", QUEUE)
    stages = reception.stages
    assert [stage.name for stage in stages] == [
        "waits in the outbox",
        "broker and queue",
        "waits in the consumer",
        "handler and commit",
    ]
    applied = reception.times.applied_at
    assert applied is not None
    assert stages[0].began_at == one.event.created_at
    assert stages[-1].ended_at == applied
    assert all(a.ended_at == b.began_at for a, b in itertools.pairwise(stages))
    took = [stage.seconds or 0.0 for stage in stages]
    assert min(took) >= 0
    assert sum(took) == pytest.approx((applied - one.event.created_at).total_seconds())
    assert found.is_over
    assert found.usual is not None
    assert found.usual[QUEUE]["in all"].events == 1


async def test_every_id_of_a_request_leads_to_all_of_it(pair: Pair) -> None:
    async with running(pair.producer.relay(), pair.consumer.consumer(answers)):
        await pair.producer.emit(Happened("before"))
        [first] = await emit_traced(pair.producer, "a")
        await consumed(pair, 2)
    [(answer,)] = await pair.consumer.rows(
        "SELECT event_id FROM outbox WHERE causation_id = %s", str(first)
    )
    for id_ in ("a", first, answer, TRACE, HEADER, f"{SOURCE}/order/a", f" {first} ", first.hex):
        found = await journey_of(pair, id_)
        assert {one.event.event_id for one in found.events} == {first, answer}, id_
        assert [one.database for one in found.events] == ["shop", "kitchen"]
        assert found.events[1].event.causation_id == str(first)
    assert found.events[0].receptions[0].state is State.APPLIED
    assert found.events[1].receptions[0].state is State.UNPUBLISHED
    assert not found.is_over


async def test_events_of_one_trace_are_one_journey(pair: Pair) -> None:
    ids = await emit_traced(pair.producer, "a", "b")
    found = await journey_of(pair, TRACE)
    assert {one.event.event_id for one in found.events} == set(ids)


async def test_an_order_that_was_parked_once_shows_its_failed_attempts(pair: Pair) -> None:
    # The first one fails a batch; the event is then handled alone, and that attempt counts.
    failures = [ValueError("no such meal"), TimeoutError("away"), TimeoutError("away")]

    async def fails_twice(unit: UnitOfWork, event: Envelope) -> None:
        if failures:
            raise failures.pop()
        await answers(unit, event)

    async with running(pair.producer.relay(), pair.consumer.consumer(fails_twice)):
        await pair.producer.emit(Happened("a"))
        await consumed(pair, 1)
    found = await journey_of(pair, "a")
    one, answer = found.events
    assert answer.event.causation_id == str(one.event.event_id)
    [reception] = one.receptions
    assert reception.state is State.APPLIED
    assert [failure.error for failure in reception.failures] == ["TimeoutError", "ValueError"]
    assert reception.last_error == "ValueError: no such meal"
    names = [stage.name for stage in reception.stages]
    assert names == ["waits in the outbox", "broker and queue", "is parked", "handler and commit"]
    assert (reception.stages[2].seconds or 0) > 0.1, "the first retry is after 0.1 s"
    applied = reception.times.applied_at
    assert applied is not None
    assert sum(stage.seconds or 0 for stage in reception.stages) == pytest.approx(
        (applied - one.event.created_at).total_seconds()
    )
    whats = [step.what for step in steps(found)]
    assert whats.count("failed") == 2
    assert whats.index("received and parked") < whats.index("failed") < whats.index("applied")


async def test_an_event_that_waits_is_not_over(pair: Pair) -> None:
    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        if event.sequence == 1:
            raise ValueError("no such meal")

    async def two_wait() -> bool:
        return await pair.consumer.rows("SELECT count(*) FROM inbox_parked") == [(2,)]

    async with running(pair.producer.relay(), pair.consumer.consumer(fails)):
        await pair.producer.emit(Happened("a"), Happened("a", 1))
        await eventually(two_wait)
        await eventually(lambda: pair.producer.has_unpublished(0))
    found = await journey_of(pair, "a")
    assert states(found) == [State.PARKED, State.PARKED]
    failed, behind = (one.receptions[0] for one in found.events)
    assert failed.detail.startswith("failed, next attempt at ")
    assert failed.last_error == "ValueError: no such meal"
    assert behind.detail == "behind"
    assert failed.stages[-1].ended_at is None
    assert not found.is_over


async def test_what_a_consumer_gave_up_is_named(pair: Pair) -> None:
    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        raise ValueError("no such meal")

    await pair.producer.emit(Happened("a"), Happened("b"))
    inbox = Inbox(QUEUE, {"order.happened": fails}, pair.consumer.work)
    await inbox.handle(await envelopes(pair.producer, "a"))
    async with await pair.consumer.psycopg() as connection:
        operations = InboxOperations(connection, QUEUE)
        await operations.discard(Stream(SOURCE, "order", "a"), 1, note="the guest has left")
        await operations.skip(Stream(SOURCE, "order", "b"), through=1, tail=True, note="burnt")
    [discarded] = states(await journey_of(pair, "a"))
    [skipped] = states(await journey_of(pair, "b"))
    assert (discarded, skipped) == (State.DISCARDED, State.SKIPPED)
    found = await journey_of(pair, "a")
    assert found.events[0].receptions[0].detail == "failed: the guest has left"


async def envelopes(world: World, aggregate: str) -> list[Envelope]:
    """The events of an aggregate as they would arrive."""
    rows = await world.rows(
        "SELECT event_id, sequence, created_at, correlation_id FROM outbox"
        " WHERE aggregate_id = %s ORDER BY sequence",
        aggregate,
    )
    stream = Stream(SOURCE, "order", aggregate)
    return [
        Envelope(id_, stream, sequence, "order.happened", 1, at, b"{}", correlation)
        for id_, sequence, at, correlation in rows
    ]


async def test_what_its_source_gave_up_is_a_tombstone(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"))
    [(event_id,)] = await pair.producer.rows("SELECT event_id FROM outbox")
    await pair.producer.execute("UPDATE outbox SET parked_at = now(), last_error = 'too large'")
    found = await journey_of(pair, "a")
    assert [step.what for step in steps(found)] == ["written", "parked in the outbox"]
    async with open_database(pair.producer.database_url) as connection:
        await discard(connection, [event_id])
    [one] = (await journey_of(pair, "a")).events
    assert one.is_tombstone


async def test_an_event_that_never_arrived_is_still_under_way(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"), Happened("a", 1), Happened("a", 2))
    first, _, third = await envelopes(pair.producer, "a")
    await pair.producer.execute("UPDATE outbox SET published_at = clock_timestamp()")
    await Inbox(QUEUE, {"order.happened": record}, pair.consumer.work).handle([first, third])
    found = await journey_of(pair, "a")
    assert states(found) == [State.APPLIED, State.UNDER_WAY, State.PARKED]
    assert found.events[2].receptions[0].detail.startswith("gap")
    await pair.consumer.execute(
        "INSERT INTO inbox_missing (consumer, source, aggregate_type, aggregate_id, known_last,"
        " position, missing, next_ask_at) VALUES (%s, %s, 'order', 'a', 3, 1, '{[2,3)}', now())",
        QUEUE,
        SOURCE,
    )
    found = await journey_of(pair, "a")
    assert states(found) == [State.APPLIED, State.MISSING, State.PARKED]


async def test_an_event_applied_long_after_it_was_published_has_its_times(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"))
    await pair.producer.execute(
        "UPDATE outbox SET created_at = created_at - interval '20 minutes',"
        " published_at = created_at - interval '19 minutes'"
    )
    await pair.consumer.execute(
        "INSERT INTO inbox_applied (consumer, event_ids, began_at, applied_at)"
        " SELECT 'other', '{}', t, t FROM (SELECT now() - interval '21 minutes' AS t) AS before"
    )
    arrived = await envelopes(pair.producer, "a")
    await Inbox(QUEUE, {"order.happened": record}, pair.consumer.work).handle(arrived)
    _, reception = only(await journey_of(pair, "a"))
    assert reception.state is State.APPLIED
    assert sum(stage.seconds or 0 for stage in reception.stages) > 1_190


async def test_times_that_are_not_kept_any_more_are_not_invented(pair: Pair) -> None:
    async with running(pair.producer.relay(), pair.consumer.consumer(record)):
        await pair.producer.emit(Happened("a"))
        await consumed(pair, 1)
    await pair.consumer.execute("DELETE FROM inbox_applied")
    found = await journey_of(pair, "a")
    _, reception = only(found)
    assert (reception.state, reception.ended_at) == (State.PASSED, None)
    assert found.is_over


async def test_a_fork_is_named(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"))
    await pair.producer.execute("UPDATE outbox SET published_at = clock_timestamp()")
    arrived = await envelopes(pair.producer, "a")
    await Inbox(QUEUE, {"order.happened": record}, pair.consumer.work).handle(arrived)
    await pair.consumer.execute("UPDATE inbox SET last_event_id = gen_random_uuid()")
    await pair.consumer.execute("DELETE FROM inbox_applied")
    assert states(await journey_of(pair, "a")) == [State.FORKED]


async def test_jobs_and_scheduled_events_belong_to_it(pair: Pair) -> None:
    async def delegates(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        later = datetime.now(UTC) + timedelta(hours=1)
        await unit.schedule(Happened("reminder"), key="remind", at=later)
        await unit.connection.exec_driver_sql(
            "INSERT INTO outbox_jobs (kind, key, payload, correlation_id, causation_id)"
            " VALUES ('pay', 'a', '{}', %s, %s)",
            (event.correlation_id, event.id),
        )

    async with running(pair.producer.relay(), pair.consumer.consumer(delegates)):
        await pair.producer.emit(Happened("a"))
        await consumed(pair, 1)
    found = await journey_of(pair, "a")
    assert [(one.job.kind, one.job.key, one.job.state) for one in found.jobs] == [
        ("pay", "a", "waiting")
    ]
    assert [one.aggregate_id for one in found.scheduled] == ["reminder"]
    assert not found.is_over


@pytest.mark.parametrize("published", [True, False])
async def test_a_long_stream_shows_its_last_events(pair: Pair, published: bool) -> None:
    await pair.producer.emit(*(Happened("a", number) for number in range(150)))
    if published:
        await pair.producer.execute("UPDATE outbox SET published_at = clock_timestamp()")
    found = await journey_of(pair, "a")
    assert [one.event.sequence for one in found.events] == list(range(51, 151))
    assert found.is_more


HOSTILE = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "'; DROP TABLE outbox; --",
    "%s %(ids)s {}",
    "<script>alert(1)</script>",
    "a" * 5_000,
    "\\x00",
    "%' OR '1'='1",
    "{a,b}",
    "00-" + "0" * 32 + "-" + "0" * 16 + "-00",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
    "00000000-0000-7000-8000-000000000000",
    "1" * 400,
    "shop/order/" + "b" * 300,
]


@pytest.mark.parametrize("id_", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_id_names_nothing_and_harms_nothing(pair: Pair, id_: str) -> None:
    await pair.producer.emit(Happened("a"))
    async with opened(pair) as databases:
        found = await journey(databases, id_, everywhere=True)
        assert not found.events
        assert await search(databases, id_) == []
    assert await pair.producer.unpublished() == 1


async def test_a_hostile_aggregate_id_has_a_journey_like_any_other(pair: Pair) -> None:
    hostile = "<script>alert('a')</script>\n\"b\" \\ {c,d}/e/f % %s \N{RIGHT-TO-LEFT OVERRIDE}"
    async with running(pair.producer.relay(), pair.consumer.consumer(answers)):
        await pair.producer.emit(Happened(hostile))
        await consumed(pair, 1)
    found = await journey_of(pair, hostile)
    assert [one.event.aggregate_id for one in found.events] == [hostile, f"answer to {hostile}"]
    assert states(found)[0] is State.APPLIED


async def test_the_search_finds_what_begins_with_a_text(pair: Pair) -> None:
    [event_id] = await emit_traced(pair.producer, "order-1")
    await pair.consumer.emit(Happened("order-2"), Happened("other"))
    async with opened(pair) as databases:
        found = [(match.id, match.database) for match in await search(databases, "order-")]
        assert sorted(found) == [("order-1", "shop"), ("order-2", "kitchen")]
        [match] = await search(databases, str(event_id))
        assert (match.id, match.kind) == (str(event_id), "event")
        assert await search(databases, "or") == []


async def test_the_slowest_events_come_first(pair: Pair) -> None:
    async def sleeps(unit: UnitOfWork, event: Envelope) -> None:
        await asyncio.sleep(0.3 if event.aggregate_id == "slow" else 0)
        await record(unit, event)

    async with running(pair.producer.relay(), pair.consumer.consumer(sleeps)):
        for count, name in enumerate(("first", "slow", "quick"), 1):
            await pair.producer.emit(Happened(name))
            await consumed(pair, count)
    async with opened(pair) as databases:
        found = await slowest(databases)
        names = [one.event.aggregate_id for one in found if one.event]
        assert names.index("slow") < names.index("quick")
        assert found[names.index("slow")].seconds > 0.3
        assert [one.seconds for one in found] == sorted(one.seconds for one in found)[::-1]
        assert len(await slowest(databases, limit=1)) == 1


async def test_without_any_table_nothing_is_known(pair: Pair) -> None:
    for table in ("inbox_applied", "outbox_jobs", "inbox"):
        await pair.producer.execute(f"DROP TABLE {table}")
    await pair.producer.emit(Happened("a"))
    found = await journey_of(pair, "a")
    assert [one.database for one in found.events] == ["shop"]
