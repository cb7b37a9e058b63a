"""A round reads exactly what was published in its span, in parts of a bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kit.outbox.world import Happened, World
from outbox.log import beacon_queries
from outbox.log.beacon_queries import BeaconQueries, Position, Span
from outbox.relay.beacons import due
from outbox.resend_events import ResendRequested

ORDER = ("shop", "order")
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
async def queries(world: World) -> AsyncIterator[BeaconQueries]:
    async with await world.psycopg() as connection:
        yield BeaconQueries(connection)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def publish(world: World, seconds: float, *events: Happened | ResendRequested) -> None:
    """Mark these events as published so many seconds after noon."""
    async with world.work.begin() as unit:
        await unit.emit(*events)
    await world.execute(
        "UPDATE outbox SET published_at = %s WHERE published_at IS NULL", after(seconds)
    )


async def test_a_round_names_exactly_the_streams_that_moved(
    world: World, queries: BeaconQueries
) -> None:
    await publish(world, 0, Happened("before"), Happened("both"))
    await publish(world, 1, Happened("a"), Happened("a"), Happened("both"))
    await publish(world, 2, Happened("u", type="user.happened", aggregate_type="user"))
    await publish(world, 3, Happened("later"), Happened("a"))
    await world.emit(Happened("unpublished"))
    found = await queries.published(Span(NOON, after(2)))
    assert found.streams == [(ORDER, {"a": 2, "both": 2}), (("shop", "user"), {"u": 1})]
    assert (found.until, found.is_cut) == (after(2), False)


async def test_a_round_leaves_out_what_asks_for_events_and_what_is_not_asked_for(
    world: World, queries: BeaconQueries
) -> None:
    await publish(world, 1, Happened("a"), ResendRequested("shop", "kitchen"))
    await publish(world, 2, Happened("u", type="user.happened", aggregate_type="user"))
    everything = await queries.published(Span(NOON, after(2)))
    assert everything.streams == [(ORDER, {"a": 1}), (("shop", "user"), {"u": 1})]
    asked = await queries.published(Span(NOON, after(2), frozenset({ORDER})))
    assert asked.streams == [(ORDER, {"a": 1})]


async def test_many_streams_are_told_in_chunks(
    world: World, queries: BeaconQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beacon_queries, "MAX_STREAMS", 3)
    await publish(world, 1, *(Happened(f"a{n}", n) for n in (*range(7), *range(7))))
    found = await queries.published(Span(NOON, after(1)))
    assert [len(streams) for _, streams in found.streams] == [3, 3, 1]
    told = {id_: last for _, streams in found.streams for id_, last in streams.items()}
    assert told == {f"a{n}": 2 for n in range(7)}


async def test_much_is_read_in_parts_that_neither_overlap_nor_leave_out(
    world: World, queries: BeaconQueries
) -> None:
    for second in range(1, 6):
        await publish(world, second, *(Happened(f"a{second}{n}") for n in range(4)))
    since, parts = NOON, list[list[str]]()
    while since < after(5):
        found = await queries.published(Span(since, after(5)), limit=6)
        assert found.until > since
        since = found.until
        parts.append([id_ for _, streams in found.streams for id_ in streams])
    # A part ends with all that was published at the same time.
    assert [len(part) for part in parts] == [8, 8, 4]
    assert sorted(id_ for part in parts for id_ in part) == [
        f"a{second}{n}" for second in range(1, 6) for n in range(4)
    ]


async def test_a_mark_that_commits_late_is_told_in_the_next_round(
    world: World, queries: BeaconQueries
) -> None:
    every = timedelta(minutes=1)
    await world.emit(Happened("late"), Happened("early"))
    await world.execute(
        "UPDATE outbox SET published_at = clock_timestamp() - interval '30 s' WHERE sequence = 1"
        " AND aggregate_id = 'early'"
    )
    async with await world.psycopg() as marking:
        await marking.execute("BEGIN")
        await marking.execute(
            "UPDATE outbox SET published_at = clock_timestamp() WHERE aggregate_id = 'late'"
        )
        first = due(await queries.situation(), every)
        assert first is not None
        seen = await queries.published(first)
        assert seen.streams == [(ORDER, {"early": 1})]
        await queries.store(first, {ORDER: 1}, seen.until)
        await marking.execute("COMMIT")
    found = await queries.situation()
    later = replace(found, now=found.now + every)
    span = due(later, every)
    assert span is not None
    assert span.since == first.until
    assert (await queries.published(span)).streams == [(ORDER, {"late": 1})]


async def test_what_was_read_is_stored_and_read_again(world: World, queries: BeaconQueries) -> None:
    await queries.store(Span(NOON, after(1)), {ORDER: 3}, after(1))
    found = await queries.situation()
    assert found.positions == {ORDER: Position(3, after(1))}
    assert found.last_published is None
    await queries.store(Span(after(1), after(2)), {ORDER: 5}, after(2))
    await publish(world, 9, Happened("a"))
    found = await queries.situation()
    assert found.positions == {ORDER: Position(5, after(2))}
    assert found.last_published == after(9)


async def test_what_is_asked_for_is_told_in_parts_up_to_the_usual_rounds(
    world: World, queries: BeaconQueries
) -> None:
    await queries.store(Span(NOON, after(9)), {ORDER: 3}, after(9))
    await world.execute("UPDATE outbox_beacons SET asked_since = %s", after(1))
    span = Span(after(1), after(9), frozenset({ORDER}))
    await queries.store(span, {ORDER: 4}, after(5))
    assert (await queries.situation()).positions == {ORDER: Position(4, after(9), after(5))}
    await queries.store(Span(after(5), after(9), span.asked), {ORDER: 5}, after(9))
    assert (await queries.situation()).positions == {ORDER: Position(5, after(9))}


async def test_a_request_that_came_during_a_round_is_not_overwritten(
    world: World, queries: BeaconQueries
) -> None:
    await queries.store(Span(NOON, after(9)), {ORDER: 3}, after(9))
    await world.execute("UPDATE outbox_beacons SET asked_since = %s", after(1))
    asked = Span(after(5), after(9), frozenset({ORDER}))
    await queries.store(Span(after(9), after(20)), {ORDER: 4}, after(20))
    await queries.store(asked, {ORDER: 5}, after(9))
    assert (await queries.situation()).positions == {ORDER: Position(5, after(20), after(1))}


async def test_the_indexes_serve_a_round_and_a_request(world: World) -> None:
    await publish(world, 1, *(Happened(f"a{n % 50}", n) for n in range(500)))
    async with await world.psycopg() as connection:
        await connection.execute("SET enable_seqscan = off")
        for query, index in (
            ("SELECT 1 FROM outbox WHERE published_at > now()", "published_at_idx"),
            (
                "SELECT 1 FROM outbox WHERE hashtextextended(aggregate_id, sequence)"
                " = hashtextextended('a1', 3) AND published_at IS NOT NULL",
                "hashtextextended_idx",
            ),
        ):
            plan = await (await connection.execute(f"EXPLAIN {query}")).fetchall()
            assert any(index in line for (line,) in plan), plan
