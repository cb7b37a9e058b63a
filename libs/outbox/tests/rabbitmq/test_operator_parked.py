"""An operator on parked events: previews, refusals, edits, two at once, the record of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import psycopg
import pytest

from kit.outbox.deliveries import effects, events, record, stream_of
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import Envelope, InboxSettings, Retry, UnitOfWork
from outbox.errors import (
    ChangedSince,
    InvalidEvent,
    InvalidSetting,
    NotParked,
    OperationInProgress,
    SchemaBehind,
)
from outbox.inbox.inbox import Inbox
from outbox.inbox.parked_rows import ParkedEvent
from outbox.inbox.parked_selection import ParkedSelection
from outbox.operations import Actor, Operator, open_operator

ANN = Actor("ann", via="console", address="127.0.0.1")
BEN = Actor("ben", via="cli")
FAILED = ParkedSelection(reason="failed")


async def cook(unit: UnitOfWork, event: Envelope) -> None:
    """Fails for bodies that have no meal, but for those that are empty."""
    if b"poison" in event.payload:
        raise ValueError("no such meal")
    await record(unit, event)


def poisoned(aggregate: str, followers: int = 2) -> list[Envelope]:
    first, *rest = events(1 + followers, aggregate)
    return [replace(first, payload=b'{"meal": "poison"}'), *rest]


@pytest.fixture
async def inbox(world: World) -> Inbox:
    """Four streams of three events, each of which waits behind a first one that failed."""
    settings = InboxSettings(failures={Exception: Retry(base=600, ceiling=600)})
    made = Inbox(QUEUE, {"order.happened": cook}, world.work, settings)
    for name in "abcd":
        await made.handle(poisoned(name))
    return made


@asynccontextmanager
async def operators(world: World, *actors: Actor) -> AsyncIterator[list[Operator]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_operator(world.database_url, by=actor))
            for actor in actors
        ]


async def due(world: World) -> list[object]:
    found = await world.rows(
        "SELECT aggregate_id FROM inbox_parked WHERE next_attempt_at <= now() ORDER BY 1"
    )
    return [name for (name,) in found]


async def test_a_change_is_written_down_with_who_and_from_where_and_how_many(
    world: World, inbox: Inbox
) -> None:
    async with operators(world, ANN) as [ann]:
        seen = await ann.parked.preview_redrive(QUEUE, FAILED)
        assert (seen.events, seen.streams, seen.followers) == (4, 4, 8)
        assert await ann.parked.redrive(QUEUE, FAILED, seen=seen, note="price is back") == 4
        [row] = (await ann.history()).items
    assert (row.actor, row.via, row.address) == ("ann", "console", "127.0.0.1")
    assert (row.what, row.target, row.note) == ("redrive parked", QUEUE, "price is back")
    assert (row.events, row.outcome) == (4, "done")
    assert row.detail == "reason failed"
    assert row.ended_at is not None
    assert row.began_at <= row.ended_at


async def test_what_has_changed_since_is_refused_and_nothing_moves(
    world: World, inbox: Inbox
) -> None:
    async with operators(world, ANN, BEN) as [ann, ben]:
        seen = await ann.parked.preview_redrive(QUEUE, FAILED)
        await ben.parked.discard(QUEUE, ParkedSelection(stream=stream_of("a"), reason="failed"))
        before = await due(world)
        with pytest.raises(ChangedSince) as refused:
            await ann.parked.redrive(QUEUE, FAILED, seen=seen)
        assert (refused.value.seen, refused.value.now.events) == (seen, 3)  # type: ignore[attr-defined]
        assert await due(world) == before
        [refusal, discarded] = (await ann.history()).items
    assert (refusal.actor, refusal.outcome, refusal.events) == ("ann", "refused", None)
    assert "4 events of 4 streams" in (refusal.detail or "")
    assert (discarded.actor, discarded.outcome, discarded.events) == ("ben", "done", 1)


async def test_one_event_in_place_of_another_is_a_change_too(world: World, inbox: Inbox) -> None:
    async with operators(world, ANN, BEN) as [ann, ben]:
        seen = await ann.parked.preview_redrive(QUEUE, FAILED)
        await ben.parked.discard(QUEUE, ParkedSelection(stream=stream_of("a"), reason="failed"))
        # Its time of failure is before the preview, as if its transaction had committed late.
        await inbox.handle(poisoned("e"))
        await world.execute("UPDATE inbox_parked SET failed_at = '{2020-01-01}'")
        with pytest.raises(ChangedSince):
            await ann.parked.redrive(QUEUE, FAILED, seen=seen)


async def test_what_fails_after_the_preview_is_left_alone(world: World, inbox: Inbox) -> None:
    async with operators(world, ANN) as [ann]:
        seen = await ann.parked.preview_discard(QUEUE, FAILED)
        await inbox.handle(poisoned("later"))
        assert await ann.parked.discard(QUEUE, FAILED, seen=seen) == 4
    left = await world.rows("SELECT aggregate_id FROM inbox_parked WHERE reason = 'failed'")
    assert left == [("later",)]


async def test_a_sample_is_redriven_alone(world: World, inbox: Inbox) -> None:
    async with operators(world, ANN) as [ann]:
        seen = await ann.parked.preview_redrive(QUEUE, FAILED, limit=2)
        assert (seen.streams, seen.followers) == (2, 4)
        assert await ann.parked.redrive(QUEUE, FAILED, seen=seen, limit=2) == 2
    assert await due(world) == ["a", "b"]


async def test_the_second_operator_at_the_same_change_is_told_who_is_at_it(
    world: World, inbox: Inbox
) -> None:
    async with operators(world, ANN, BEN) as [ann, ben]:
        async with ann.record.change("redrive parked", QUEUE):
            with pytest.raises(OperationInProgress, match=r"by ann \(console\) since 20") as told:
                await ben.parked.redrive(QUEUE, FAILED)
            assert told.value.since is not None
            assert await due(world) == []
        assert await ben.parked.redrive(QUEUE, FAILED) == 4


async def test_two_operators_at_once_move_each_stream_once(world: World, inbox: Inbox) -> None:
    async with operators(world, ANN, BEN) as both:
        seen = await both[0].parked.preview_discard(QUEUE, FAILED)
        done = await asyncio.gather(
            *(one.parked.discard(QUEUE, FAILED, seen=seen) for one in both),
            return_exceptions=True,
        )
    [moved] = [one for one in done if isinstance(one, int)]
    [refused] = [one for one in done if not isinstance(one, int)]
    assert moved == 4
    assert isinstance(refused, ChangedSince | OperationInProgress)
    assert await world.rows("SELECT count(*) FROM inbox_discarded") == [(4,)]


async def dies_in_a_change(world: World) -> None:
    async with (
        open_operator(world.database_url, by=ANN) as ann,
        ann.record.change("redrive parked", QUEUE),
    ):
        await world.execute("SELECT pg_terminate_backend(%s)", ann.connection.info.backend_pid)
        await ann.connection.execute("SELECT 1")


async def fails_in_a_change(operator: Operator) -> None:
    async with operator.record.change("skip missing", "x", one_transaction=True):
        await operator.connection.execute("DELETE FROM inbox_parked")
        raise ZeroDivisionError("of a kind")


async def test_a_change_that_dies_is_a_row_without_an_end_and_leaves_no_lock(
    world: World, inbox: Inbox
) -> None:
    async with open_operator(world.database_url, by=BEN) as ben:
        with pytest.raises(psycopg.OperationalError):
            await dies_in_a_change(world)
        assert await ben.parked.redrive(QUEUE, FAILED) == 4
        [again, died] = (await ben.history()).items
    assert (died.actor, died.outcome, died.ended_at) == ("ann", None, None)
    assert (again.actor, again.outcome) == ("ben", "done")


async def test_a_change_that_fails_is_rolled_back_and_says_why(world: World, inbox: Inbox) -> None:
    async with operators(world, ANN) as [ann]:
        with pytest.raises(ZeroDivisionError):
            await fails_in_a_change(ann)
        [row] = (await ann.history()).items
    assert (row.outcome, row.detail) == ("failed", "ZeroDivisionError: of a kind")
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(12,)]


async def first_of(operator: Operator, name: str) -> ParkedEvent:
    [event] = (await operator.parked.show(QUEUE, stream_of(name), 1)).items
    return event


async def test_an_edited_event_takes_effect_with_its_followers_in_order(
    world: World, inbox: Inbox
) -> None:
    stream = stream_of("a")
    async with operators(world, ANN) as [ann]:
        event = await first_of(ann, "a")
        seen = await ann.parked.preview_edit(QUEUE, stream, 1, event.event_id)
        assert (seen.events, seen.followers) == (1, 2)
        body = b'{"meal": "soup"}'
        was = await ann.parked.edit(
            QUEUE, stream, 1, event.event_id, body, seen=seen, note="a typo"
        )
        assert was.body == b'{"meal": "poison"}'
        consumer = world.consumer(cook)
        async with running(consumer):
            await eventually(lambda: has_effects_of(world, "a", [1, 2, 3]))
        [row] = (await ann.history()).items
    assert (row.what, row.target, row.outcome) == ("edit parked", f"{QUEUE} {stream} at 1", "done")
    kept = "SELECT reason, convert_from(body, 'UTF8'), note, first_sequence FROM inbox_discarded"
    assert await world.rows(kept) == [("edited", '{"meal": "poison"}', "a typo", 1)]


async def has_effects_of(world: World, name: str, expected: list[int]) -> bool:
    return (await effects(world)).get(name) == expected


async def test_an_edit_of_a_body_that_another_has_edited_is_refused(
    world: World, inbox: Inbox
) -> None:
    stream = stream_of("a")
    async with operators(world, ANN, BEN) as [ann, ben]:
        event = await first_of(ann, "a")
        seen = await ann.parked.preview_edit(QUEUE, stream, 1, event.event_id)
        await ben.parked.edit(QUEUE, stream, 1, event.event_id, b'{"meal": "stew"}')
        with pytest.raises(ChangedSince):
            await ann.parked.edit(QUEUE, stream, 1, event.event_id, b"{}", seen=seen)
        assert (await first_of(ann, "a")).body == b'{"meal": "stew"}'


async def test_an_edit_behind_another_event_forgets_no_attempt_of_that(
    world: World, inbox: Inbox
) -> None:
    stream = stream_of("a")
    await world.execute(
        "INSERT INTO inbox_attempts (consumer, source, aggregate_type, aggregate_id, sequence,"
        " attempts) VALUES (%s, %s, %s, %s, 1, 2)",
        QUEUE,
        stream.source,
        stream.aggregate_type,
        stream.aggregate_id,
    )
    async with operators(world, ANN) as [ann]:
        [second] = (await ann.parked.show(QUEUE, stream, 2)).items
        await ann.parked.edit(QUEUE, stream, 2, second.event_id, b"[2]")
        assert (await ann.parked.show(QUEUE, stream, 2)).items[0].body == b"[2]"
    assert await world.rows("SELECT attempts FROM inbox_attempts") == [(2,)]
    assert await due(world) == []


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff", b'"' + b"x" * 1024 * 1024 + b'"'])
async def test_a_body_that_could_not_have_been_published_is_refused(
    world: World, inbox: Inbox, body: bytes
) -> None:
    async with operators(world, ANN) as [ann]:
        event = await first_of(ann, "a")
        with pytest.raises(InvalidEvent):
            await ann.parked.edit(QUEUE, stream_of("a"), 1, event.event_id, body)
        assert (await first_of(ann, "a")).body == event.body
    assert await world.rows("SELECT count(*) FROM inbox_discarded") == [(0,)]


async def test_an_event_that_is_not_parked_cannot_be_edited(world: World, inbox: Inbox) -> None:
    async with operators(world, ANN) as [ann]:
        event = await first_of(ann, "a")
        with pytest.raises(NotParked):
            await ann.parked.preview_edit(QUEUE, stream_of("a"), 2, event.event_id)
        with pytest.raises(NotParked):
            await ann.parked.edit(QUEUE, stream_of("a"), 2, event.event_id, b"{}")


async def test_pages_show_every_event_once(world: World, inbox: Inbox) -> None:
    async with operators(world, ANN) as [ann]:
        after, found = None, []
        while True:
            page = await ann.parked.list(QUEUE, limit=5, after=after)
            found += [(event.stream.aggregate_id, event.sequence) for event in page.items]
            after = page.next
            if after is None:
                break
    assert found == [(name, sequence) for name in "abcd" for sequence in (1, 2, 3)]


@pytest.mark.parametrize(
    "forged", ["", "x", "WzFd", "W10", "bnVsbA", "ä", "WyJhIiwiYiJd", "W0luZmluaXR5XQ", "=" * 9]
)
async def test_a_forged_page_is_refused(world: World, forged: str) -> None:
    async with operators(world, ANN) as [ann]:
        with pytest.raises(InvalidSetting, match="after"):
            await ann.parked.list(QUEUE, after=forged)


async def test_a_number_without_end_is_no_page(world: World) -> None:
    async with operators(world, ANN) as [ann]:
        with pytest.raises(InvalidSetting, match="after"):
            await ann.history(after="W0luZmluaXR5XQ")


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE inbox_parked; --", "100%", "%(consumer)s", "<script>", "a\nb", "{x}"]
)
async def test_an_id_is_data(world: World, inbox: Inbox, name: str) -> None:
    await inbox.handle(poisoned(name))
    async with operators(world, ANN) as [ann]:
        chosen = ParkedSelection(aggregate_id=name)
        [first, *rest] = (await ann.parked.list(QUEUE, chosen)).items
        assert (first.stream.aggregate_id, len(rest)) == (name, 2)
        assert await ann.streams.find(name) == [stream_of(name)]
        [position] = (await ann.streams.show(stream_of(name))).positions
        assert (position.blocked, position.parked, position.gap) == (True, 3, None)
        seen = await ann.parked.preview_discard(QUEUE, chosen)
        assert await ann.parked.discard(QUEUE, chosen, seen=seen, note=name) == 3
        [row] = (await ann.history()).items
    assert row.note == name


async def test_a_skip_gives_up_what_was_seen(world: World, inbox: Inbox) -> None:
    _, _, *later = events(4, "gap")
    await inbox.handle(later)
    stream = stream_of("gap")
    async with operators(world, ANN, BEN) as [ann, ben]:
        seen = await ann.parked.preview_skip(QUEUE, stream)
        assert (seen.events, seen.followers) == (2, 2)
        [position] = await ann.streams.positions(stream)
        assert position.gap == (1, 2)
        await ben.parked.skip(QUEUE, stream, through=1)
        with pytest.raises(ChangedSince):
            await ann.parked.skip(QUEUE, stream, seen=seen)
        seen = await ann.parked.preview_skip(QUEUE, stream)
        assert await ann.parked.skip(QUEUE, stream, seen=seen) == (2, 2)


async def test_a_baseline_is_set_as_it_was_seen(world: World, inbox: Inbox) -> None:
    stream = stream_of("a")
    async with operators(world, ANN) as [ann]:
        seen = await ann.streams.preview_baseline(QUEUE, stream, 2)
        assert (seen.events, seen.followers) == (2, 3)
        await ann.streams.baseline(QUEUE, stream, 2, seen=seen)
        [position] = await ann.streams.positions(stream)
        assert (position.last_sequence, position.parked, position.blocked) == (2, 1, False)
        with pytest.raises(ChangedSince):
            await ann.streams.baseline(QUEUE, stream, 2, seen=seen)


async def test_without_its_table_nothing_is_changed(world: World, inbox: Inbox) -> None:
    await world.execute("DROP TABLE outbox_operations_log")
    async with operators(world, ANN) as [ann]:
        with pytest.raises(SchemaBehind, match="outbox_operations_log"):
            await ann.parked.redrive(QUEUE)
    assert await due(world) == []
